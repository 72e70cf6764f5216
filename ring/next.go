package ring

import (
	"cmp"
	"slices"
	"sync"
)

// Next returns the document after the next step of the ring's change as the node self may make it, or s itself when there is
// none to make now, and what is waited for. A member of the layout that is not removed may make steps, and must have the result on disk before
// anybody hears of it; all make the same step of the same document, apart from this: no node removes itself, lest its last word be lost with
// it. It costs a Plan once all have acknowledged.
//
// A step is made only when every member of the layout, removed ones apart, has acknowledged the present edition. Two nodes may
// make different steps from one document; Merge then picks one of the two layouts. The loser does no harm: its author does not
// acknowledge the winner before it goes by it, so nothing is built upon either before one of them is gone, and any two steps from
// one edition, like a step and what it came from, have quorums that meet:
//
//	owners O            -> O, or both O and O' written and O read
//	both, O read        -> the same, or both, O' read; O alone if the incoming owner was removed, which the edition tells all
//	both, O' read       -> the same, or O' alone; both, O read if the incoming owner was removed
//
// Of two nodes one cannot step as if a node were removed and the other as if it were not: the former needs the latter's
// acknowledgement of the removal, and whoever has made a step acknowledges only that from then on (and Hear keeps away what a removed node
// still says).
func Next(s State, self NodeID) (State, []Wait) { return new(Planner).Next(s, self) }

// A Planner is Next and State.Remaining for somebody who asks again and again, as a node does while the ring changes: it remembers its last
// Plan. Most steps only take partitions from phase to phase and lead where the step before led, and the same document is asked of by
// the node itself and by every status. The zero Planner is ready. Its methods are safe for concurrent use; callers at the same time wait for
// one Plan.
type Planner struct {
	mu struct {
		sync.Mutex
		prev    *Layout // what the last plan was made of; nil: there was none
		members []Member
		target  *Layout
		err     error
	}
}

// plan is Plan for prev's own Q and N, but that the version of the result may be another's: only its owners count.
func (pl *Planner) plan(prev *Layout, members []Member) (*Layout, error) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	known := pl.mu.prev != nil && pl.mu.prev.Q == prev.Q && pl.mu.prev.N == prev.N && slices.Equal(pl.mu.members, members) &&
		slices.EqualFunc(pl.mu.prev.Owners, prev.Owners, slices.Equal[[]NodeID])
	if !known {
		target, err := Plan(prev, members, prev.Q, prev.N)
		pl.mu.prev, pl.mu.members, pl.mu.target, pl.mu.err = prev, members, target, err
	}
	return pl.mu.target, pl.mu.err
}

// Next is the function Next.
func (pl *Planner) Next(s State, self NodeID) (State, []Wait) {
	if s.IsZero() {
		return s, nil
	}
	if waits := s.acknowledgements(); len(waits) > 0 {
		return s, waits
	}
	if s.Removed(self) || !s.Layout.Has(self) {
		return s, nil
	}
	st := newStep(s, pl)
	if !st.admit() {
		st.advance()
		st.start()
	}
	st.graduate(self)
	return st.finish(), st.waits
}

// A step is the next document in the making.
type step struct {
	planner *Planner
	s       State
	l       *Layout // a copy, with the next version
	changed bool    // l differs from the present layout in more than its version
	waits   []Wait
	settled bool // every partition is where Plan wants it
}

func newStep(s State, pl *Planner) *step {
	l := s.Layout.revised()
	l.Version++
	l.Owners, l.Since, l.Changes = slices.Clone(l.Owners), slices.Clone(l.Since), slices.Clone(l.Changes)
	return &step{planner: pl, s: s, l: l}
}

// finish returns the document that the step has made.
func (st *step) finish() State {
	if st.changed {
		st.l.Members = st.members()
		st.s.Layout = st.l
	}
	return st.s
}

// members returns who is to acknowledge the next layout: all that may own something, do or are about to.
func (st *step) members() []NodeID {
	ids := st.l.nodes()
	for _, m := range st.s.Members {
		if m.votes() {
			ids = append(ids, m.ID)
		}
	}
	slices.SortFunc(ids, NodeID.Compare)
	return slices.Compact(ids)
}

// votes reports whether a member takes part in changing the ring, whatever it owns.
func (m Member) votes() bool { return m.Status != Removed }

// admit makes a layout of newcomers' own, and reports whether there are any: nothing is given to a node, and no plan counts on it, before
// it has acknowledged a layout.
func (st *step) admit() bool {
	for _, m := range st.s.Members {
		st.changed = st.changed || m.votes() && !st.l.Has(m.ID)
	}
	return st.changed
}

// advance takes each change to its next phase if it may go on.
func (st *step) advance() {
	held := map[NodeID]int{}
	running := st.l.Changes[:0]
	for _, c := range st.l.Changes {
		in := st.l.In(c)
		report, _ := st.s.Report(in)
		switch {
		case st.s.Removed(in) && c.Phase == Read: // the old owners were written to all along
			c.Phase = Both
			st.touch(c.Partition)
			running = append(running, c)
		case st.s.Removed(in):
			st.touch(c.Partition)
		case c.Phase == Read:
			st.l.Owners[c.Partition] = c.Next
			st.touch(c.Partition)
		case in.IsZero() || report.holds(c):
			c.Phase = Read
			st.touch(c.Partition)
			running = append(running, c)
		default:
			held[in]++
			running = append(running, c)
		}
	}
	st.l.Changes = running
	for _, id := range st.l.Members {
		if held[id] > 0 {
			st.waits = append(st.waits, st.s.waitFor(id, Wait{What: WaitHold, Partitions: held[id]}))
		}
	}
}

func (st *step) touch(p Partition) {
	st.l.Since[p], st.changed = st.l.Version, true
}

// start begins changes towards the plan, within the caps, partitions with the fewest owners left first; when no set of
// owners has to change any more it puts the first places in order.
func (st *step) start() {
	target, err := st.plan()
	if err != nil {
		st.waits = append(st.waits, Wait{What: WaitOwner})
		return
	}
	st.settled = len(st.l.Changes) == 0
	coming := map[NodeID]int{}
	for _, c := range st.l.Changes {
		coming[st.l.In(c)]++
	}
	for _, p := range st.urgent() {
		next := st.swap(p, target.Owners[p], coming)
		if next == nil {
			continue
		}
		st.l.Changes = append(st.l.Changes, Change{Partition: p, Phase: Both, Began: st.l.Version, Next: next})
		st.touch(p)
	}
	slices.SortFunc(st.l.Changes, func(a, b Change) int { return cmp.Compare(a.Partition, b.Partition) })
	if st.settled {
		st.reorder(target)
	}
}

// plan returns where everything should be, given where it will be when what runs has ended.
func (st *step) plan() (*Layout, error) {
	prev := st.l.revised()
	prev.Owners = slices.Clone(prev.Owners)
	for _, c := range prev.Changes {
		prev.Owners[c.Partition] = c.Next
	}
	prev.Changes = nil
	members := slices.DeleteFunc(slices.Clone(st.s.Members), func(m Member) bool { return !st.l.Has(m.ID) })
	return st.planner.plan(prev, members)
}

// urgent returns the partitions of which no owner is being exchanged, those with the fewest owners that are not removed first.
func (st *step) urgent() []Partition {
	var order []Partition
	live := make([]int, st.l.Q)
	for p, owners := range st.l.Owners {
		for _, id := range owners {
			if !st.s.Removed(id) {
				live[p]++
			}
		}
		if _, changing := st.l.Change(Partition(p)); !changing {
			order = append(order, Partition(p))
		}
	}
	slices.SortStableFunc(order, func(a, b Partition) int { return cmp.Compare(live[a], live[b]) })
	return order
}

// swap returns partition p's owners after one exchange towards the wanted ones; nil when none is needed, or none is allowed yet. coming
// counts the changes that bring each node something.
func (st *step) swap(p Partition, want []NodeID, coming map[NodeID]int) []NodeID {
	have := st.l.Owners[p]
	outs, ins := without(have, want), without(want, have)
	if len(outs)+len(ins) == 0 {
		return nil
	}
	st.settled = false
	ins = slices.DeleteFunc(ins, func(id NodeID) bool { return coming[id] >= IncomingMax })
	if len(st.l.Changes) >= ChangesMax {
		return nil
	}
	var out, in NodeID
	switch {
	case len(have) > len(want):
		out = st.firstRemoved(outs)
	case len(ins) == 0:
		return nil
	case len(have) < len(want):
		in = ins[0]
	default:
		out, in = st.pair(outs, ins)
	}
	if !in.IsZero() {
		coming[in]++
	}
	return exchanged(have, want, out, in)
}

// without returns the nodes of a that are not in b.
func without(a, b []NodeID) []NodeID {
	return slices.DeleteFunc(slices.Clone(a), func(id NodeID) bool { return slices.Contains(b, id) })
}

// firstRemoved returns the first removed node, or else the last one.
func (st *step) firstRemoved(ids []NodeID) NodeID {
	if i := slices.IndexFunc(ids, st.s.Removed); i >= 0 {
		return ids[i]
	}
	return ids[len(ids)-1]
}

// pair picks who goes and who comes: a removed node goes first, and one of its own zone comes for it if there is one, so that the copies
// stay spread while several are exchanged one after the other.
func (st *step) pair(outs, ins []NodeID) (out, in NodeID) {
	out = st.firstRemoved(outs)
	for _, o := range append([]NodeID{out}, outs...) {
		for _, i := range ins {
			if st.zone(o) == st.zone(i) && (o == out || !st.s.Removed(out)) {
				return o, i
			}
		}
	}
	return out, ins[0]
}

func (st *step) zone(id NodeID) string {
	m, _ := st.s.Member(id)
	return m.Zone
}

// exchanged returns owners with one node in another's place, in the wanted order if nothing else is wanted.
func exchanged(have, want []NodeID, out, in NodeID) []NodeID {
	next := slices.Clone(have)
	switch at := slices.Index(next, out); {
	case out.IsZero():
		next = append(next, in)
	case in.IsZero():
		next = slices.Delete(next, at, at+1)
	default:
		next[at] = in
	}
	if len(next) == len(want) && lacking(next, want) == 0 {
		return want
	}
	return next
}

// reorder gives the first places to whom the plan wants them, where no set of owners changes: no data moves for that.
func (st *step) reorder(target *Layout) {
	for p, want := range target.Owners {
		if !slices.Equal(st.l.Owners[p], want) {
			st.l.Owners[p], st.settled = want, false
			st.touch(Partition(p))
		}
	}
}

// graduate gives members the status that they have come to: active when they hold their share, removed when they have handed
// everything on.
func (st *step) graduate(self NodeID) {
	var become []Member
	for _, m := range st.s.Members {
		switch report, _ := st.s.Report(m.ID); {
		case m.Status == Joining && st.settled && st.l.Has(m.ID):
			m.Status = Active
		case m.Status == Leaving && m.ID != self && st.left(m.ID) && report.Empty:
			become = append(become, m.struckOff())
			continue
		case m.Status == Leaving && m.ID != self && st.left(m.ID):
			st.waits = append(st.waits, st.s.waitFor(m.ID, Wait{What: WaitEmpty}))
			continue
		default:
			continue
		}
		m.Epoch++
		become = append(become, m)
	}
	if len(become) > 0 {
		st.s.Members = mergeMembers(st.s.Members, become)
	}
}

// left reports whether a node had no role in the layout that all have acknowledged, and gets none in the next.
func (st *step) left(id NodeID) bool {
	for p := range st.s.Layout.Q {
		if st.s.Layout.Holds(id, Partition(p)) || st.l.Holds(id, Partition(p)) {
			return false
		}
	}
	return true
}

// Remaining returns how many copies have still to be taken over by each node before the ring is as planned, those under way
// included. It costs a Plan.
func (s State) Remaining() map[NodeID]int { return new(Planner).Remaining(s) }

// Remaining is State.Remaining.
func (pl *Planner) Remaining(s State) map[NodeID]int {
	if s.IsZero() {
		return nil
	}
	target, err := newStep(s, pl).plan()
	if err != nil {
		return nil
	}
	copies := map[NodeID]int{}
	for p, want := range target.Owners {
		for _, id := range without(want, s.Layout.Owners[p]) {
			copies[id]++
		}
	}
	return copies
}
