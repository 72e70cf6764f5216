package model

import (
	"bytes"
	"slices"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// The ring changes by package ring's own steps. What stands around them is modelled: documents are told, acknowledged and
// persisted; an incoming owner copies row by row; a former one hands on what it has and deletes it.

// changing is what a process knows of a ring that changes; a crash loses it.
type changing struct {
	executing map[uint64]int // writes and rounds under way, by the layout that they were decided by
	pulls     map[ring.Held]*pull
	purges    map[ring.Partition]bool
	rerouting bool
	stepped   bool   // the next step was looked for since the document changed
	encoded   []byte // the document's bytes; nil: not known yet
}

// pull is what an incoming owner has yet to copy.
type pull struct {
	from []ring.NodeID
	at   int // of the keys, from the first source
	busy bool
}

func newChanging() changing {
	return changing{executing: map[uint64]int{}, pulls: map[ring.Held]*pull{}, purges: map[ring.Partition]bool{}}
}

// within runs act as something decided by the present view, a moment later; Coordinator.within.
func (n *node) within(act func()) {
	if !n.w.changes {
		act()
		return
	}
	leave := n.enter()
	takes := check.Moment(n.w.rng.Int64N(int64(2 * milli)))
	if !n.w.calm && n.w.rng.IntN(15) == 0 {
		takes += check.Moment(n.w.rng.Int64N(int64(150 * milli))) // a disk that stalls, not for so long that another coordinator is asked
	}
	n.after(takes, func() {
		act()
		leave()
	})
}

func (n *node) enter() (leave func()) {
	version := n.view.Version
	n.ring.executing[version]++
	return func() {
		if n.ring.executing[version]--; n.ring.executing[version] == 0 {
			delete(n.ring.executing, version)
			if n.w.changes {
				n.drive()
			}
		}
	}
}

// quiesced is Coordinator.Quiesce.
func (n *node) quiesced() bool {
	for version := range n.ring.executing {
		if version < n.doc.Layout.Version {
			return false
		}
	}
	return true
}

// adopt persists a document and lets it rule.
func (n *node) adopt(doc ring.State) {
	encoded := doc.Encode()
	if bytes.Equal(encoded, n.encoded()) {
		return
	}
	if err := doc.Check(); err != nil {
		panic(err)
	}
	n.store.commit(func(d *disk) { d.doc = doc })
	n.store.syncAll()
	n.doc, n.ring.stepped, n.ring.encoded = doc, false, encoded
	if me, _ := doc.Member(n.w.ids[n.id]); me.Status == ring.Removed {
		n.w.dismiss(n)
		return
	}
	n.refresh()
	n.tell()
	n.drive()
}

// tell sends the document to everybody in reach.
func (n *node) tell() {
	doc, encoded := n.doc, n.encoded()
	for _, o := range n.w.nodes {
		if o != n && n.sees[o.id] {
			n.w.send(n.id, o.id, func() { o.run(o.life, func() { o.hear(n.id, doc, encoded) }) })
		}
	}
}

// encoded returns the document's bytes, which are the same for equal documents.
func (n *node) encoded() []byte {
	if n.ring.encoded == nil {
		n.ring.encoded = n.doc.Encode()
	}
	return n.ring.encoded
}

// hear takes another's document. Most say what is known already.
func (n *node) hear(from int, doc ring.State, encoded []byte) {
	if bytes.Equal(encoded, n.encoded()) {
		return
	}
	if heard, err := ring.Hear(n.doc, n.w.ids[n.id], n.w.ids[from], doc); err == nil {
		n.adopt(heard)
	}
}

// behind fetches the newer document from whoever showed that there is one.
func (n *node) behind() { n.w.news(n) }

// news lets everybody in reach tell a node what they know.
func (w *world) news(n *node) {
	for _, o := range w.nodes {
		if o != n && !o.down && n.sees[o.id] {
			w.send(n.id, o.id, func() {
				o.run(o.life, func() {
					doc, encoded := o.doc, o.encoded()
					w.send(o.id, n.id, func() { n.run(n.life, func() { n.hear(o.id, doc, encoded) }) })
				})
			})
		}
	}
}

// drive does what the document asks of this node.
func (n *node) drive() {
	if n.down || n.paused || n.closing {
		return
	}
	n.acknowledgeLayout()
	n.pullAll()
	n.purgeAll()
	n.reroute()
	if n.ring.stepped {
		return
	}
	n.ring.stepped = true
	if next, _ := ring.Next(n.doc, n.w.ids[n.id]); next.Layout != n.doc.Layout || !slices.Equal(next.Members, n.doc.Members) {
		n.w.count.steps++
		n.adopt(next)
	}
}

func (n *node) acknowledgeLayout() {
	self := n.w.ids[n.id]
	r, _ := n.doc.Report(self)
	if now := n.doc.Edition(); n.doc.Layout.Has(self) && r.Acked != now && n.quiesced() {
		n.say(func(r *ring.Report) { r.Acked = now })
	}
	me, _ := n.doc.Member(self)
	if empty := n.empty(); me.Status == ring.Leaving && r.Empty != empty {
		n.say(func(r *ring.Report) { r.Empty = empty })
	}
}

// empty is changer.empty, but for the node's roles: a node that leaves serves its clients to their end.
func (n *node) empty() bool {
	d := n.store.live
	return len(d.rows)+len(d.hints)+len(d.marks)+n.serving == 0
}

// farewell reports whether a node that leaves has said that nothing is left to do for anybody: who comes now may find it gone.
func (n *node) farewell() bool {
	r, _ := n.doc.Report(n.w.ids[n.id])
	return r.Empty
}

// say changes what the node reports.
func (n *node) say(change func(*ring.Report)) {
	r, _ := n.doc.Report(n.w.ids[n.id])
	r.Node, r.Seq = n.w.ids[n.id], r.Seq+1
	r.Held = slices.DeleteFunc(slices.Clone(r.Held), func(h ring.Held) bool {
		c, running := n.doc.Layout.Change(h.Partition)
		return !running || c.Began != h.Began
	})
	change(&r)
	slices.SortFunc(r.Held, func(a, b ring.Held) int { return int(a.Partition) - int(b.Partition) })
	n.adopt(n.doc.WithReport(r))
}

func (n *node) pullAll() {
	for _, c := range n.doc.Layout.Changes {
		from, began, ok := n.doc.Sources(c.Partition)
		h := ring.Held{Partition: c.Partition, Began: began}
		if r, _ := n.doc.Report(n.w.ids[n.id]); !ok || n.doc.Layout.In(c) != n.w.ids[n.id] || slices.Contains(r.Held, h) {
			continue
		}
		if n.ring.pulls[h] == nil {
			n.ring.pulls[h] = &pull{from: from}
		}
		n.pull(h, n.ring.pulls[h], from)
	}
}

// pull copies the next row; when there is none left it says so, once all are durable.
func (n *node) pull(h ring.Held, p *pull, sources []ring.NodeID) {
	p.from = slices.DeleteFunc(p.from, func(id ring.NodeID) bool { return !slices.Contains(sources, id) })
	switch {
	case p.busy:
	case len(p.from) == 0 || fault.On(fault.ReadUnheld):
		p.busy = true
		n.durable(func() {
			p.busy = false
			n.say(func(r *ring.Report) {
				if !slices.Contains(r.Held, h) {
					r.Held = append(r.Held, h)
				}
			})
		})
	case p.at == len(n.w.keys):
		p.from, p.at = p.from[1:], 0
		n.pull(h, p, sources)
	case n.w.partition(n.w.keys[p.at]) != h.Partition:
		p.at++
		n.pull(h, p, sources)
	default:
		n.fetch(h, p, sources)
	}
}

func (n *node) fetch(h ring.Held, p *pull, sources []ring.NodeID) {
	p.busy = true
	key, from := n.w.keys[p.at], n.w.nodes[n.w.index(p.from[0])]
	var state causal.State
	n.call(from, n.now()+copyDeadline, func(answer func(error)) {
		state = from.store.live.rows[key].state
		answer(nil)
	}, func(err error) {
		p.busy = false
		if err != nil {
			return // the next drive tries again
		}
		el := &write{key: key, delta: state, target: -1, reserve: true}
		if n.apply(el); el.err == nil {
			p.at++
			n.w.count.pulled++
		}
		n.pull(h, p, sources)
	})
}

// purgeAll hands on and deletes the rows of partitions that are others' now, by the word of a layout that all acknowledged.
func (n *node) purgeAll() {
	if len(n.doc.Unacknowledged()) > 0 {
		return
	}
	for p := range ring.Partition(partitions) {
		if rows := n.rowsOf(p); len(rows) > 0 && !n.ring.purges[p] && n.strange(p) {
			n.ring.purges[p] = true
			n.handOn(rows, slices.Clone(n.doc.Layout.Owners[p]), func(ok bool) {
				delete(n.ring.purges, p)
				if ok && n.strange(p) {
					n.purge(p, rows)
				}
			})
		}
	}
}

// strange reports whether a partition is at rest with others.
func (n *node) strange(p ring.Partition) bool {
	_, running := n.doc.Layout.Change(p)
	return !running && !n.doc.Layout.Holds(n.w.ids[n.id], p) && n.doc.Layout.Version > 1
}

func (n *node) rowsOf(p ring.Partition) (items []item) {
	for _, key := range n.w.keys {
		if r, ok := n.store.live.rows[key]; ok && n.w.partition(key) == p {
			items = append(items, item{key: key, state: r.state})
		}
	}
	return items
}

// purge deletes the rows that are as they were handed on, and what is owed of them: their owners hold it.
func (n *node) purge(p ring.Partition, rows []item) {
	n.store.commit(func(d *disk) {
		for _, it := range rows {
			if !d.rows[it.key].state.Equal(it.state) {
				continue
			}
			delete(d.rows, it.key)
			for target := range n.w.nodes {
				if h, ok := d.hints[hintID{target, it.key}]; ok && !h.data {
					delete(d.hints, hintID{target, it.key})
				}
			}
		}
		for id := range d.marks {
			if id.partition == int(p) {
				delete(d.marks, id)
			}
		}
	})
	n.w.count.purged++
	n.drive()
}

// handOn gives items to every one of the owners, one after the other; then says whether all durably hold them.
func (n *node) handOn(items []item, owners []ring.NodeID, then func(bool)) {
	if len(owners) == 0 || fault.On(fault.DeleteUnconfirmed) {
		then(true)
		return
	}
	target := n.w.index(owners[0])
	if target == n.id {
		for _, it := range items {
			n.apply(&write{key: it.key, delta: it.state, target: -1, reserve: true})
		}
		n.durable(func() { n.handOn(items, owners[1:], then) })
		return
	}
	n.deliver(target, items, func(stored []bool) {
		if stored == nil || slices.Contains(stored, false) {
			then(false)
			return
		}
		n.handOn(items, owners[1:], then)
	})
}

// reroute hands what is kept for nodes that own the key no more to all who do.
func (n *node) reroute() {
	if n.ring.rerouting || len(n.doc.Unacknowledged()) > 0 {
		return
	}
	for _, key := range n.w.keys {
		for target := range n.w.nodes {
			id := hintID{target, key}
			h, ok := n.store.live.hints[id]
			p := n.w.partition(key)
			if _, running := n.doc.Layout.Change(p); !ok || running || n.doc.Layout.Holds(n.w.ids[target], p) {
				continue
			}
			state := h.state
			if !h.data {
				state = n.store.live.rows[key].state
			}
			n.ring.rerouting = true
			n.handOn([]item{{key: key, state: state}}, slices.Clone(n.doc.Layout.Owners[p]), func(ok bool) {
				n.ring.rerouting = false
				if ok {
					n.dropHint(id, func(now hint) bool { return now.equal(h) })
					n.drive()
				}
			})
			return
		}
	}
	n.rerouteMark()
}

func (n *node) rerouteMark() {
	for id := range n.store.live.marks {
		p := ring.Partition(id.partition)
		if _, running := n.doc.Layout.Change(p); running || n.doc.Layout.Holds(n.w.ids[id.target], p) {
			continue
		}
		n.ring.rerouting = true
		n.handOn(n.rowsOf(p), slices.Clone(n.doc.Layout.Owners[p]), func(ok bool) {
			n.ring.rerouting = false
			if ok {
				n.store.commit(func(d *disk) { delete(d.marks, id) })
				n.drive()
			}
		})
		return
	}
}

// command is an operator's word, given to some node that lives.
func (w *world) command(s Step) {
	n := w.nodes[s.A-1]
	at := slices.IndexFunc(w.nodes, func(o *node) bool { return !o.down && !o.paused && o != n && o.id != s.B-1 })
	if at < 0 {
		return
	}
	asked := w.nodes[at]
	doc, err := asked.doc, error(nil)
	switch s.Verb {
	case "join":
		doc, err = asked.doc.Join(w.member(n.id))
	case "replace":
		doc, err = asked.doc.Replace(w.ids[s.B-1], w.member(n.id))
	case "leave":
		doc, err = asked.doc.Leave(w.ids[n.id])
	case "remove":
		doc, err = asked.doc.Remove(w.ids[n.id])
	}
	if err != nil {
		return
	}
	switch s.Verb {
	case "join", "replace":
		if !n.gone || n.life > 0 {
			return
		}
		if s.Verb == "replace" {
			w.dismiss(w.nodes[s.B-1])
		}
		n.gone = false
		n.store = newStorage(newDisk())
		n.store.live.doc, n.store.safe.doc = doc, doc
		n.start()
	case "remove":
		w.dismiss(n)
	}
	asked.adopt(doc)
}

func (w *world) member(i int) ring.Member { return ring.Member{ID: w.ids[i], Weight: 1} }

// dismiss ends a node that is a member no more, and its disk.
func (w *world) dismiss(n *node) {
	if n.gone {
		return
	}
	if n.down {
		n.gone = true
		w.lose(n, newDisk())
		return
	}
	w.stop(n, "wipe")
}

// document returns the newest document of all that live.
func (w *world) document() ring.State {
	var newest ring.State
	for _, n := range w.nodes {
		if !n.gone && (newest.IsZero() || n.doc.Layout.Version > newest.Layout.Version) {
			newest = n.doc
		}
	}
	return newest
}

// resolve removes the members whose disks are gone, so that what they pause goes on.
func (w *world) resolve() {
	if !w.changes {
		return
	}
	for _, n := range w.nodes {
		if m, known := w.document().Member(w.ids[n.id]); n.gone && known && m.Status != ring.Removed {
			w.command(Step{Verb: "remove", A: n.id + 1})
		}
	}
}

// atRest reports whether all that live have come to the end of every change.
func (w *world) atRest() bool {
	for _, n := range w.nodes {
		if n.gone {
			continue
		}
		next, waits := ring.Next(n.doc, w.ids[n.id])
		if len(waits) > 0 || len(n.doc.Layout.Changes) > 0 || next.Layout != n.doc.Layout {
			return false
		}
	}
	return true
}

// stale reports whether a node refused because it knows a newer layout.
func stale(err error) bool { return err == request.ErrStaleLayout }
