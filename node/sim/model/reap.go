package model

import (
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/replica/reap"
	"github.com/holdfastdb/holdfast/ring"
)

// Twin of node's reaper, one event for each message; package reap's rounds and holds are the real ones. Scripts with the step "reap" have
// it, from that step on, and deadlines that are short enough for rounds to end within a run.

// reaping is what a process knows of rounds; a crash loses it.
type reaping struct {
	began check.Moment
	own   map[ring.Partition]*reapRound
	holds map[ring.Partition]*reapHold
	turn  map[ring.Partition]check.Moment
}

// reapRound is a round of this node's own.
type reapRound struct {
	partition    ring.Partition
	since, round uint64
	members      []ring.NodeID
	keys         []string
	seen         []causal.Context
	*reap.Round
}

// reapHold is what a primary holds for a round.
type reapHold struct {
	reap.Hold
	rows map[string]causal.State
}

// reapAnswer is what a node said of the keys that were left.
type reapAnswer struct {
	said   []reap.Refusal
	larger map[string]causal.Context
}

func newReaping(now check.Moment) reaping {
	return reaping{now, map[ring.Partition]*reapRound{}, map[ring.Partition]*reapHold{}, map[ring.Partition]check.Moment{}}
}

func span(m check.Moment) time.Duration { return time.Duration(m) }

// reap is reaper.look.
func (n *node) reap() {
	if !n.w.reaping {
		return
	}
	members, complete := n.reapMembers()
	for p := range ring.Partition(partitions) {
		_, changing := n.doc.Layout.Change(p)
		at := slices.Index(n.doc.Layout.Owners[p], n.w.ids[n.id])
		if at < 0 || changing || !complete || n.reaping.own[p] != nil {
			continue
		}
		if h := n.reaping.holds[p]; h != nil && h.MayHold(reap.Hold{}, span(n.now()), span(reapQuiet)) != reap.None {
			n.reaping.turn[p] = n.now()
			continue
		}
		if n.now() >= n.reaping.turn[p]+check.Moment(at)*reapStagger {
			n.beginReap(p, members)
		}
	}
}

func (n *node) reapMembers() (ids []ring.NodeID, complete bool) {
	complete = true
	for _, m := range n.doc.Members {
		if m.Status == ring.Removed {
			continue
		}
		if !n.sees[n.w.index(m.ID)] {
			complete = fault.On(fault.ReapWhileDown)
			if !complete {
				return nil, false
			}
			continue
		}
		ids = append(ids, m.ID)
	}
	return ids, complete
}

func (n *node) beginReap(p ring.Partition, members []ring.NodeID) {
	r := &reapRound{partition: p, since: n.doc.Layout.Since[p], members: members}
	for _, key := range n.w.keys {
		if row := n.store.live.rows[key]; n.w.partition(key) == p && row.state.Tombstone() {
			r.keys, r.seen = append(r.keys, key), append(r.seen, row.state.Seen)
		}
	}
	if len(r.keys) == 0 {
		return
	}
	r.round = n.w.draw()
	r.Round = reap.NewRound(n.doc.Layout.Owners[p], members, len(r.keys), span(reapQuiet))
	n.reaping.own[p] = r
	n.driveReap(r)
}

// driveReap is reaper.round.
func (n *node) driveReap(r *reapRound) {
	now, _ := n.reapMembers()
	switch {
	case r.Phase() == reap.Over:
		delete(n.reaping.own, r.partition)
		n.reaping.turn[r.partition] = n.now()
	case len(r.Asks()) > 0:
		if !slices.Equal(now, r.members) && !fault.On(fault.ReapWhileDown) {
			r.Abandon(reap.Layout)
		}
		n.askReap(r)
	default:
		n.at(check.Moment(r.Until()), func() {
			r.Wait(span(n.now()))
			n.driveReap(r)
		})
	}
}

// askReap asks all that the phase lacks at once, and tells the round when the last has answered.
func (n *node) askReap(r *reapRound) {
	asked, left := slices.Clone(r.Asks()), r.Keys()
	answers := make([]*reapAnswer, len(asked))
	open := len(asked)
	for i, id := range asked {
		to := n.w.nodes[n.w.index(id)]
		var a reapAnswer
		n.call(to, n.now()+copyDeadline, func(answer func(error)) {
			to.serveReap(r, left, func(said reapAnswer) {
				a = said
				answer(nil)
			})
		}, func(err error) {
			if err == nil {
				answers[i] = &a
			}
			if open--; open == 0 {
				n.tellReap(r, asked, left, answers)
			}
		})
	}
}

func (n *node) tellReap(r *reapRound, asked []ring.NodeID, left []int, answers []*reapAnswer) {
	for i, id := range asked {
		if answers[i] == nil {
			r.Lost(id, span(n.now()))
			continue
		}
		var still []reap.Refusal
		for j, key := range left {
			if r.Refused()[key] == reap.None {
				still = append(still, answers[i].said[j])
			}
		}
		r.Answer(id, still, span(n.now()))
		for key, seen := range answers[i].larger {
			n.holdTombstone(key, seen)
		}
	}
	n.driveReap(r)
}

// holdTombstone is writer.holdTombstone.
func (n *node) holdTombstone(key string, seen causal.Context) causal.State {
	held := n.store.live.rows[key]
	next := row{held.actor, causal.Sync(held.state, causal.State{Seen: seen}).Prune(n.settled)}
	if !next.state.Equal(held.state) {
		n.store.commit(func(d *disk) { d.rows[key] = next })
	}
	return next.state
}

// serveReap is reaper.serve; what is answered rests on the disk.
func (n *node) serveReap(r *reapRound, left []int, answer func(reapAnswer)) {
	a := reapAnswer{said: make([]reap.Refusal, len(left))}
	all := func(why reap.Refusal) {
		for i := range a.said {
			a.said[i] = why
		}
		answer(a)
	}
	switch r.Phase() {
	case reap.Propose:
		if !n.atReap(r) || !n.doc.Layout.Holds(n.w.ids[n.id], r.partition) {
			all(reap.Layout)
			return
		}
		n.proposeReap(r, left, a, answer, all)
	case reap.Clear:
		for i, at := range left {
			a.said[i] = n.clearReap(r, r.keys[at])
		}
		n.durable(func() { answer(a) })
	case reap.Commit:
		n.commitReap(r, left, a, answer, all)
	case reap.Release:
		if h := n.reaping.holds[r.partition]; h != nil && h.Round == r.round {
			delete(n.reaping.holds, r.partition)
		}
		answer(a)
	}
}

// atReap is reaper.at.
func (n *node) atReap(r *reapRound) bool {
	_, changing := n.doc.Layout.Change(r.partition)
	return !changing && n.doc.Layout.Since[r.partition] == r.since
}

func (n *node) proposeReap(r *reapRound, left []int, a reapAnswer, answer func(reapAnswer), all func(reap.Refusal)) {
	h := &reapHold{reap.Hold{Round: r.round, Since: r.since, Pauses: uint64(n.slept), At: span(n.now())}, map[string]causal.State{}}
	if old := n.reaping.holds[r.partition]; old != nil {
		if why := old.MayHold(h.Hold, span(n.now()), span(reapQuiet)); why != reap.None {
			all(why)
			return
		}
	}
	n.reaping.holds[r.partition] = &reapHold{Hold: h.Hold}
	a.larger = map[string]causal.Context{}
	for i, at := range left {
		switch state := n.holdTombstone(r.keys[at], r.seen[at]); {
		case !state.Tombstone():
			a.said[i] = reap.Lives
		case !r.seen[at].Covers(state.Seen):
			a.said[i], a.larger[r.keys[at]] = reap.Differs, state.Seen
		default:
			h.rows[r.keys[at]] = state
		}
	}
	n.durable(func() {
		h.At = span(n.now())
		if now := n.reaping.holds[r.partition]; now != nil && now.Round == r.round {
			n.reaping.holds[r.partition] = h
		}
		answer(a)
	})
}

// clearReap is reaper.clear for one key.
func (n *node) clearReap(r *reapRound, key string) reap.Refusal {
	d := n.store.live
	_, has := d.rows[key]
	found := reap.Found{Row: has}
	for target := range n.w.nodes {
		_, hinted := d.hints[hintID{target, key}]
		found.Hint = found.Hint || hinted || slices.Contains(n.marked(target), int(r.partition))
	}
	due := slices.ContainsFunc(n.dues, func(d due) bool { return d.kind != dueRepair && n.w.partition(d.key) == r.partition })
	site := reap.Site{Layout: n.atReap(r), Primary: n.doc.Layout.Holds(n.w.ids[n.id], r.partition), Due: due,
		Steady: span(n.now() - max(n.slept, n.reaping.began))}
	return site.Clear(found, span(reapQuiet))
}

func (n *node) commitReap(r *reapRound, left []int, a reapAnswer, answer func(reapAnswer), all func(reap.Refusal)) {
	h := n.reaping.holds[r.partition]
	if h == nil || !n.atReap(r) {
		all(reap.Unknown)
		return
	}
	now := reap.Hold{Since: n.doc.Layout.Since[r.partition], Pauses: uint64(n.slept), At: span(n.now())}
	if why := h.MayCommit(reap.Hold{Round: r.round, Since: r.since}, now, span(reapQuiet)); why != reap.None {
		all(why)
		return
	}
	delete(n.reaping.holds, r.partition)
	for i, at := range left {
		if key := r.keys[at]; !n.forget(key, h.rows[key]) {
			a.said[i] = reap.Changed
		}
	}
	answer(a)
}

// forget is Store.ForgetTombstones for one key. Nobody waits for the disk.
func (n *node) forget(key string, held causal.State) bool {
	if now, ok := n.store.live.rows[key]; !ok || !now.state.Equal(held) || !held.Tombstone() {
		return false
	}
	n.w.reaped[key] = n.w.reaped[key].Join(held.Seen)
	n.w.count.reaped++
	n.store.commit(func(d *disk) {
		delete(d.rows, key)
		for target := range n.w.nodes {
			if h, ok := d.hints[hintID{target, key}]; ok && !h.data {
				delete(d.hints, hintID{target, key})
			}
		}
	})
	return true
}

// known returns a state with what was reaped of the key: for checkers, which ask whether somebody had met a write.
func (w *world) known(key string, s causal.State) causal.State {
	s.Seen = s.Seen.Join(w.reaped[key])
	return s
}

// deliverPatience is replica's, shorter where there are rounds.
func (w *world) deliverPatience() check.Moment {
	if w.reaps {
		return reapQuiet - second
	}
	return deliverTimeout
}
