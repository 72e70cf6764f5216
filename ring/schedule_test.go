package ring

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A theatre is several nodes that change one ring by random schedules: documents are lost, late, and told out of order; nodes
// stop, come back with what they had on disk, and are removed, alive or not.
type theatre struct {
	t     *testing.T
	rng   *rand.Rand
	nodes []*actor
	late  []letter // documents on their way
	trace []string
}

type actor struct {
	id      NodeID
	doc     State
	down    bool
	planner Planner
}

type letter struct {
	from NodeID
	to   *actor
	doc  State
}

func newTheatre(t *testing.T, rng *rand.Rand) *theatre {
	q, n, zones := 1<<rng.IntN(3), 1+rng.IntN(3), rng.IntN(3)
	members := testMembers(rng, 2+rng.IntN(4), zones)
	s := founded(t, members, q, n)
	th := &theatre{t: t, rng: rng}
	for _, m := range s.Members {
		th.nodes = append(th.nodes, &actor{id: m.ID, doc: s})
	}
	return th
}

func (th *theatre) some() *actor { return th.nodes[th.rng.IntN(len(th.nodes))] }

// removed reports whether anybody knows the node to be removed: from then on it does not count.
func (th *theatre) removed(id NodeID) bool {
	return slices.ContainsFunc(th.nodes, func(a *actor) bool { return a.doc.Removed(id) })
}

func (th *theatre) say(format string, args ...any) {
	th.trace = append(th.trace, fmt.Sprintf(format, args...))
}

func (th *theatre) act() {
	a := th.some()
	if a.down {
		if th.rng.IntN(4) == 0 {
			a.down = false
		}
		return
	}
	switch k := th.rng.IntN(60); {
	case k < 8:
		th.tell(a)
	case k < 40 && len(th.late) > 0:
		th.deliver(th.rng.IntN(len(th.late)))
	case k < 48:
		a.acknowledge()
	case k < 50:
		a.hold()
	case k < 59:
		th.step(a)
	case th.rng.IntN(3) == 0:
		a.down = true
	default:
		th.command(a)
	}
}

// tell sends a node's document to all others: none of it comes at once, some never.
func (th *theatre) tell(a *actor) {
	for _, to := range th.nodes {
		if to != a && th.rng.IntN(4) > 0 {
			th.late = append(th.late, letter{a.id, to, a.doc})
		}
	}
	for len(th.late) > lettersMax {
		th.late = slices.Delete(th.late, 0, 1)
	}
}

// lettersMax is how many documents are on their way at most; older ones are lost.
const lettersMax = 60

func (th *theatre) deliver(i int) {
	l := th.late[i]
	if th.rng.IntN(3) > 0 {
		th.late = slices.Delete(th.late, i, i+1)
	}
	if l.to.down {
		return
	}
	if doc, err := Hear(l.to.doc, l.to.id, l.from, l.doc); err == nil {
		l.to.doc = doc
	}
	if th.rng.IntN(2) == 0 {
		l.to.acknowledge()
		l.to.hold()
	}
}

func (a *actor) acknowledge() {
	r, _ := a.doc.Report(a.id)
	if now := a.doc.Edition(); r.Acked != now && a.doc.Layout.Has(a.id) {
		a.doc = a.doc.WithReport(Report{Node: a.id, Seq: r.Seq + 1, Acked: now, Held: a.doc.stillHeld(r), Empty: r.Empty})
	}
}

func (a *actor) hold() {
	r, ok := a.doc.Report(a.id)
	if !ok {
		return
	}
	held := holdAll(a.doc, a.id, r)
	if !r.Empty || !slices.Equal(held, r.Held) {
		r.Seq, r.Held, r.Empty = r.Seq+1, held, true
		a.doc = a.doc.WithReport(r)
	}
}

func (th *theatre) step(a *actor) {
	next, waits := Next(a.doc, a.id)
	if sooner, same := a.planner.Next(a.doc, a.id); !bytes.Equal(sooner.Encode(), next.Encode()) || !slices.Equal(same, waits) {
		th.t.Fatalf("a planner that remembers makes %v, one that does not %v", sooner.Edition(), next.Edition())
	}
	if left, want := a.planner.Remaining(next), next.Remaining(); !maps.Equal(left, want) {
		th.t.Fatalf("a planner that remembers leaves %v, one that does not %v", left, want)
	}
	if next.Layout != a.doc.Layout {
		checkStep(th.t, a.doc.Layout, next.Layout)
		th.say("%x makes %v", a.id[:1], next.Edition())
	}
	a.doc = next
}

func (th *theatre) command(a *actor) {
	// Operators at several nodes may between them retire everybody: no rule can refuse that, so one founder is spared.
	victim := th.nodes[1+th.rng.IntN(len(th.nodes)-1)].id
	var doc State
	var err error
	m := newcomer(th.rng, len(th.nodes), 3)
	switch k := th.rng.IntN(5); {
	case len(th.nodes) > 8 && k < 3:
		return
	case k < 2:
		doc, err = a.doc.Join(m)
	case k == 2:
		doc, err = a.doc.Replace(victim, m)
	case k == 3:
		doc, err = a.doc.Leave(victim)
	default:
		doc, err = a.doc.Remove(victim)
	}
	if err != nil {
		return
	}
	th.say("%x retires %x", a.id[:1], victim[:1])
	a.doc = doc
	if _, joined := doc.Member(m.ID); joined {
		th.nodes = append(th.nodes, &actor{id: m.ID, doc: doc})
	}
}

// check compares what the nodes that count go by: members of the layout that they have, removed by nobody.
func (th *theatre) check() {
	var views []*Layout
	for _, a := range th.nodes {
		if err := a.doc.Check(); err != nil {
			th.t.Fatal(err)
		}
		if a.doc.Layout.Has(a.id) && !th.removed(a.id) && !slices.Contains(views, a.doc.Layout) {
			views = append(views, a.doc.Layout)
		}
	}
	for i, a := range views {
		for _, b := range views[:i] {
			if a.Version > b.Version+1 || b.Version > a.Version+1 {
				th.t.Fatalf("layouts %d and %d are both gone by\n%v", a.Version, b.Version, th.trace)
			}
			checkStep(th.t, a, b)
		}
	}
}

// settle lets everybody that was not removed be up and talk until nothing changes any more.
func (th *theatre) settle() State {
	for _, a := range th.nodes {
		a.down = false
	}
	gone := slices.DeleteFunc(slices.Clone(th.nodes), func(a *actor) bool { return !th.removed(a.id) })
	for range 1000 {
		th.nodes = slices.DeleteFunc(th.nodes, func(a *actor) bool { return th.removed(a.id) })
		for _, a := range gone { // whom only a removed node knew to be removed, the operator names again
			th.nodes[0].doc, _ = th.nodes[0].doc.Remove(a.id)
		}
		before := th.documents()
		for _, a := range th.nodes {
			for _, to := range th.nodes {
				to.doc, _ = Hear(to.doc, to.id, a.id, a.doc)
				th.check()
			}
			a.acknowledge()
			a.hold()
		}
		th.step(th.some())
		th.check()
		if slices.Equal(th.documents(), before) && th.same() {
			return th.nodes[0].doc
		}
	}
	for _, a := range th.nodes {
		_, waits := Next(a.doc, a.id)
		th.t.Logf("%x of layout %v (member: %v) waits for %s", a.id[:2], a.doc.Edition(), a.doc.Layout.Has(a.id), spellWaits(waits))
	}
	th.t.Fatalf("the ring does not come to rest:\n%s", strings.Join(th.trace, "\n"))
	return State{}
}

func (th *theatre) documents() (docs []string) {
	for _, a := range th.nodes {
		docs = append(docs, string(a.doc.Encode()))
	}
	return docs
}

// same reports whether all know the same, and nobody would make a step.
func (th *theatre) same() bool {
	docs := th.documents()
	for _, a := range th.nodes {
		next, waits := Next(a.doc, a.id)
		if docs = append(docs, string(next.Encode())); len(waits) > 0 {
			return false
		}
	}
	return len(slices.Compact(docs)) == 1
}

// Whatever the schedule: quorums of any two layouts that nodes go by meet, and once there is peace the ring ends as planned.
func TestRingChangesUnderAnySchedule(t *testing.T) {
	schedules := 150
	if testing.Short() {
		schedules = 40
	}
	for seed := range schedules {
		th := newTheatre(t, rand.New(rand.NewPCG(9, uint64(seed))))
		for range 1500 {
			th.act()
			th.check()
		}
		s := th.settle()
		checkAtRest(t, s)
		for _, m := range s.Members {
			if m.Status == Joining || m.Status == Leaving {
				t.Fatalf("seed %d: %s is still %v", seed, m.Name, m.Status)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
