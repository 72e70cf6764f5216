package coordinator

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

func newTestSettlement(node uint64) *Settlement {
	at := time.UnixMilli(1_000_000)
	return NewSettlement(node, causal.NewClock(func() time.Time { at = at.Add(time.Millisecond); return at }, 0, time.Minute))
}

func TestSettlementOfOwnOperations(t *testing.T) {
	s := newTestSettlement(1)
	a, b := s.Begin(), s.Begin()
	if s.Settled(a) || s.Settled(b) {
		t.Fatal("settled while under way")
	}
	s.Done(b)
	if !s.Settled(b) || s.Settled(a) {
		t.Fatal("the one that is done is settled, the other is not")
	}
	s.Retry(a)
	s.Done(a)
	if s.Settled(a) {
		t.Fatal("a retried write is never settled")
	}
	if s.Retry(b) {
		t.Fatal("an operation that was answered, and called settled, may be sent again")
	}
}

func TestSettlementHeardFromAnotherNode(t *testing.T) {
	x, c := newTestSettlement(1), newTestSettlement(2)
	a := x.Begin()
	c.Hear(x.Notice())
	if c.Settled(a) {
		t.Fatal("settled while under way at its origin")
	}
	stale := x.Notice()
	x.Done(a)
	if c.Settled(a) {
		t.Fatal("settled before its origin said so")
	}
	c.Hear(x.Notice())
	if !c.Settled(a) {
		t.Fatal("not settled although its origin said so")
	}
	r := x.Begin()
	x.Retry(r)
	x.Done(r)
	c.Hear(x.Notice())
	c.Hear(stale) // an old frame changes nothing
	if c.Settled(r) || !c.Settled(a) {
		t.Fatal("the retried one is settled, or the other no longer is")
	}
	if c.Settled(causal.Stamp{Time: a.Time, Node: 77}) {
		t.Fatal("a node never heard of has nothing settled")
	}
}

func TestSettlementForgetsOldRetriesSafely(t *testing.T) {
	x, c := newTestSettlement(1), newTestSettlement(2)
	var stamps []causal.Stamp
	for range retriedMax + 1 {
		s := x.Begin()
		x.Retry(s)
		x.Done(s)
		stamps = append(stamps, s)
	}
	n := x.Notice()
	if len(n.Retried) != retriedMax {
		t.Fatalf("%d retried operations named, cap %d", len(n.Retried), retriedMax)
	}
	c.Hear(n)
	for _, s := range stamps {
		if c.Settled(s) || x.Settled(s) {
			t.Fatal("a retried write counts as settled once its name was forgotten")
		}
	}
}

func TestSettlementRefusesAnOversizedNotice(t *testing.T) {
	c := newTestSettlement(2)
	n := request.Notice{Node: 1, Low: causal.TimeOf(2_000_000, 0), Retried: make([]causal.Stamp, retriedMax+1)}
	c.Hear(n)
	if c.Settled(causal.Stamp{Time: causal.TimeOf(1_500_000, 0), Node: 1}) {
		t.Fatal("heard")
	}
}

func TestSettlementOutlivesRestarts(t *testing.T) {
	x, c := newTestSettlement(1), newTestSettlement(2)
	a, r := x.Begin(), x.Begin()
	x.Retry(r)
	x.Done(a)
	x.Done(r)
	again := newTestSettlement(11) // x restarted: other bits
	if err := again.Load(x.Save(nil)); err != nil {
		t.Fatal(err)
	}
	if !again.Settled(a) || again.Settled(r) {
		t.Fatal("the restarted node knows its former boot's operations otherwise than that boot did")
	}
	for range 3 {
		c.Hear(again.Tell())
	}
	if !c.Settled(a) || c.Settled(r) {
		t.Fatal("another node was not told of the former boot")
	}
	third := newTestSettlement(3)
	if err := third.Load(c.Save(nil)); err != nil || !third.Settled(a) {
		t.Fatalf("what was heard is lost with a restart (%v)", err)
	}
	for range 2 * formerMax {
		next := newTestSettlement(again.node + 1)
		if err := next.Load(again.Save(nil)); err != nil {
			t.Fatal(err)
		}
		again = next
	}
	if n := len(again.heard.former); n != formerMax {
		t.Fatalf("%d former boots kept, cap %d", n, formerMax)
	}
	if err := third.Load([]byte{1, 2, 3}); err == nil {
		t.Fatal("damaged bytes were taken")
	}
}

// A notice says what was so when it was asked for, though it shares memory with what is so now.
func TestNoticeStaysAsItWas(t *testing.T) {
	s := NewSettlement(1, causal.NewClock(time.Now, 0, time.Minute))
	var said []request.Notice
	var stamps []causal.Stamp
	for range 3 * retriedMax {
		stamp := s.Begin()
		if !s.Retry(stamp) {
			t.Fatal("not under way")
		}
		stamps = append(stamps, stamp)
		said = append(said, s.Notice())
	}
	for i, n := range said {
		if len(n.Retried) == 0 || n.Retried[len(n.Retried)-1] != stamps[i] || !slices.IsSortedFunc(n.Retried, causal.Stamp.Compare) {
			t.Fatalf("notice %d has become %v", i, n.Retried)
		}
	}
	if got := testing.AllocsPerRun(100, func() { s.Notice() }); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}
