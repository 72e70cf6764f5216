package model

import (
	"slices"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/ring"
)

// item is one key on its way to a node that misses part of it.
type item struct {
	key   string
	state causal.State
	sent  hint // as it was read
}

// handoff delivers to each target that is up and not being delivered to. Twin of Store.handoff.
func (n *node) handoff() {
	for target := range n.w.nodes {
		if !n.sees[target] || n.paying[target] || !n.owes(target) {
			continue
		}
		n.paying[target] = true
		n.payHints(target)
	}
}

func (n *node) owes(target int) bool {
	for id := range n.store.live.hints {
		if id.target == target {
			return true
		}
	}
	return len(n.marked(target)) > 0
}

// payHints delivers every hint that is there now, oldest first, then the marks.
func (n *node) payHints(target int) {
	items := n.parcel(target)
	if len(items) == 0 {
		n.payMarks(target)
		return
	}
	if fault.On(fault.DropHintBeforeAck) {
		n.dropDelivered(target, items, make([]bool, len(items)))
	}
	n.deliver(target, items, func(stored []bool) {
		if stored == nil {
			n.paying[target] = false
			return
		}
		n.dropDelivered(target, items, stored)
		n.payMarks(target)
	})
}

func (n *node) parcel(target int) (items []item) {
	d := n.store.live
	for _, key := range n.w.keys {
		h, ok := d.hints[hintID{target, key}]
		if !ok {
			continue
		}
		state := h.state
		if !h.data {
			state = d.rows[key].state
		}
		items = append(items, item{key, state, h})
	}
	slices.SortStableFunc(items, func(a, b item) int { return int(a.sent.since - b.sent.since) })
	return items
}

// keepOwn is node.Node.keepOwn.
func (n *node) keepOwn(items []item) {
	for _, it := range items {
		if it.sent.data && n.doc.Layout.Holds(n.w.ids[n.id], n.w.partition(it.key)) {
			n.apply(&write{key: it.key, delta: it.state, target: -1, reserve: true})
		}
	}
}

// deliver sends the items; stored says which the target calls durable; nil: it did not answer.
func (n *node) deliver(target int, items []item, then func(stored []bool)) {
	n.keepOwn(items)
	to := n.w.nodes[target]
	var stored []bool
	version := n.view.Version
	n.call(to, n.now()+n.w.deliverPatience(), func(answer func(error)) {
		to.accept(items, version, func(said []bool) {
			stored = said
			answer(nil)
		})
	}, func(err error) {
		if err != nil {
			stored = nil
		}
		then(stored)
	})
}

// accept is node.server.ServeHandoff.
func (n *node) accept(items []item, layout uint64, answer func([]bool)) {
	stored := make([]bool, len(items))
	for i, it := range items {
		el := &write{key: it.key, delta: it.state, target: -1, reserve: true}
		if n.serves(it.key, rolePrimary, false, layout) == nil {
			n.settlement.Observe(el.delta)
			n.apply(el)
			stored[i] = el.err == nil
		}
	}
	confirm := func() {
		for i, it := range items {
			if stored[i] {
				durable := check.Holds(n.store.safe.held(it.key, len(n.w.nodes)), it.state)
				n.w.history.Confirmations = append(n.w.history.Confirmations, check.Confirmation{Node: n.id, Key: it.key, Durable: durable})
			}
		}
		answer(stored)
	}
	if fault.On(fault.ConfirmBeforeSync) {
		confirm()
		return
	}
	n.durable(confirm)
}

func (n *node) dropDelivered(target int, items []item, stored []bool) {
	for i, it := range items {
		if stored[i] || fault.On(fault.DropHintBeforeAck) {
			n.dropHint(hintID{target, it.key}, func(h hint) bool { return h.equal(it.sent) || fault.On(fault.DropChangedHint) })
		}
	}
}

// Marks: a target misses anything of a partition. Twin of Store.payMark, one delivery for each key.

// oweMark marks the key's partition; what is owed while a payment runs is of the next generation.
func (n *node) oweMark(w *writer, target int, key string) {
	p := int(n.w.partition(key))
	id := markID{target, p, n.generation[target*partitions+p]}
	if !n.store.live.marks[id] {
		w.changes = append(w.changes, func(d *disk) { d.marks[id] = true })
	}
}

// marked returns the partitions that are owed to the target.
func (n *node) marked(target int) (ps []int) {
	for id := range n.store.live.marks {
		if id.target == target && !slices.Contains(ps, id.partition) {
			ps = append(ps, id.partition)
		}
	}
	slices.Sort(ps)
	return ps
}

func (n *node) payMarks(target int) {
	ps := n.marked(target)
	if len(ps) == 0 {
		n.paying[target] = false
		return
	}
	p := ps[0]
	generation := n.generation[target*partitions+p]
	n.generation[target*partitions+p]++
	var items []item
	for _, key := range n.w.keys {
		if r, ok := n.store.live.rows[key]; ok && n.w.partition(key) == ring.Partition(p) {
			items = append(items, item{key: key, state: r.state})
		}
	}
	n.deliver(target, items, func(stored []bool) {
		if stored == nil || slices.Contains(stored, false) {
			n.paying[target] = false
			return
		}
		n.store.commit(func(d *disk) {
			for id := range d.marks {
				if id.target == target && id.partition == p && id.generation <= generation {
					delete(d.marks, id)
				}
			}
		})
		n.payMarks(target)
	})
}

// expireHints is no rule of the store: it is what a planted fault does.
func (n *node) expireHints() {
	if !fault.On(fault.ExpireHint) {
		return
	}
	for target := range n.w.nodes {
		for _, key := range n.w.keys {
			n.dropHint(hintID{target, key}, func(h hint) bool { return n.now()-h.since > 2*second })
		}
	}
}
