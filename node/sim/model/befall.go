package model

import (
	"slices"

	"github.com/holdfastdb/holdfast/node/sim/check"
)

// play does one step of the script.
func (w *world) play(s Step) {
	if s.operation() {
		w.operate(s, false)
		return
	}
	w.count.Faults[s.Verb]++
	n, lasts := w.nodes[s.A-1], at(s.For)
	switch s.Verb {
	case "apart":
		if s.B != 0 {
			w.apart(s)
		}
	case "cut", "split", "slow", "lossy":
		if s.B != 0 && s.B != s.A {
			w.disturb(s, s.A-1, s.B-1)
		}
	case "reset":
		if s.B != 0 && s.B != s.A {
			w.reset(s.A-1, s.B-1, lasts)
		}
	case "pause":
		w.pause(n, lasts)
	case "skew":
		n.skew = check.Moment(s.For) * milli
		w.history.Lawless = w.history.Lawless || abs(n.skew) > driftMax/2
	case "full":
		n.full = true
		w.add(w.now+lasts, func() { n.full = false })
	case "ioerror":
		n.broken = true
	case "reap":
		w.reaping = true
	case "join", "leave", "remove", "replace":
		w.command(s)
	case "kill", "power", "clean", "wipe", "restore":
		w.stop(n, s.Verb)
		w.add(w.now+lasts, func() {
			if n.down && !n.gone {
				n.start()
			}
		})
	}
}

// disturb spoils links for a while: cut loses one direction, split both.
func (w *world) disturb(s Step, a, b int) {
	l := &w.links[a][b]
	switch s.Verb {
	case "slow":
		l.slow += 300 * milli
		w.add(w.now+at(s.For), func() { l.slow = max(0, l.slow-300*milli) })
	case "lossy":
		l.loss += 40
		w.add(w.now+at(s.For), func() { l.loss -= 40 })
	case "split":
		back := s
		back.Verb = "cut"
		w.disturb(back, b, a)
		w.disturb(back, a, b)
	case "cut":
		l.cut++
		w.add(w.now+at(s.For), func() { w.heal(a, b) })
	}
}

// apart cuts two nodes off from all others.
func (w *world) apart(s Step) {
	s.Verb = "split"
	for i := range w.nodes {
		if i != s.A-1 && i != s.B-1 {
			w.disturb(s, s.A-1, i)
			if s.B != s.A {
				w.disturb(s, s.B-1, i)
			}
		}
	}
}

// pause stops a process; it wakes with what arrived meanwhile in hand.
func (w *world) pause(n *node, lasts check.Moment) {
	if n.down || n.paused {
		return
	}
	n.paused = true
	life := n.life
	w.add(w.now+lasts, func() {
		if n.life == life && n.paused {
			w.wake(n)
		}
	})
}

func (w *world) wake(n *node) {
	n.paused, n.slept = false, w.now
	backlog := n.backlog
	n.backlog = nil
	for _, act := range backlog {
		w.add(w.now+w.delay()/100, act)
	}
}

const crashIO = "ioerror"

// crash ends a process whose disk failed: what it was about to write may be on the disk or not.
func (w *world) crash(n *node, how string) {
	w.stop(n, how)
	w.add(w.now+2*second, func() {
		if n.down && !n.gone {
			n.start()
		}
	})
}

// stop ends a process, and leaves of its disk what the way of its end does.
func (w *world) stop(n *node, how string) {
	if n.down {
		return
	}
	if how == "clean" {
		n.closing = true
		for _, w := range slices.Clone(n.writings) {
			w.close()
		}
		n.payDues()
		n.markClean()
	} else {
		w.crashed = true
	}
	n.life++
	n.down, n.paused = true, false
	unsynced := len(n.store.log)
	keep := unsynced
	switch {
	case how == crashIO && unsynced > 0:
		keep -= w.rng.IntN(2)
	case how == "power", how != "clean" && w.script.Sync == SyncNone:
		keep = w.rng.IntN(unsynced + 1)
	}
	left := n.store.cut(keep)
	switch {
	case how == "wipe":
		left, n.gone = newDisk(), true
	case how == "restore" && n.image != nil:
		left = n.image
	}
	if n.image == nil || w.rng.IntN(3) == 0 {
		n.image = left.clone()
	}
	w.lose(n, left)
}
