package coordinator

import (
	"context"
	"sync"
	"time"
)

// waiter is what the caller of a batch waits with. It is used again: after wait it is nobody's, for a batch is done only once, under
// its lock, and not any more once it has ended (batch.answer).
type waiter struct {
	done  chan struct{} // capacity 1: holds something from when the batch is done until wait takes it
	timer *time.Timer   // stopped while nobody waits; nil until somebody has
}

// waiters are those that are free. Each is of one coordinator: a timer belongs to the clock that it was made under.
type waiters struct{ sync.Pool }

func (p *waiters) take() *waiter {
	if w, ok := p.Get().(*waiter); ok {
		return w
	}
	return &waiter{done: make(chan struct{}, 1)}
}

// wait returns true when the batch is done, and false at the deadline or when ctx ends.
func (w *waiter) wait(ctx context.Context, deadline time.Time) bool {
	select {
	case <-w.done:
		return true
	default:
	}
	if left := time.Until(deadline); w.timer == nil {
		w.timer = time.NewTimer(left)
	} else {
		w.timer.Reset(left)
	}
	defer w.timer.Stop()
	select {
	case <-w.done:
		return true
	case <-w.timer.C:
	case <-ctx.Done():
	}
	return false
}

// free gives the waiter of a batch that has ended back.
func (p *waiters) free(w *waiter) {
	select {
	case <-w.done: // it was done while its caller gave up
	default:
	}
	p.Put(w)
}
