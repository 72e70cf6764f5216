package node

import (
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/ring"
)

func TestWhatWasTakenOverIsSaidTogether(t *testing.T) {
	for name, c := range map[string]struct {
		waited time.Duration
		busy   bool
		said   bool
	}{
		"nothing else is being taken over":   {0, false, true},
		"others follow in a moment":          {heldWait - 1, true, false},
		"the first has waited long enough":   {heldWait, true, true},
		"the last one, after a long silence": {time.Hour, false, true},
	} {
		if got := sayHeld(c.waited, c.busy); got != c.said {
			t.Errorf("%s: said: %v", name, got)
		}
	}
}

func TestOutlookIsWorkedOutOnceForADocument(t *testing.T) {
	one, other := ring.NodeID{1}, ring.NodeID{2}
	s := ring.State{
		Cluster: ring.Cluster{ID: ring.NodeID{9}, Name: "test", Q: 2, N: 1, R: 1, W: 1},
		Members: []ring.Member{{ID: one, Name: "a", Status: ring.Active}, {ID: other, Name: "b"}},
		Layout: &ring.Layout{Version: 1, Q: 2, N: 1, Since: []uint64{1, 1}, Owners: [][]ring.NodeID{{one}, {one}},
			Members: []ring.NodeID{one, other}},
	}
	var o outlook
	first := o.remaining(s)
	if first[other] != 1 {
		t.Fatalf("the second of two nodes has %d of two partitions to come", first[other])
	}
	first[other] = 77 // a mark, to be met again
	s.Reports = []ring.Report{{Node: one, Seq: 5}}
	if got := o.remaining(s)[other]; got != 77 {
		t.Error("a report made the outlook be worked out anew")
	}
	s.Members = []ring.Member{s.Members[0], {ID: other, Name: "b", Status: ring.Leaving}}
	if got := o.remaining(s)[other]; got != 0 {
		t.Errorf("%d partitions to come for a node that leaves", got)
	}
}
