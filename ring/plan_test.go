package ring

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// testMember returns an active member of its own id, spread over the given number of zones (0: none).
func testMember(rng *rand.Rand, i, zones int) Member {
	m := Member{Name: fmt.Sprintf("node-%d", i), Status: Active, Weight: 1, Epoch: 1}
	for k := range m.ID {
		m.ID[k] = byte(rng.Uint32())
	}
	if zones > 0 {
		m.Zone = fmt.Sprintf("zone-%d", i%zones)
	}
	return m
}

func testMembers(rng *rand.Rand, s, zones int) []Member {
	members := make([]Member, s)
	for i := range members {
		members[i] = testMember(rng, i, zones)
	}
	return members
}

func mustPlan(t testing.TB, prev *Layout, members []Member, q, n int) *Layout {
	t.Helper()
	l, err := Plan(prev, members, q, n)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A tally counts copies and first places by node.
type tally struct{ copies, firsts map[NodeID]int }

func count(l *Layout) tally {
	c := tally{map[NodeID]int{}, map[NodeID]int{}}
	if l == nil {
		return c
	}
	for _, owners := range l.Owners {
		c.firsts[owners[0]]++
		for _, id := range owners {
			c.copies[id]++
		}
	}
	return c
}

func eligible(members []Member) (kept []Member) {
	for _, m := range members {
		if m.Eligible() {
			kept = append(kept, m)
		}
	}
	return kept
}

// checkPlacement checks the rules that hold whatever the weights: distinct eligible nodes, and distinct zones.
func checkPlacement(t testing.TB, l *Layout, members []Member, q, n int) {
	t.Helper()
	byID, zones := map[NodeID]Member{}, map[string]int{}
	for _, m := range eligible(members) {
		byID[m.ID] = m
		zones[m.Zone]++
	}
	if l.Q != q || l.N != n || len(l.Owners) != q {
		t.Fatalf("layout of Q=%d N=%d, %d partitions", l.Q, l.N, len(l.Owners))
	}
	for p, owners := range l.Owners {
		if len(owners) != min(n, len(byID)) {
			t.Fatalf("partition %d has %d owners of %d nodes", p, len(owners), len(byID))
		}
		inZone := map[string]int{}
		for k, id := range owners {
			m, ok := byID[id]
			if !ok || slices.Contains(owners[:k], id) {
				t.Fatalf("partition %d: owner %v is not eligible, or twice", p, id)
			}
			inZone[m.Zone]++
		}
		if len(inZone) != min(len(zones), len(owners)) {
			t.Fatalf("partition %d is in %d zones of %d", p, len(inZone), len(zones))
		}
		for a, held := range inZone {
			for b, size := range zones {
				if size > inZone[b] && held > inZone[b]+1 {
					t.Fatalf("partition %d: %d copies in zone %q, %d in %q which has room", p, held, a, inZone[b], b)
				}
			}
		}
	}
}

// checkEven checks that every node's copies and first places are within 1 of its fair share, where the zones are no hindrance.
func checkEven(t testing.TB, l *Layout, members []Member, q, n int) {
	t.Helper()
	members = eligible(members)
	weight := 0
	for _, m := range members {
		weight += int(m.share())
	}
	c := count(l)
	for _, m := range members {
		fair := float64(q*min(n, len(members))) * float64(m.share()) / float64(weight)
		if got := float64(c.copies[m.ID]); got <= fair-1 || got >= fair+1 {
			t.Fatalf("%s has %v copies, its fair share is %v", m.Name, got, fair)
		}
		first := float64(q) * float64(m.share()) / float64(weight)
		if got := float64(c.firsts[m.ID]); got <= first-1 || got >= first+1 {
			t.Fatalf("%s has %v first places, its fair share is %v", m.Name, got, first)
		}
	}
}

// moved counts copies that are in to and not in from.
func moved(from, to *Layout) (copies int) {
	for p, owners := range to.Owners {
		for _, id := range owners {
			if !slices.Contains(from.Owners[p], id) {
				copies++
			}
		}
	}
	return copies
}

// leastMoves is a lower bound on the copies that any layout as even as to must move: what nodes gained, or what they had to give
// up, in numbers alone.
func leastMoves(from, to *Layout) (copies int) {
	old, now := count(from), count(to)
	for id, k := range now.copies {
		copies += max(0, k-old.copies[id])
	}
	return copies
}

func TestPlanIsEvenWithoutZones(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, q := range []int{1, 2, 8, 64, 256} {
		for s := 1; s <= 12; s++ {
			for n := 1; n <= 5; n++ {
				members := testMembers(rng, s, 0)
				l := mustPlan(t, nil, members, q, n)
				checkPlacement(t, l, members, q, n)
				checkEven(t, l, members, q, n)
			}
		}
	}
}

func TestPlanIsEvenOverEqualZones(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, q := range []int{16, 128} {
		for zones := 1; zones <= 5; zones++ {
			for each := 1; each <= 4; each++ {
				for n := 1; n <= 4; n++ {
					members := testMembers(rng, zones*each, zones)
					l := mustPlan(t, nil, members, q, n)
					checkPlacement(t, l, members, q, n)
					checkEven(t, l, members, q, n)
				}
			}
		}
	}
}

func TestPlanFollowsWeights(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	for range 100 {
		// No weight is more than a third of the total with N=3, so that the cap of one copy each forbids nothing.
		members := testMembers(rng, 6+rng.IntN(10), 0)
		for i := range members {
			members[i].Weight = 2 + rng.IntN(3)
		}
		l := mustPlan(t, nil, members, 128, 3)
		checkPlacement(t, l, members, 128, 3)
		checkEven(t, l, members, 128, 3)
	}
}

func TestPlanHoldsItsRulesForAnyCluster(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	for range 300 {
		q, n := 1<<rng.IntN(8), 1+rng.IntN(6)
		members := testMembers(rng, 1+rng.IntN(14), rng.IntN(5))
		for i := range members {
			members[i].Weight = rng.IntN(1 << rng.IntN(17))
			if rng.IntN(3) == 0 {
				members[i].Zone = fmt.Sprintf("zone-%d", rng.IntN(4))
			}
			if rng.IntN(8) == 0 {
				members[i].Status = Status(rng.IntN(int(statusEnd)))
			}
		}
		if len(eligible(members)) == 0 {
			continue
		}
		l := mustPlan(t, nil, members, q, n)
		checkPlacement(t, l, members, q, n)
		if again := mustPlan(t, l, members, q, n); again != l {
			t.Fatal("planning again changed the layout")
		}
		rng.Shuffle(len(members), func(i, k int) { members[i], members[k] = members[k], members[i] })
		if other := mustPlan(t, nil, members, q, n); !slices.EqualFunc(other.Owners, l.Owners, slices.Equal[[]NodeID]) {
			t.Fatal("the order of the members matters")
		}
	}
}

func TestCappedNodeLeavesItsShareToOthersByWeight(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	members := testMembers(rng, 5, 0)
	members[0].Weight = 100
	members[1].Weight = 2
	c := count(mustPlan(t, nil, members, 64, 3))
	// The heavy one is full at 64; 128 copies are left for weights 2, 1, 1, 1.
	for i, least := range []int{64, 51, 25, 25, 25} {
		if got := c.copies[members[i].ID]; got < least || got > least+1 {
			t.Errorf("%s has %d copies, want %d or one more", members[i].Name, got, least)
		}
	}
}

func TestLoneNodeOfAZoneHoldsEverything(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 6))
	members := testMembers(rng, 7, 0)
	for i := range members {
		members[i].Zone = []string{"a", "b", "c", "c", "c", "c", "c"}[i]
	}
	l := mustPlan(t, nil, members, 64, 3)
	checkPlacement(t, l, members, 64, 3)
	c := count(l)
	for i, m := range members {
		if got := c.firsts[m.ID]; got < 9 || got > 10 {
			t.Errorf("%s has %d first places of 64/7", m.Name, got)
		}
		if got, full := c.copies[m.ID], i < 2; full != (got == 64) || !full && (got < 12 || got > 13) {
			t.Errorf("%s has %d copies", m.Name, got)
		}
	}
}

func TestJoinAndLeaveMoveLittle(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	for _, q := range []int{16, 64, 256} {
		for _, zones := range []int{0, 3, 5} {
			for n := 1; n <= 4; n++ {
				members := testMembers(rng, 6, zones)
				walk(t, rng, members, zones, q, n)
			}
		}
	}
}

// walk takes a cluster through random joins and leaves, checking every step.
func walk(t *testing.T, rng *rand.Rand, members []Member, zones, q, n int) {
	t.Helper()
	l := mustPlan(t, nil, members, q, n)
	for step := range 24 {
		if len(members) < 5 || len(members) < 14 && rng.IntN(2) == 0 {
			members = append(members, testMember(rng, rng.IntN(1000), zones))
		} else {
			members = slices.Delete(slices.Clone(members), 0, 1)
		}
		next := mustPlan(t, l, members, q, n)
		checkPlacement(t, next, members, q, n)
		if zones == 0 {
			checkEven(t, next, members, q, n)
		}
		if next.Version != l.Version+1 {
			t.Fatalf("version %d after %d", next.Version, l.Version)
		}
		// Zones may force more moves than numbers alone tell; TestPlanMovesTheFewestPossible has the true minimum for those.
		got, least := moved(l, next), leastMoves(l, next)
		if zones == 0 && got > (11*least+9)/10 {
			t.Errorf("Q=%d N=%d zones=%d step %d, %d nodes: moved %d copies, %d would do", q, n, zones, step, len(members), got, least)
		}
		l = next
	}
}

// The flow must find what trying all layouts finds.
func TestPlanMovesTheFewestPossible(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 150 {
		const q = 4
		n, zones := 1+rng.IntN(3), rng.IntN(4)
		members := testMembers(rng, 3+rng.IntN(3), zones)
		if rng.IntN(2) == 0 {
			members[0].Weight = 1 + rng.IntN(3)
		}
		prev := mustPlan(t, nil, members, q, n)
		if rng.IntN(2) == 0 && len(members) < 5 {
			members = append(members, testMember(rng, rng.IntN(9), zones))
		} else {
			members = slices.Delete(slices.Clone(members), 1, 2)
		}
		next := mustPlan(t, prev, members, q, n)
		checkPlacement(t, next, members, q, n)
		d := newDraft(nil, members, q, n)
		s := search{draft: d, prev: prev, held: make([]int64, len(d.nodes)), shares: fairShares(d.claims, d.rules, q, int64(d.n)), best: 1 << 30}
		s.partition(0, 0)
		if got := moved(prev, next); got != s.best {
			t.Fatalf("N=%d zones=%d, %d nodes: moved %d copies, %d would do", n, zones, len(members), got, s.best)
		}
	}
}

// A search tries every layout that obeys the rules.
type search struct {
	draft  *draft
	prev   *Layout
	held   []int64
	shares []share
	best   int
}

func (s *search) partition(p, moves int) {
	if p == s.draft.q {
		for i, share := range s.shares {
			if s.held[i] < share.floor() || s.held[i] > share.ceil() {
				return
			}
		}
		s.best = min(s.best, moves)
		return
	}
	for set := range 1 << len(s.draft.nodes) {
		if cost, ok := s.try(p, set); ok {
			s.give(set, 1)
			s.partition(p+1, moves+cost)
			s.give(set, -1)
		}
	}
}

// try says how many copies move when partition p goes to a set of nodes, and whether the zones allow the set.
func (s *search) try(p, set int) (moves int, ok bool) {
	size, inZone := 0, make([]int64, len(s.draft.rules))
	for i, id := range s.draft.nodes {
		if set>>i&1 == 1 {
			size++
			inZone[s.draft.claims[i].zone]++
			if !slices.Contains(s.prev.Owners[p], id) {
				moves++
			}
		}
	}
	for z, rule := range s.draft.rules {
		if inZone[z] < rule.least || inZone[z] > rule.most {
			return 0, false
		}
	}
	return moves, size == s.draft.n
}

func (s *search) give(set int, sign int64) {
	for i := range s.held {
		s.held[i] += sign * int64(set>>i&1)
	}
}

func TestLeavingNodeOwnsNothing(t *testing.T) {
	members := testMembers(rand.New(rand.NewPCG(3, 1)), 5, 0)
	l := mustPlan(t, nil, members, 64, 3)
	for status := range statusEnd {
		members[2].Status = status
		owns := count(mustPlan(t, l, members, 64, 3)).copies[members[2].ID] > 0
		if owns != (status <= Active) {
			t.Errorf("%v: owns is %v", status, owns)
		}
	}
}

func TestPlanRefusesTheImpossible(t *testing.T) {
	members := testMembers(rand.New(rand.NewPCG(3, 2)), 3, 0)
	for _, c := range []struct {
		proves  string
		members []Member
		q, n    int
		want    error
	}{
		{"q at the cap", members, PartitionsMax, 1, nil},
		{"q over the cap", members, 2 * PartitionsMax, 1, ErrBadPlan},
		{"q no power of two", members, 100, 3, ErrBadPlan},
		{"n at the cap", members, 16, ReplicasMax, nil},
		{"n over the cap", members, 16, ReplicasMax + 1, ErrBadPlan},
		{"no copies", members, 16, 0, ErrBadPlan},
		{"nobody", nil, 16, 3, ErrNoOwners},
	} {
		if _, err := Plan(nil, c.members, c.q, c.n); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.proves, err, c.want)
		}
	}
	l := mustPlan(t, nil, members, 16, 3)
	if _, err := Plan(l, members, 32, 3); !errors.Is(err, ErrBadPlan) {
		t.Errorf("another Q than before: %v", err)
	}
}

func TestPlanIsQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("times a wall clock")
	}
	for _, c := range []struct {
		q, s  int
		limit time.Duration
	}{{256, 9, 200 * time.Millisecond}, {1024, 30, 2 * time.Second}} {
		members := testMembers(rand.New(rand.NewPCG(4, 1)), c.s, 0)
		start := time.Now()
		l := mustPlan(t, nil, members, c.q, 3)
		founded := time.Since(start)
		start = time.Now()
		mustPlan(t, l, members[1:], c.q, 3)
		left := time.Since(start)
		t.Logf("Q=%d S=%d: first layout %v, one leaves %v", c.q, c.s, founded, left)
		if founded > c.limit || left > c.limit {
			t.Errorf("Q=%d S=%d took longer than %v", c.q, c.s, c.limit)
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	for _, c := range []struct{ q, s, zones int }{{256, 9, 0}, {256, 9, 3}, {1024, 30, 0}, {1024, 30, 30}} {
		b.Run(fmt.Sprintf("Q=%d/S=%d/zones=%d", c.q, c.s, c.zones), func(b *testing.B) {
			members := testMembers(rand.New(rand.NewPCG(4, 2)), c.s, c.zones)
			for b.Loop() {
				mustPlan(b, nil, members, c.q, 3)
			}
		})
	}
}
