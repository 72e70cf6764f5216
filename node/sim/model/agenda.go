package model

import "github.com/holdfastdb/holdfast/node/sim/check"

// agenda is the virtual clock and what happens when. Events of one moment happen in the order in which they were added.
type agenda struct {
	now   check.Moment
	added uint64
	heap  []event
}

type event struct {
	at  check.Moment
	seq uint64
	act func()
}

func (e event) before(o event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

func (a *agenda) add(at check.Moment, act func()) {
	a.added++
	h := append(a.heap, event{max(at, a.now), a.added, act})
	i := len(h) - 1
	for i > 0 && h[i].before(h[(i-1)/2]) {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
		i = (i - 1) / 2
	}
	a.heap = h
}

// run lets everything up to the moment happen.
func (a *agenda) run(until check.Moment) {
	for len(a.heap) > 0 && a.heap[0].at <= until {
		e := a.pop()
		a.now = e.at
		e.act()
	}
	a.now = until
}

func (a *agenda) pop() event {
	h := a.heap
	top, last := h[0], len(h)-1
	h[0], h[last] = h[last], event{}
	h = h[:last]
	for i := 0; ; {
		least := i
		for _, child := range [2]int{2*i + 1, 2*i + 2} {
			if child < last && h[child].before(h[least]) {
				least = child
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	a.heap = h
	return top
}
