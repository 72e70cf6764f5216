package ring

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// founded returns a cluster at rest.
func founded(t testing.TB, members []Member, q, n int) State {
	t.Helper()
	members = slices.Clone(members)
	sortMembers(members)
	s := State{Cluster: Cluster{ID: testID(200), Name: "test", Q: q, N: n, R: n/2 + 1, W: n/2 + 1}, Members: members}
	s.Layout = mustPlan(t, nil, members, q, n)
	return s
}

// obey lets every member of the layout but some do at once what it is asked for: acknowledge, hold, be empty.
func obey(s State, but ...NodeID) State {
	edition := s.Edition()
	for _, id := range s.Layout.Members {
		if slices.Contains(but, id) || s.Removed(id) {
			continue
		}
		r, _ := s.Report(id)
		r = Report{Node: id, Seq: r.Seq + 1, Acked: edition, Empty: true, Held: s.stillHeld(r)}
		s = s.WithReport(r)
	}
	for _, id := range s.Layout.Members {
		if r, ok := s.Report(id); ok && !slices.Contains(but, id) {
			r.Held, r.Seq = holdAll(s, id, r), r.Seq+1
			s = s.WithReport(r)
		}
	}
	return s
}

// stillHeld drops what a report says of changes that are over.
func (s State) stillHeld(r Report) []Held {
	return slices.DeleteFunc(slices.Clone(r.Held), func(h Held) bool {
		c, changing := s.Layout.Change(h.Partition)
		return !changing || c.Began != h.Began
	})
}

// oneStep is Next at a node that stays, if there is any.
func oneStep(s State) (State, []Wait) {
	self := s.Layout.Members[0]
	for _, m := range s.Members {
		if m.Status <= Active && s.Layout.Has(m.ID) {
			self = m.ID
		}
	}
	return Next(s, self)
}

// holdAll returns what a node may say that it holds.
func holdAll(s State, id NodeID, r Report) []Held {
	held := s.stillHeld(r)
	for _, c := range s.Layout.Changes {
		if _, began, ok := s.Sources(c.Partition); ok && s.Layout.In(c) == id && !r.holds(c) {
			held = append(held, Held{c.Partition, began})
		}
	}
	slices.SortFunc(held, func(a, b Held) int { return int(a.Partition) - int(b.Partition) })
	return held
}

// rest steps until nothing more is to be done, and returns the copies that were moved.
func rest(t testing.TB, s State, but ...NodeID) (State, int) {
	t.Helper()
	moved := 0
	for range 10_000 {
		s = obey(s, but...)
		next, _ := oneStep(s)
		if err := next.Check(); err != nil {
			t.Fatal(err)
		}
		if next.Edition() == s.Edition() && slices.Equal(next.Members, s.Members) {
			return next, moved
		}
		for _, c := range next.Layout.Changes {
			if c.Began == next.Layout.Version && c.Phase == Both && !next.Layout.In(c).IsZero() {
				moved++
			}
		}
		if next.Layout != s.Layout {
			checkStep(t, s.Layout, next.Layout)
		}
		s = next
	}
	t.Fatal("the ring does not come to rest")
	return s, 0
}

// writeSets returns the sets of nodes of each of which a write needs its quorum; reads need theirs of Primaries.
func writeSets(l *Layout, p Partition) [][]NodeID {
	sets := [][]NodeID{l.Owners[p]}
	if c, changing := l.Change(p); changing {
		sets = append(sets, c.Next)
	}
	return sets
}

// meet reports whether whatever is written by one layout is found by whoever reads by the other: the set that is read is among
// those that are written.
func meet(write, read *Layout, p Partition) bool {
	want := read.Primaries(p)
	return slices.ContainsFunc(writeSets(write, p), func(set []NodeID) bool {
		return len(set) == len(want) && lacking(set, want) == 0
	})
}

// checkStep checks two layouts that nodes may go by at the same time.
func checkStep(t testing.TB, a, b *Layout) {
	t.Helper()
	for p := range Partition(a.Q) {
		if !meet(a, b, p) || !meet(b, a, p) {
			t.Fatalf("partition %d: quorums of layout %d and %d need not meet:\n%v %v %v\n%v %v %v", p, a.Version, b.Version,
				a.Owners[p], a.Changes, a.Primaries(p), b.Owners[p], b.Changes, b.Primaries(p))
		}
	}
}

func checkAtRest(t testing.TB, s State) {
	t.Helper()
	if len(s.Layout.Changes) > 0 || len(s.Remaining()) != 0 {
		t.Fatalf("%d changes and %d copies left", len(s.Layout.Changes), s.Remaining())
	}
	members := slices.DeleteFunc(slices.Clone(s.Members), func(m Member) bool { return !s.Layout.Has(m.ID) })
	if again := mustPlan(t, s.Layout, members, s.Layout.Q, s.Layout.N); again != s.Layout {
		t.Fatal("at rest, but not as planned")
	}
	checkPlacement(t, s.Layout, members, s.Layout.Q, s.Layout.N)
}

func newcomer(rng *rand.Rand, i, zones int) Member {
	m := testMember(rng, i, zones)
	m.Status = Joining
	return m
}

func must(t testing.TB) func(State, error) State {
	return func(s State, err error) State {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestRingGrowsShrinksAndReplacesByTheFewestMoves(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	for _, c := range []struct{ q, n, zones int }{{256, 3, 0}, {64, 3, 3}, {64, 2, 0}, {32, 1, 0}, {16, 5, 4}} {
		s := founded(t, testMembers(rng, 3, c.zones), c.q, c.n)
		for i, act := range []func(State) (State, error){
			func(s State) (State, error) { return s.Join(newcomer(rng, 3, c.zones)) },
			func(s State) (State, error) { return s.Join(newcomer(rng, 4, c.zones)) },
			func(s State) (State, error) { return s.Join(newcomer(rng, 5, c.zones)) },
			func(s State) (State, error) { return s.Leave(s.Members[0].ID) },
			func(s State) (State, error) { return s.Remove(eligible(s.Members)[1].ID) },
			func(s State) (State, error) {
				old := eligible(s.Members)[1]
				by := newcomer(rng, 6, 0)
				by.Zone = old.Zone
				return s.Replace(old.ID, by)
			},
		} {
			asked := must(t)(act(s))
			after, copies := rest(t, asked)
			checkAtRest(t, after)
			want := leastMoves(s.Layout, after.Layout)
			if c.zones == 0 && copies > (11*want+9)/10 {
				t.Errorf("%+v, command %d: %d copies moved, %d would do", c, i, copies, want)
			}
			if copies < moved(s.Layout, after.Layout) {
				t.Errorf("%+v, command %d: %d copies moved, but %d are new", c, i, copies, moved(s.Layout, after.Layout))
			}
			s = after
		}
		for _, m := range s.Members {
			if m.Status == Joining || m.Status == Leaving {
				t.Errorf("%+v: %s is still %v", c, m.Name, m.Status)
			}
		}
	}
}

func TestReplacementTakesExactlyItsPredecessorsPlace(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 2))
	for _, zones := range []int{0, 3} {
		s := founded(t, testMembers(rng, 6, zones), 64, 3)
		old, by := s.Members[2], newcomer(rng, 9, 0)
		by.Zone, by.Weight = old.Zone, old.Weight
		after, copies := rest(t, must(t)(s.Replace(old.ID, by)), old.ID)
		checkAtRest(t, after)
		if had := count(s.Layout).copies[old.ID]; copies != had {
			t.Errorf("zones=%d: %d copies moved for a node of %d", zones, copies, had)
		}
		for p, owners := range after.Layout.Owners {
			if slices.Contains(owners, by.ID) != slices.Contains(s.Layout.Owners[p], old.ID) {
				t.Errorf("zones=%d: partition %d is not in its predecessor's place", zones, p)
			}
		}
	}
}

// wants reads what is waited for, sorted.
func spellWaits(waits []Wait) string {
	var texts []string
	for _, w := range waits {
		texts = append(texts, w.String())
	}
	slices.Sort(texts)
	return strings.Join(texts, "; ")
}

func TestNextSaysWhatItWaitsFor(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 3))
	s := founded(t, testMembers(rng, 4, 0), 8, 3)
	node := func(i int) NodeID {
		at := slices.IndexFunc(s.Members, func(m Member) bool { return m.Name == fmt.Sprintf("node-%d", i) })
		return s.Members[at].ID
	}
	waits := func(want string) {
		t.Helper()
		next, got := oneStep(s)
		if spellWaits(got) != want {
			t.Errorf("waits %q, want %q", spellWaits(got), want)
		}
		s = next
	}
	s = obey(s)
	waits("") // at rest
	s = must(t)(s.Join(newcomer(rng, 4, 0)))
	waits("") // the newcomer becomes a member of the layout
	if !s.Layout.Has(node(4)) || len(s.Layout.Changes) > 0 {
		t.Fatal("the newcomer has no layout, or more than that")
	}
	s = obey(s, node(4))
	waits("node-4 to acknowledge layout 2")
	s = obey(s)
	waits("") // its changes begin
	coming := len(s.Layout.Changes)
	if coming == 0 {
		t.Fatal("nothing begins")
	}
	s = obey(s, node(2))
	waits("node-2 to acknowledge layout 3")
	for _, id := range s.Layout.Members { // all acknowledge, the newcomer holds nothing yet
		r, _ := s.Report(id)
		s = s.WithReport(Report{Node: id, Seq: r.Seq + 1, Acked: s.Edition()})
	}
	waits(fmt.Sprintf("node-4 to hold %d %s", coming, plural("partition", coming)))
	s = must(t)(s.Remove(node(4)))
	s, _ = rest(t, s, node(4)) // removing it frees the others
	checkAtRest(t, s)

	s = must(t)(s.Leave(node(0)))
	for range 100 {
		s = obey(s)
		r, _ := s.Report(node(0))
		r.Empty, r.Seq = false, r.Seq+1
		s, _ = oneStep(s.WithReport(r))
	}
	waits("node-0 to hand on what it alone holds")
	for i := range 4 {
		s = s.With(Member{ID: node(i), Status: Leaving, Epoch: 100})
	}
	s = obey(s)
	next, got := oneStep(s)
	if !strings.Contains(spellWaits(got), "a node that may take partitions over") || next.Layout.Version != s.Layout.Version {
		t.Errorf("with nobody to hold anything: %q", spellWaits(got))
	}
}

func TestRemovedIncomingOwnerRestoresTheOldOnes(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 4))
	for phase := range phaseEnd {
		start := founded(t, testMembers(rng, 4, 0), 16, 3)
		in := newcomer(rng, 4, 0)
		s := must(t)(start.Join(in))
		for range 10 {
			if len(s.Layout.Changes) > 0 && s.Layout.Changes[0].Phase == phase {
				break
			}
			s, _ = oneStep(obey(s))
		}
		c := s.Layout.Changes[0]
		before := s.Layout.Owners[c.Partition]
		s = must(t)(s.Remove(in.ID))
		if c.Phase == Read { // its reads go back before its writes end
			next, _ := oneStep(obey(s, in.ID))
			if c, changing := next.Layout.Change(c.Partition); !changing || c.Phase != Both {
				t.Errorf("read from a removed node in one step to %+v, %v", c, changing)
			}
			checkStep(t, s.Layout, next.Layout)
			s = next
		}
		next, _ := oneStep(obey(s, in.ID))
		checkStep(t, s.Layout, next.Layout)
		if !slices.Equal(next.Layout.Owners[c.Partition], before) {
			t.Errorf("phase %v: the owners are %v, were %v", phase, next.Layout.Owners[c.Partition], before)
		}
		after, copies := rest(t, next, in.ID)
		checkAtRest(t, after)
		if phase == Both && copies > 0 {
			t.Errorf("%d copies were moved to undo a join that moved none", copies)
		}
	}
}

// A cluster whose nodes are replaced again and again must not run out of room for new ones: nodes that are gone leave little behind.
func TestNodesAreReplacedForYears(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 6))
	s := founded(t, testMembers(rng, 3, 0), 8, 3)
	last := s.Members[0].ID
	for i := range 2 * MembersMax {
		m := newcomer(rng, i, 0)
		m.RESP, m.Peer, m.Gossip = "10.0.0.1:6379", "10.0.0.1:7379", "10.0.0.1:7946"
		next, err := s.Replace(last, m)
		if err != nil {
			t.Fatalf("replacement %d: %v", i+1, err)
		}
		s, last = next, m.ID
	}
	if n := s.live(); n != 3 || len(s.Members) != 3+2*MembersMax {
		t.Errorf("%d live of %d", n, len(s.Members))
	}
	if grown := len(s.Encode()) / len(s.Members); grown > 48 {
		t.Errorf("%d bytes a record: what is removed is to be small", grown)
	}
	for i := range joinableRecords - len(s.Members) {
		s = s.With(newcomer(rng, 1<<20+i, 0).struckOff())
	}
	if _, err := s.Join(newcomer(rng, 1<<21, 0)); !errors.Is(err, ErrTooManyMembers) {
		t.Errorf("one record over: %v", err)
	}
}

func TestCommandsAreRefused(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 5))
	s := founded(t, testMembers(rng, 2, 0), 8, 2)
	a, b := s.Members[0].ID, s.Members[1].ID
	gone := must(t)(s.Remove(a))
	back, _ := gone.Member(a)
	one := must(t)(s.Leave(a))
	full := s
	for i := range MembersMax - 2 {
		full = full.With(newcomer(rng, i, 0))
	}
	for _, c := range []struct {
		proves string
		err    error
		want   error
	}{
		{"an unknown node leaves", errorOf(s.Leave(testID(77))), ErrNoMember},
		{"an unknown node is removed", errorOf(s.Remove(testID(77))), ErrNoMember},
		{"a removed node leaves", errorOf(gone.Leave(a)), ErrFenced},
		{"a removed node joins", errorOf(gone.Join(back)), ErrFenced},
		{"the last owner leaves", errorOf(gone.Leave(b)), ErrLastOwner},
		{"the last owner is removed", errorOf(one.Remove(b)), ErrLastOwner},
		{"a leaving node is removed", errorOf(one.Remove(a)), nil},
		{"a leaving node leaves again", errorOf(one.Leave(a)), nil},
		{"the last owner is replaced", errorOf(gone.Replace(b, newcomer(rng, 3, 0))), nil},
		{"a removed node is replaced", errorOf(gone.Replace(a, newcomer(rng, 3, 0))), nil},
		{"an unknown node is replaced", errorOf(s.Replace(testID(77), newcomer(rng, 3, 0))), ErrNoMember},
		{"a node is replaced by a removed one", errorOf(gone.Replace(b, back)), ErrFenced},
		{"a known node joins a full cluster", errorOf(full.Join(full.Members[0])), nil},
		{"a newcomer joins a full cluster", errorOf(full.Join(newcomer(rng, 1, 0))), ErrTooManyMembers},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", c.proves, c.err, c.want)
		}
	}
}

func errorOf(_ State, err error) error { return err }

func TestChangesKeepToTheirCaps(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 6))
	s := founded(t, testMembers(rng, 8, 0), 1024, 3)
	for i := range 6 {
		s = must(t)(s.Join(newcomer(rng, 10+i, 0)))
	}
	most, mostIn := 0, 0
	for range 40 {
		s, _ = oneStep(obey(s))
		coming := map[NodeID]int{}
		for _, c := range s.Layout.Changes {
			coming[s.Layout.In(c)]++
			mostIn = max(mostIn, coming[s.Layout.In(c)])
		}
		most = max(most, len(s.Layout.Changes))
	}
	if most != ChangesMax || mostIn != IncomingMax {
		t.Errorf("%d changes at once, %d with one incoming owner; the caps are %d and %d", most, mostIn, ChangesMax, IncomingMax)
	}
}

func TestFewestCopiesAreMendedFirst(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 7))
	s := founded(t, testMembers(rng, 8, 0), 256, 3)
	a, b := s.Layout.Owners[200][0], s.Layout.Owners[200][1]
	s = must(t)(must(t)(s.Remove(a)).Remove(b))
	next, _ := oneStep(obey(s, a, b))
	for p, owners := range next.Layout.Owners {
		_, changing := next.Layout.Change(Partition(p))
		if both := slices.Contains(owners, a) && slices.Contains(owners, b); both && !changing {
			t.Errorf("partition %d has one copy left and waits, while %d others change", p, len(next.Layout.Changes))
		}
	}
}

// A node makes a layout, tells one other, and is removed; the rest go on without it. Its layout must find no way back, though it would win
// the merge.
func TestRemovedNodesLayoutFindsNoWayBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	s := obey(founded(t, testMembers(rng, 5, 0), 8, 3))
	lost, self, guest := s.Members[0].ID, s.Members[1].ID, newcomer(rng, 9, 0)
	guest.ID = testID(250)
	theirs, _ := Next(must(t)(s.Join(guest)), lost)
	own, _ := Next(must(t)(s.Leave(s.Members[2].ID)), self)
	for name, c := range map[string]struct {
		own, told State
		from      NodeID
		takes     bool
		want      error
	}{
		"a fellow's layout":                  {s, theirs, lost, true, nil},
		"a removed node's":                   {must(t)(s.Remove(lost)), theirs, lost, false, ErrFenced},
		"a guest's, who has it from others":  {s, theirs, guest.ID, false, nil},
		"a stranger's, to one who has none":  {State{}, theirs, testID(77), true, nil},
		"nobody's":                           {own, State{}, lost, false, nil},
		"an older one":                       {own, s, lost, false, nil},
		"a guest's own, after it was let in": {theirs, theirs, guest.ID, true, nil},
	} {
		got, err := Hear(c.own, self, c.from, c.told)
		if took := got.Layout == theirs.Layout; took != c.takes || !errors.Is(err, c.want) {
			t.Errorf("%s: taken is %v, %v", name, took, err)
		}
	}
	if told, _ := Hear(s, guest.ID, guest.ID, theirs); told.Layout != theirs.Layout {
		t.Error("who is no member of its layout must take any")
	}
}
