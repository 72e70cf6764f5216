package coordinator

import (
	"sync"
	"time"
)

// alarm tells a reading or a writing that a time has passed. It is used again only if it was stopped before it rang: then nobody is about
// to ring it, and nobody else knows it.
type alarm struct {
	timer *time.Timer
	what  ringer
}

// ringer is told, once, by a goroutine of its own.
type ringer interface{ rang() }

func (a *alarm) ring() { a.what.rang() }

// alarms are those that are free. Each is of one coordinator: a timer belongs to the clock that it was made under.
type alarms struct{ sync.Pool }

// set has what told after d. stop it once.
func (p *alarms) set(d time.Duration, what ringer) *alarm {
	if a, ok := p.Get().(*alarm); ok {
		a.what = what
		a.timer.Reset(d)
		return a
	}
	a := &alarm{what: what}
	a.timer = time.AfterFunc(d, a.ring)
	return a
}

// stop keeps an alarm from ringing if it has not rung. The caller forgets it.
func (p *alarms) stop(a *alarm) {
	if a.timer.Stop() {
		a.what = nil
		p.Put(a)
	}
}
