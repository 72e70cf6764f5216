package coordinator

import (
	"fmt"
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
				schedules += explorePut(t, p, n, w, map[ring.NodeID]bool{}, 0)
			}
		}
	}
	t.Logf("%d schedules", schedules)
}

func explorePut(t *testing.T, p Put, n, w int, hinted map[ring.NodeID]bool, slow int) int {
	checkPut(t, &p, n, w, hinted)
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
			ran += explorePut(t, q, n, w, h, slow)
		}
	}
	if open && slow == 0 && n <= 4 {
		q, h := clonePut(p, hinted)
		_, owed := q.Slow()
		for _, o := range owed {
			h[o] = true
		}
		ran += explorePut(t, q, n, w, h, 1)
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

func checkPut(t *testing.T, p *Put, n, w int, hinted map[ring.NodeID]bool) {
	t.Helper()
	acks, open := 0, 0
	covered := map[ring.NodeID]bool{} // primaries that hold the write, are being sent it, or for whom somebody keeps it
	used := map[ring.NodeID]bool{}
	for _, l := range p.Legs() {
		if !l.Node.IsZero() && used[l.Node] {
			t.Fatalf("two copies for one node:%s", legsText(p))
		}
		used[l.Node] = true
		primary := l.For
		if primary.IsZero() {
			primary = l.Node
		}
		switch l.State {
		case LegAcked:
			acks++
			covered[primary] = true
		case LegOpen:
			open++
			covered[primary] = true
		}
	}
	if p.Enough() != (acks >= w) || p.Hopeless() != (open == 0 && acks < w) {
		t.Fatalf("acks %d open %d w %d: enough %v hopeless %v", acks, open, w, p.Enough(), p.Hopeless())
	}
	for i := range n {
		if id := (ring.NodeID{byte(i + 1)}); !covered[id] && !hinted[id] {
			t.Fatalf("primary %d is forgotten:%s", i+1, legsText(p))
		}
	}
}
