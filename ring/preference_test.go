package ring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func testID(c byte) NodeID { return NodeID{c} }

func testIDs(names string) (ids []NodeID) {
	for _, c := range []byte(names) {
		ids = append(ids, testID(c))
	}
	return ids
}

// spell writes a list as letters: a primary alone, a fallback with whom it stands in for.
func spell(targets []Target) (s string) {
	for _, target := range targets {
		s += " " + string(target.Node[0])
		if !target.For.IsZero() {
			s += "/" + string(target.For[0])
		}
	}
	return s
}

// After riak_core_apl's own test: nodes go down one by one.
func TestPreferenceListAsNodesGoDown(t *testing.T) {
	for _, c := range []struct{ proves, down, want string }{
		{"all up: the primaries in ring order", "", " a b c"},
		{"first primary replaced in its place", "a", " d/a b c"},
		{"fallback stands in for the second primary", "b", " a d/b c"},
		{"two down, two fallbacks in order", "ab", " d/a e/b c"},
		{"a fallback that is down is passed over", "ad", " e/a b c"},
		{"no fallback left for the last", "abcd", " e/a f/b"},
		{"one node left", "abcde", " f/a"},
		{"a primary alone", "bcdef", " a"},
		{"nobody", "abcdef", ""},
	} {
		up := func(id NodeID) bool { return !slices.Contains(testIDs(c.down), id) }
		if got := spell(PreferenceList(testIDs("abc"), testIDs("def"), 3, up)); got != c.want {
			t.Errorf("%s: %q, want %q", c.proves, got, c.want)
		}
	}
}

func TestPreferenceListTakesTheFirstN(t *testing.T) {
	all := func(NodeID) bool { return true }
	if got := spell(PreferenceList(testIDs("abc"), testIDs("de"), 2, all)); got != " a b" {
		t.Errorf("n=2 of 3: %q", got)
	}
	if got := spell(PreferenceList(testIDs("ab"), testIDs("de"), 3, all)); got != " a b" {
		t.Errorf("n=3 of 2: %q", got)
	}
	if !panics(func() { PreferenceList(nil, nil, 0, all) }) {
		t.Error("n=0 did not panic")
	}
}

func TestPreferenceListNeverHasANodeTwice(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	for range 2000 {
		down, primaries, fallbacks := rng.Uint32(), testIDs("abcd"), testIDs("cdefgh")
		up := func(id NodeID) bool { return down>>(id[0]-'a')&1 == 0 }
		seen := map[NodeID]bool{}
		for _, target := range PreferenceList(primaries, fallbacks, 3, up) {
			if seen[target.Node] || !up(target.Node) {
				t.Fatalf("%c twice or down", target.Node[0])
			}
			seen[target.Node] = true
		}
	}
}

func TestFallbacksAreAllOthersNearOnesFirst(t *testing.T) {
	members := testMembers(rand.New(rand.NewPCG(5, 2)), 12, 6)
	members[3].Status = Removed
	members[4].Status = Leaving
	l := mustPlan(t, nil, members, 64, 3)
	for p := range Partition(64) {
		near := map[string]bool{}
		for _, m := range members {
			near[m.Zone] = near[m.Zone] || slices.Contains(l.Primaries(p), m.ID)
		}
		order := l.Fallbacks(p, members)
		if len(order) != 12-3-2 {
			t.Fatalf("partition %d has %d fallbacks", p, len(order))
		}
		far := false
		for _, id := range order {
			i := slices.IndexFunc(members, func(m Member) bool { return m.ID == id })
			if slices.Contains(l.Primaries(p), id) || !members[i].Eligible() || far && near[members[i].Zone] {
				t.Fatalf("partition %d: %s in a wrong place", p, members[i].Name)
			}
			far = !near[members[i].Zone]
		}
	}
}

func TestFallbackLoadIsSpread(t *testing.T) {
	const q, s = 1024, 9
	members := testMembers(rand.New(rand.NewPCG(5, 3)), s, 0)
	l := mustPlan(t, nil, members, q, 3)
	down, takes := members[0].ID, map[NodeID]int{}
	for p := range Partition(q) {
		if slices.Contains(l.Primaries(p), down) {
			takes[l.Fallbacks(p, members)[0]]++
		}
	}
	fair := q * 3 / s / (s - 1)
	for _, m := range members[1:] {
		if got := takes[m.ID]; got < fair/2 || got > fair*2 {
			t.Errorf("%s stands in for %d partitions, the fair share is %d", m.Name, got, fair)
		}
	}
}

func TestPartitionOutOfRangePanics(t *testing.T) {
	l := mustPlan(t, nil, testMembers(rand.New(rand.NewPCG(5, 4)), 3, 0), 4, 3)
	if !panics(func() { l.Primaries(4) }) {
		t.Error("no panic")
	}
}

func ExamplePreferenceList() {
	up := func(id NodeID) bool { return id != testID('B') }
	for _, target := range PreferenceList(testIDs("ABC"), testIDs("DE"), 3, up) {
		fmt.Printf("%c stands in: %v\n", target.Node[0], !target.For.IsZero())
	}
	// Output:
	// A stands in: false
	// D stands in: true
	// C stands in: false
}
