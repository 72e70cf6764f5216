package coordinator

import (
	"slices"
	"testing"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/ring"
)

// written builds states for reads: each version is put over what the one before showed.
func versionsOf(values ...string) []causal.State {
	var s causal.State
	var out []causal.State
	for i, v := range values {
		stamp := causal.Stamp{Time: causal.TimeOf(int64(i+1), 0), Node: 1}
		d := s.Put(s.Seen, causal.Actor{Boot: 1, Seq: 1}, []causal.Version{{Stamp: stamp, Value: []byte(v)}}, func(causal.Stamp) bool { return true })
		s = causal.Sync(s, d)
		out = append(out, s)
	}
	return out
}

func order(g *Get) (out []byte) {
	for _, a := range g.asks {
		out = append(out, a.Node[0])
	}
	return out
}

func TestGetPlan(t *testing.T) {
	for name, c := range map[string]struct {
		place      *Place
		self, near int
		primaries  bool
		want       []byte
		ok         bool
	}{
		"self first, then near":                              {placeOf(3, 0), 2, 3, false, []byte{2, 1, 3}, true},
		"near first when self is no replica":                 {placeOf(3, 1), 4, 2, false, []byte{2, 1, 3}, true},
		"fallbacks answer for dead primaries, last":          {placeOf(3, 2, 0), 2, 3, false, []byte{2, 3, 4}, true},
		"fallbacks grant no lock":                            {placeOf(3, 2, 0, 1), 3, 0, true, []byte{3}, false},
		"no fallback is asked while the primaries are there": {placeOf(3, 2), 1, 2, false, []byte{1, 2, 3}, true},
	} {
		g, ok := NewGet(c.place, ring.NodeID{byte(c.self)}, ring.NodeID{byte(c.near)}, 2, c.primaries)
		got := order(&g)
		if ok != c.ok || got[0] != c.want[0] || len(got) != len(c.want) {
			t.Errorf("%s: %v %v, want %v %v", name, got, ok, c.want, c.ok)
		}
	}
}

func TestGetAnswersTheSyncOfRAndNamesTheStale(t *testing.T) {
	vs := versionsOf("old", "new")
	g, _ := NewGet(placeOf(3, 0), ring.NodeID{1}, ring.NodeID{2}, 2, false)
	g.Answer(g.Next(), vs[0])
	if g.Enough() {
		t.Fatal("one of two is not enough")
	}
	g.Answer(g.Next(), vs[1])
	wantValues(t, g.Result(), "new")
	if stale := slices.Collect(g.Stale); len(stale) != 1 || stale[0] != (ring.NodeID{1}) {
		t.Fatalf("stale %v, want node 1", stale)
	}
	g.Answer(g.Next(), causal.State{}) // a late reply: not found is stale too
	if stale := slices.Collect(g.Stale); len(stale) != 2 {
		t.Fatalf("stale %v, want nodes 1 and 3", stale)
	}
}

func TestGetSameIsAsStaleAsTheFirst(t *testing.T) {
	vs := versionsOf("old", "new")
	g, _ := NewGet(placeOf(3, 0), ring.NodeID{1}, ring.NodeID{2}, 2, false)
	g.Answer(g.Next(), vs[0])
	g.Same(g.Next())
	wantValues(t, g.Result(), "old")
	g.Answer(g.Next(), vs[1])
	if stale := slices.Collect(g.Stale); len(stale) != 2 {
		t.Fatalf("stale %v, want both that hold the old value", stale)
	}
}

// TestGetThroughEveryOrderOfReplies runs every order of answers and failures of up to five replicas.
func TestGetThroughEveryOrderOfReplies(t *testing.T) {
	vs := versionsOf("a", "b", "c")
	ran := 0
	for n := 1; n <= 5; n++ {
		for r := 1; r <= n; r++ {
			g, _ := NewGet(placeOf(n, 0), ring.NodeID{1}, ring.NodeID{2}, r, false)
			ran += exploreGet(t, g, r, vs, nil)
		}
	}
	t.Logf("%d schedules", ran)
}

func exploreGet(t *testing.T, g Get, r int, vs []causal.State, answered []int) int {
	for g.Wanted() > 0 && g.Next() >= 0 {
		continue
	}
	if g.Enough() != (len(answered) >= r) {
		t.Fatalf("%d answers of %d: enough %v", len(answered), r, g.Enough())
	}
	newest := slices.Max(append([]int{-1}, answered...))
	if w, ok := g.Result().Winner(); ok && string(w.Value) != string(vs[newest].Siblings[0].Value) {
		t.Fatalf("answered %q, newest seen is version %d", w.Value, newest)
	}
	ran, open := 0, 0
	for i := range g.asks[:g.next] {
		if g.asks[i].State != AskOpen {
			continue
		}
		open++
		for v := -1; v < len(vs); v++ { // -1: it fails
			h := g
			h.asks = slices.Clone(g.asks)
			a := slices.Clone(answered)
			if v < 0 {
				h.Fail(i)
			} else if v == i%len(vs) {
				h.Answer(i, vs[v])
				a = append(a, v)
			} else {
				continue
			}
			ran += exploreGet(t, h, r, vs, a)
		}
	}
	if open == 0 && !g.Enough() && !g.Hopeless() {
		t.Fatal("nobody is asked, R is not reached, and it is not called hopeless")
	}
	return max(ran, 1)
}

func TestGetAsksThoseThatAreRead(t *testing.T) {
	for _, pl := range exchanges() {
		g, ok := NewGet(pl, ring.NodeID{1}, ring.NodeID{2}, 1, false)
		if !ok || len(g.Asks()) != len(pl.Primaries)-pl.unread {
			t.Fatalf("%d of %d primaries are asked, %d only written to", len(g.Asks()), len(pl.Primaries), pl.unread)
		}
		for _, a := range g.Asks() {
			if at := slices.Index(pl.Primaries, a.Node); at >= len(pl.Primaries)-pl.unread {
				t.Fatalf("primary %d is asked, and only written to", at)
			}
		}
	}
}
