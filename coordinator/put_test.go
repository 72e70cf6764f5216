package coordinator

import (
	"fmt"
	"slices"
	"testing"

	"github.com/holdfastdb/holdfast/ring"
)

func nodes(n int) []ring.NodeID {
	out := make([]ring.NodeID, n)
	for i := range out {
		out[i] = ring.NodeID{byte(i + 1)}
	}
	return out
}

// placeOf has n primaries, of which down are out of reach, and the next f nodes as fallbacks in reach.
func placeOf(n, f int, down ...int) *Place {
	ids := nodes(n + f)
	pl := &Place{Primaries: ids[:n], Up: make([]bool, n), Fallbacks: ids[n:]}
	for i := range pl.Up {
		pl.Up[i] = true
	}
	for _, d := range down {
		pl.Up[d] = false
	}
	return pl
}

func legsText(p *Put) string {
	out := ""
	for _, l := range p.Legs() {
		switch {
		case l.State == LegOwed:
			out += fmt.Sprintf(" owed:%d", l.For[0])
		case l.For.IsZero():
			out += fmt.Sprintf(" %d", l.Node[0])
		default:
			out += fmt.Sprintf(" %d-for-%d", l.Node[0], l.For[0])
		}
	}
	return out
}

func TestPutPlan(t *testing.T) {
	for name, c := range map[string]struct {
		place *Place
		self  int
		w     int
		want  string
		ok    bool
	}{
		"all primaries get a copy":                                   {placeOf(3, 2), 1, 2, " 1 2 3", true},
		"a fallback stands in for the second primary":                {placeOf(3, 2, 1), 1, 2, " 1 4-for-2 3", true},
		"two fallbacks stand in, each for one":                       {placeOf(3, 2, 1, 2), 1, 2, " 1 4-for-2 5-for-3", true},
		"no fallback is left: the copy is owed":                      {placeOf(3, 0, 2), 1, 2, " 1 2 owed:3", true},
		"fewer than W in reach":                                      {placeOf(3, 0, 1, 2), 1, 2, " 1 owed:2 owed:3", false},
		"W of one is met by the coordinator alone":                   {placeOf(3, 0, 1, 2), 1, 1, " 1 owed:2 owed:3", true},
		"a fallback coordinates for the first dead primary":          {placeOf(3, 2, 0, 1, 2), 4, 2, " 4-for-1 5-for-2 owed:3", true},
		"a fallback coordinates when the primaries in reach refused": {placeOf(3, 1), 4, 2, " 1 2 3 4-for-3", true},
		"one node alone is a plain store":                            {placeOf(1, 0), 1, 1, " 1", true},
		"two nodes need each other":                                  {placeOf(2, 0, 1), 1, 2, " 1 owed:2", false},
	} {
		p, ok := NewPut(c.place, ring.NodeID{byte(c.self)}, c.w)
		if got := legsText(&p); got != c.want || ok != c.ok {
			t.Errorf("%s: legs%s, ok %v; want%s, %v", name, got, ok, c.want, c.ok)
		}
	}
}

func TestPutEnoughAtWNotBefore(t *testing.T) {
	p, _ := NewPut(placeOf(3, 0), ring.NodeID{1}, 2)
	p.Ack(0)
	if p.Enough() || p.Hopeless() {
		t.Fatal("one of two is neither enough nor hopeless")
	}
	p.Fail(1)
	if p.Hopeless() {
		t.Fatal("the third may still answer")
	}
	p.Ack(2)
	if !p.Enough() {
		t.Fatal("W reached")
	}
}

func TestPutOwesEachMissingPrimaryOnce(t *testing.T) {
	p, _ := NewPut(placeOf(3, 0), ring.NodeID{1}, 2)
	p.Ack(0)
	p.Ack(1)
	if _, owed := p.Slow(); len(owed) != 1 || owed[0] != (ring.NodeID{3}) {
		t.Fatalf("owed %v, want the slow third", owed)
	}
	if _, owed := p.Slow(); len(owed) != 0 {
		t.Fatalf("owed %v again", owed)
	}
	if _, owed := p.Fail(2); !owed.IsZero() {
		t.Fatal("owed a third time")
	}
}

func TestPutSlowLegIsReplacedOnce(t *testing.T) {
	p, _ := NewPut(placeOf(3, 1), ring.NodeID{1}, 3)
	p.Ack(0)
	p.Ack(1)
	next, _ := p.Slow()
	if len(next) != 1 || legsText(&p) != " 1 2 3 4-for-3" {
		t.Fatalf("legs%s, want the fallback for the third", legsText(&p))
	}
	if next, _ := p.Slow(); len(next) != 0 {
		t.Fatal("replaced twice")
	}
	p.Ack(3)
	if !p.Enough() {
		t.Fatal("the fallback's acknowledgement counts")
	}
	if p.Ack(2) {
		t.Fatal("no hint of the coordinator's own is there to cancel")
	}
}

// What a fallback keeps for a primary it lets go of once that has it: the two are one copy.
func TestPutCountsAFallbackNotBesideItsPrimary(t *testing.T) {
	byFallback, _ := NewPut(placeOf(3, 2), ring.NodeID{4}, 2)
	if legsText(&byFallback) != " 1 2 3 4-for-3" {
		t.Fatalf("legs%s", legsText(&byFallback))
	}
	byFallback.Ack(3)
	byFallback.Ack(2)
	if byFallback.Enough() {
		t.Error("the third primary and the fallback that keeps its copy are enough for W=2")
	}
	byFallback.Ack(0)
	if !byFallback.Enough() {
		t.Error("two primaries are not enough for W=2")
	}
	hopeless, _ := NewPut(placeOf(3, 1), ring.NodeID{4}, 2)
	hopeless.Ack(3)
	hopeless.Ack(2)
	hopeless.Fail(0)
	hopeless.Fail(1)
	if !hopeless.Hopeless() || hopeless.Have() != 1 {
		t.Errorf("hopeless %v with the copy of %d primary", hopeless.Hopeless(), hopeless.Have())
	}
	late, _ := NewPut(placeOf(3, 1), ring.NodeID{1}, 3)
	late.Ack(0)
	late.Slow() // the fallback stands in for the second
	late.Ack(3)
	late.Ack(1)
	if legsText(&late) != " 1 2 3 4-for-2" || late.Enough() {
		t.Errorf("legs%s: enough for W=3 without the third primary's copy: %v", legsText(&late), late.Enough())
	}
}

func TestPutSpendsNoSpareOnAPrimaryWhoseCopyIsKept(t *testing.T) {
	p, _ := NewPut(placeOf(3, 2), ring.NodeID{4}, 2)
	p.Ack(3)
	p.Fail(2)
	p.Fail(0)
	p.Ack(4)
	if legsText(&p) != " 1 2 3 4-for-3 5-for-1" || !p.Enough() {
		t.Errorf("legs%s, enough %v", legsText(&p), p.Enough())
	}
}

func TestAFallbackCoordinatesForASuspectFirst(t *testing.T) {
	suspects := placeOf(3, 1)
	suspects.suspect = []bool{false, true, true}
	p, _ := NewPut(suspects, ring.NodeID{4}, 2)
	if legsText(&p) != " 1 2 3 4-for-2" {
		t.Errorf("legs%s", legsText(&p))
	}
}

// TestPutThroughEveryOrderOfReplies runs every order in which up to five copies can be acknowledged, refused or late,
// and checks after each step what must hold in all of them.
func TestPutThroughEveryOrderOfReplies(t *testing.T) {
	schedules := 0
	for n := 1; n <= 5; n++ {
		for w := 1; w <= n; w++ {
			for f := 0; f <= 2 && n+f <= 5; f++ {
				p, ok := NewPut(placeOf(n, f), ring.NodeID{1}, w)
				if !ok {
					t.Fatal("all are in reach")
				}
				schedules += explorePut(t, p, placeOf(n, f), w, map[ring.NodeID]bool{}, 0)
				if f == 0 {
					continue
				}
				if p, ok = NewPut(placeOf(n, f), ring.NodeID{byte(n + 1)}, w); !ok { // by a fallback
					t.Fatal("all are in reach")
				}
				schedules += explorePut(t, p, placeOf(n, f), w, map[ring.NodeID]bool{}, 0)
			}
		}
	}
	for _, pl := range exchanges() {
		for w := 1; w <= pl.readers(); w++ {
			if p, ok := NewPut(pl, ring.NodeID{1}, w); ok {
				schedules += explorePut(t, p, pl, w, map[ring.NodeID]bool{}, 0)
			}
		}
	}
	t.Logf("%d schedules", schedules)
}

// exchanges returns places of up to four primaries of which one comes, one goes, or both.
func exchanges() (all []*Place) {
	for n := 2; n <= 4; n++ {
		for apart := -1; apart < n-1; apart++ {
			for unread := 0; unread <= 1; unread++ {
				if apart < 0 && unread == 0 {
					continue
				}
				pl := placeOf(n, min(1, 4-n))
				pl.changing, pl.apart, pl.unread = true, apart, unread
				all = append(all, pl)
			}
		}
	}
	return all
}

func explorePut(t *testing.T, p Put, pl *Place, w int, hinted map[ring.NodeID]bool, slow int) int {
	checkPut(t, &p, pl, w, hinted)
	ran, open := 0, false
	for i, l := range p.Legs() {
		if l.State != LegOpen {
			continue
		}
		open = true
		for _, ack := range []bool{true, false} {
			q, h := clonePut(p, hinted)
			if ack {
				q.Ack(i)
			} else if _, owed := q.Fail(i); !owed.IsZero() {
				h[owed] = true
			}
			ran += explorePut(t, q, pl, w, h, slow)
		}
	}
	if open && slow == 0 && len(pl.Primaries) <= 4 && !pl.changing {
		q, h := clonePut(p, hinted)
		_, owed := q.Slow()
		for _, o := range owed {
			h[o] = true
		}
		ran += explorePut(t, q, pl, w, h, 1)
	}
	return max(ran, 1)
}

func clonePut(p Put, hinted map[ring.NodeID]bool) (Put, map[ring.NodeID]bool) {
	p.legs = append([]Leg(nil), p.legs...)
	h := make(map[ring.NodeID]bool, len(hinted))
	for k := range hinted {
		h[k] = true
	}
	return p, h
}

func checkPut(t *testing.T, p *Put, pl *Place, w int, hinted map[ring.NodeID]bool) {
	t.Helper()
	read, other, open := map[ring.NodeID]bool{}, map[ring.NodeID]bool{}, 0
	readers, others := pl.Primaries[:len(pl.Primaries)-pl.unread], pl.Primaries
	if pl.apart >= 0 && pl.changing {
		others = slices.Delete(slices.Clone(others), pl.apart, pl.apart+1)
	}
	covered := map[ring.NodeID]bool{} // primaries that hold the write, are being sent it, or for whom somebody keeps it
	used := map[ring.NodeID]bool{}
	for _, l := range p.Legs() {
		became := !l.For.IsZero() && pl.IsPrimary(l.Node) // a fallback by the place before
		if !l.Node.IsZero() && !became && used[l.Node] {
			t.Fatalf("two copies for one node:%s", legsText(p))
		}
		used[l.Node] = used[l.Node] || !became
		primary := l.For
		if primary.IsZero() {
			primary = l.Node
		}
		switch l.State {
		case LegAcked:
			if slices.Contains(readers, primary) && !became {
				read[primary] = true
			}
			if slices.Contains(others, primary) && !became {
				other[primary] = true
			}
			covered[primary] = true
		case LegOpen:
			open++
			covered[primary] = true
		}
	}
	enough := len(read) >= min(w, len(readers)) && (!pl.changing || len(other) >= min(w, len(others)))
	if p.Enough() != enough || p.Hopeless() != (open == 0 && !enough) {
		t.Fatalf("acks %d and %d, open %d w %d: enough %v hopeless %v", len(read), len(other), open, w, p.Enough(), p.Hopeless())
	}
	for _, id := range pl.Primaries {
		if !covered[id] && !hinted[id] {
			t.Fatalf("primary %d is forgotten:%s", id[0], legsText(p))
		}
	}
}
