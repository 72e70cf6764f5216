package model

import (
	"slices"

	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/request"
)

// link is one direction between two nodes.
type link struct {
	cut  int          // faults that cut it
	slow check.Moment // added to each message
	loss int          // percent
	held []func()     // messages that wait for the cut to heal, as TCP sends again

	stalls bool     // what is sent is not read at the other end
	unread []func() // what was sent meanwhile
	calls  []*pending
}

// pending is a call that is not over.
type pending struct{ lose func() }

// delay draws how long a message takes: mostly a fraction of a millisecond, sometimes much longer. Unique, for the
// clock counts nanoseconds.
func (w *world) delay() check.Moment {
	d := 50*micro + check.Moment(w.rng.Int64N(int64(300*micro)))
	if !w.calm && w.rng.IntN(50) == 0 {
		d += check.Moment(w.rng.Int64N(int64(400 * milli)))
	}
	return d
}

// send carries a message; arrive runs where it arrives, if it does.
func (w *world) send(from, to int, arrive func()) {
	l := &w.links[from][to]
	if w.rng.IntN(100) < l.loss {
		w.count.lost++
		return
	}
	if l.stalls {
		l.unread = append(l.unread, arrive)
		return
	}
	w.add(w.now+w.delay()+l.slow, func() {
		switch {
		case l.cut == 0:
			arrive()
		case w.rng.IntN(2) == 0:
			l.held = append(l.held, arrive)
		default:
			w.count.lost++
		}
	})
}

// heal undoes one cut, and lets go of what waited.
func (w *world) heal(from, to int) {
	l := &w.links[from][to]
	if l.cut = max(0, l.cut-1); l.cut > 0 {
		return
	}
	held := l.held
	l.held = nil
	w.deliver(held)
}

// reset breaks a connection of which the other end has not read for a while: its calls are lost at once, and what it carried
// is read later all the same.
func (w *world) reset(from, to int, lasts check.Moment) {
	l := &w.links[from][to]
	if l.stalls {
		return
	}
	l.stalls = true
	w.add(w.now+lasts/2, func() {
		unread := w.goOn(l)
		w.add(w.now+lasts/2, func() { w.deliver(unread) })
		if w.calm {
			return
		}
		for _, c := range l.calls {
			c.lose()
		}
		l.calls = nil
	})
}

// goOn ends the stall of a link, and returns what was sent meanwhile.
func (w *world) goOn(l *link) (unread []func()) {
	unread, l.unread, l.stalls = l.unread, nil, false
	return unread
}

func (w *world) deliver(messages []func()) {
	for _, arrive := range messages {
		w.add(w.now+w.delay(), arrive)
	}
}

// call is one frame to another node and its answer: the model of package peer. serve runs at the other node and
// answers once; done runs here once: nil, ErrUnreachable (certainly not executed) or ErrLost. A frame past its deadline
// is dropped unexecuted. What is idempotent by itself may arrive twice; an operation to coordinate does not, since a
// connection carries it once.
func (n *node) call(to *node, deadline check.Moment, serve func(answer func(error)), done func(error)) {
	n.callOnce(to, deadline, serve, done, n.w.rng.IntN(100) < n.w.script.Duplicate)
}

func (n *node) callOnce(to *node, deadline check.Moment, serve func(answer func(error)), done func(error), twice bool) {
	over, l := false, &n.w.links[n.id][to.id]
	open := &pending{}
	finish := func(err error) {
		if !over {
			over = true
			if i := slices.Index(l.calls, open); i >= 0 {
				l.calls = slices.Delete(l.calls, i, i+1)
			}
			done(err)
		}
	}
	if n.closing || !n.sees[to.id] || to.down { // a node that closes has closed its connections first
		n.after(50*micro, func() { finish(request.ErrUnreachable) })
		return
	}
	n.at(deadline, func() { finish(request.ErrLost) })
	boot, life := to.life, n.life
	open.lose = func() { n.w.add(n.w.now+50*micro, func() { n.run(life, func() { finish(request.ErrLost) }) }) }
	l.calls = append(l.calls, open)
	arrive := func() {
		if to.life != boot { // reset
			n.w.send(to.id, n.id, func() { n.run(life, func() { finish(request.ErrLost) }) })
			return
		}
		to.run(boot, func() {
			if n.w.now > deadline && !fault.On(fault.RunStaleFrame) {
				n.w.count.stale++
				return
			}
			serve(func(err error) {
				n.w.send(to.id, n.id, func() { n.run(life, func() { finish(err) }) })
			})
		})
	}
	n.w.send(n.id, to.id, arrive)
	if twice {
		n.w.count.doubled++
		n.w.send(n.id, to.id, arrive)
	}
}

// open reports whether two nodes can talk, both ways.
func (w *world) open(a, b *node) bool {
	return !b.down && !b.paused && w.links[a.id][b.id].cut == 0 && w.links[b.id][a.id].cut == 0
}
