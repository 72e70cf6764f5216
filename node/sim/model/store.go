package model

import (
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/request"
	"slices"
)

// write is request.Write as the model needs it: nodes go by number.
type write struct {
	key     string
	delta   causal.State
	asRole  request.Role
	target  int // >= 0: a hint for that node
	mint    request.Minter
	owed    []int
	reserve bool

	base     causal.State // what the minter was shown
	wrote    bool
	survivor causal.State
	err      error
}

// read is Store.Read: the row, hints with data synced in.
func (n *node) read(key string) causal.State { return n.store.live.held(key, len(n.w.nodes)) }

// apply is Store.Write for one element: decided and committed at once; durable later. It returns the change to wait for.
func (n *node) apply(el *write) (upTo uint64) {
	el.wrote, el.survivor, el.err = false, causal.State{}, nil
	if n.full && !el.reserve {
		el.err = request.ErrDiskLow
		return 0
	}
	w := &writer{n: n}
	if el.mint != nil {
		w.seq = n.take(2)
	}
	if el.target >= 0 {
		el.err = w.hintWrite(el)
	} else {
		el.err = w.rowWrite(el)
	}
	if el.err != nil {
		el.wrote, el.survivor = false, causal.State{}
		if el.mint != nil {
			el.delta = causal.State{}
		}
	}
	return w.commit()
}

// writer collects one commit. Twin of replica's.
type writer struct {
	n       *node
	seq     uint64
	changes []change
}

func (w *writer) commit() uint64 {
	s := w.n.store
	if len(w.changes) == 0 {
		return s.synced + uint64(len(s.log)) // what was written before may not be durable yet
	}
	changes := w.changes
	return s.commit(func(d *disk) {
		for _, c := range changes {
			c(d)
		}
	})
}

func (w *writer) setRow(key string, r row) {
	w.changes = append(w.changes, func(d *disk) { d.rows[key] = r })
}

func (w *writer) rowWrite(el *write) error {
	held := w.n.store.live.rows[el.key]
	next, ok, err := w.decide(el, held, 0)
	if err != nil || !ok {
		return err
	}
	if !next.state.Equal(held.state) {
		w.setRow(el.key, next)
		el.wrote = true
	}
	el.survivor = survivors(held.state, el.delta)
	for _, target := range el.owed {
		w.owe(target, el.key, el.delta, len(el.delta.Siblings) > 0)
	}
	return nil
}

// survivors is replica's: the siblings that outstamp everything in the delta; none of a delta that was overwritten before.
func survivors(stored, delta causal.State) causal.State {
	if len(delta.Siblings) == 0 || overwritten(stored, delta.Siblings[0]) {
		return causal.State{}
	}
	n := 0
	for n < len(stored.Siblings) && stored.Siblings[n].Stamp.Compare(delta.Siblings[0].Stamp) > 0 {
		n++
	}
	if n == 0 {
		return causal.State{}
	}
	var seen causal.Context
	for _, x := range stored.Siblings[:n] {
		seen = seen.Add(x.Dot)
	}
	return causal.State{Seen: seen, Siblings: stored.Siblings[:n:n]}
}

// overwritten is replica's: the state has met the sibling, or its twin, and holds it no more.
func overwritten(s causal.State, x causal.Sibling) bool {
	held := slices.ContainsFunc(s.Siblings, func(h causal.Sibling) bool { return h.Dot == x.Dot })
	return s.Seen.HasStamp(x.Stamp) || s.Seen.Has(x.Dot) && !held
}

func (w *writer) decide(el *write, cur row, kind uint64) (next row, ok bool, err error) {
	next.actor = cur.actor
	if el.mint != nil {
		if next.actor, ok, err = w.mint(el, cur, kind); !ok || err != nil {
			return next, ok, err
		}
	} else if kind == 0 && w.n.lost(el.delta.Seen, cur.state.Seen, minted{}) {
		if !w.n.renew() {
			return next, false, request.ErrOverloaded
		}
	}
	next.state = causal.Sync(cur.state, el.delta).Prune(w.n.settled)
	if el.mint != nil && len(next.state.Siblings) > request.SiblingsMax && len(next.state.Siblings) >= len(cur.state.Siblings) {
		return next, false, request.ErrTooManySiblings
	}
	return next, true, nil
}

func (w *writer) mint(el *write, cur row, kind uint64) (actor causal.Actor, ok bool, err error) {
	for range 2 {
		used := causal.Actor{}
		el.base = cur.state
		if el.delta, ok = el.mint.Mint(cur.state, func() causal.Actor {
			used = w.actor(cur.actor, kind)
			return used
		}); !ok {
			el.delta = causal.State{}
			return cur.actor, false, nil
		}
		just := mintedBy(used, el.delta)
		if kind == 0 && w.n.lost(el.delta.Seen, cur.state.Seen, just) {
			el.delta = causal.State{}
			if !w.n.renew() {
				return cur.actor, false, request.ErrOverloaded
			}
			continue
		}
		if just.beyond(used, el.delta.Seen.Max(used), cur.state.Seen) {
			el.delta, cur.actor = causal.State{}, causal.Actor{}
			continue
		}
		if !used.IsZero() {
			return used, true, nil
		}
		return cur.actor, true, nil
	}
	return cur.actor, false, request.ErrInternal
}

func (w *writer) actor(own causal.Actor, kind uint64) causal.Actor {
	bits := w.n.boot.current.bits
	if fault.On(fault.ReuseActor) {
		return causal.Actor{Boot: bits, Seq: 1 | kind}
	}
	if own.Boot == bits && !own.IsZero() {
		return own
	}
	w.seq++
	return causal.Actor{Boot: bits, Seq: (w.seq - 1) | kind}
}

// hintWrite is writer.oneHint.
func (w *writer) hintWrite(el *write) error {
	d := w.n.store.live
	id := hintID{el.target, el.key}
	held, known := d.hints[id]
	cur := w.hintedRow(held, known, el.key)
	next, ok, err := w.decide(el, cur, hintSeq)
	if err != nil || !ok {
		return err
	}
	el.wrote = w.putHint(id, held, known, hint{data: true, row: next})
	el.survivor = survivors(next.state, el.delta)
	for _, target := range el.owed {
		w.standIn(target, el.key, el.delta)
	}
	return nil
}

func (w *writer) hintedRow(held hint, known bool, key string) row {
	if !known || held.data {
		return held.row
	}
	return row{state: w.n.store.live.rows[key].state}
}

func (w *writer) standIn(target int, key string, delta causal.State) {
	id := hintID{target, key}
	held, known := w.n.store.live.hints[id]
	next := w.hintedRow(held, known, key)
	next.state = causal.Sync(next.state, delta).Prune(w.n.settled)
	w.putHint(id, held, known, hint{data: true, row: next})
}

// owe is writer.owe: the row holds what the target misses.
func (w *writer) owe(target int, key string, delta causal.State, minted bool) {
	if target == w.n.id {
		return
	}
	id := hintID{target, key}
	held, known := w.n.store.live.hints[id]
	if known && held.data {
		w.standIn(target, key, delta)
		return
	}
	if !known && w.n.markers(target) >= markersPerTarget {
		w.n.oweMark(w, target, key)
		return
	}
	next := hint{owed: held.owed.Join(delta.Seen).Prune(w.n.settled), again: held.again}
	if !minted || known && held.owed.Covers(delta.Seen) {
		next.again++
	}
	w.putHint(id, held, known, next)
}

// oweStored is writer.oweStored: a data hint is given the row, and of a row that was given up nothing is owed.
func (w *writer) oweStored(target int, key string, seen causal.Context, minted bool) {
	d := w.n.store.live
	own, known := d.rows[key]
	if !known {
		return
	}
	missed := causal.State{Seen: seen}
	if held, known := d.hints[hintID{target, key}]; known && held.data {
		missed = own.state
	}
	w.owe(target, key, missed, minted)
}

func (w *writer) putHint(id hintID, held hint, known bool, next hint) (changed bool) {
	next.since = held.since
	if !known {
		next.since = w.n.w.now
	}
	if known && held.equal(next) {
		return false
	}
	w.changes = append(w.changes, func(d *disk) { d.hints[id] = next })
	return true
}

func (h hint) equal(o hint) bool {
	return h.data == o.data && h.since == o.since && h.owed.Equal(o.owed) && h.again == o.again && h.actor == o.actor && h.state.Equal(o.state)
}

// markers counts the target's marker hints.
func (n *node) markers(target int) (count int) {
	for id, h := range n.store.live.hints {
		if id.target == target && !h.data {
			count++
		}
	}
	return count
}

// dropHints removes the hints that still satisfy drop.
func (n *node) dropHint(id hintID, drop func(hint) bool) {
	if h, ok := n.store.live.hints[id]; ok && drop(h) {
		n.store.commit(func(d *disk) { delete(d.hints, id) })
	}
}

// sweep is Store.sweep: what expired at least the drift bound ago is removed.
func (n *node) sweep() {
	until := n.wall().UnixMilli() - int64(driftMax/milli)
	if fault.On(fault.SweepEarly) {
		until += 2 * int64(driftMax/milli)
	}
	for _, key := range n.w.keys {
		r, ok := n.store.live.rows[key]
		if !ok {
			continue
		}
		if next, changed := r.state.Expire(until, n.settled); changed {
			n.store.commit(func(d *disk) { d.rows[key] = row{r.actor, next} })
		}
	}
}

// durable calls then once everything written so far survives a power cut.
func (n *node) durable(then func()) {
	upTo := n.store.synced + uint64(len(n.store.log))
	n.after(fsyncTakes, func() {
		n.store.sync(upTo)
		then()
	})
}

// acknowledge calls then when the write is as durable as the sync level says.
func (n *node) acknowledge(upTo uint64, then func()) {
	if n.w.script.Sync != SyncAlways || upTo <= n.store.synced {
		then()
		return
	}
	n.after(fsyncTakes, func() {
		n.store.sync(upTo)
		then()
	})
}

func (n *node) now() check.Moment { return n.w.now }
