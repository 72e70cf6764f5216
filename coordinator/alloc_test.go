package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// still is a store that holds one state of every key, and a wire that keeps every frame until it is told to answer, on the goroutine
// of the test: so that what a coordinator allocates can be counted.
type still struct {
	state causal.State
	actor func() causal.Actor
	calls []func(error)
}

func (s *still) Read(rs []*request.Read) {
	for _, r := range rs {
		r.State, r.Err = s.state, nil
	}
}

func (s *still) Write(_ context.Context, ws []*request.Write) error {
	for _, w := range ws {
		w.Delta, w.Wrote = w.Mint.Mint(s.state, s.actor)
	}
	return nil
}

func (s *still) Owe(ring.NodeID, request.Key, causal.Context, bool) error  { return nil }
func (s *still) OwePartition(ring.NodeID, uint8, ring.Partition) error     { return nil }
func (s *still) CancelHint(ring.NodeID, request.Key, causal.Context) error { return nil }

// frozenPeers is still as the wire.
type frozenPeers struct{ *still }

func (s frozenPeers) Read(_ ring.NodeID, rs []*request.Read, _ uint64, _ time.Time, done func(error)) {
	for _, r := range rs {
		r.Same = r.Compare
	}
	s.calls = append(s.calls, done)
}

func (s frozenPeers) Write(_ ring.NodeID, _ []*request.Write, _ uint64, _ time.Time, done func(error)) {
	s.calls = append(s.calls, done)
}

func (s frozenPeers) Coordinate(_ ring.NodeID, ops []*request.Op, _ uint64, _ request.Notice, _, _ time.Time, done func(error)) {
	s.calls = append(s.calls, done)
}

func (s frozenPeers) RTT(ring.NodeID) time.Duration { return 0 }

// run carries out a batch, all frames of which are answered before anybody waits.
func (s *still) run(c *Coordinator, view *View, ops []*request.Op) {
	b := newBatch(c, view, ops, time.Now().Add(time.Minute))
	b.start()
	for i := 0; i < len(s.calls); i++ {
		s.calls[i](nil)
	}
	clear(s.calls)
	s.calls = s.calls[:0]
	b.wait(context.Background())
}

// What the coordinator of three copies allocates for a batch; a replica, the wire and the client are counted elsewhere. No time passes,
// or a machine that is short of CPU would see reads hedged.
func TestBatchesAllocateLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector sync.Pool forgets")
	}
	synctest.Test(t, batchesAllocateLittle)
}

// inPlace is the first of three nodes whose store and wire are still.
type inPlace struct {
	*still
	c    *Coordinator
	view *View
}

func newInPlace(t testing.TB) inPlace {
	var doc ring.State
	doc.Cluster = ring.Cluster{ID: ring.NodeID{9}, Name: "t", Q: 16, N: 3, R: 2, W: 2}
	for i := range 3 {
		doc.Members = append(doc.Members, ring.Member{ID: ring.NodeID{byte(i + 1)}, Name: fmt.Sprint("n", i+1), Weight: 1, Status: ring.Active, Epoch: 1})
	}
	var err error
	if doc.Layout, err = ring.Plan(nil, doc.Members, 16, 3); err != nil {
		t.Fatal(err)
	}
	actor, self := causal.Actor{Boot: 1, Seq: 1}, ring.NodeID{1}
	old := causal.Version{Stamp: causal.Stamp{Time: 1, Node: 2}, Value: []byte("old")}
	s := &still{state: causal.State{}.Put(causal.Context{}, actor, []causal.Version{old}, nil), actor: func() causal.Actor { return actor }}
	settlement := NewSettlement(1, causal.NewClock(time.Now, 0, time.Minute))
	settlement.Hear(request.Notice{Node: 2, Low: 3})
	c := New(Config{Self: self, Store: s, Peers: frozenPeers{s}, Settlement: settlement, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	view := NewView(self, doc, allUp)
	c.SetView(view)
	return inPlace{s, c, view}
}

// batch returns n operations whose first coordinator is this node, or another.
func (p inPlace) batch(verb request.Verb, here bool, n int) (ops []*request.Op) {
	for i := 0; len(ops) < n; i++ {
		key := request.Key{Name: fmt.Append(nil, "key-", i)}
		key.Partition = p.view.Partition(key.Name)
		if to, _ := p.view.Place(key.Partition).coordinator(0); (to == p.c.Self) == here {
			ops = append(ops, &request.Op{Verb: verb, Key: key, Value: []byte("new"), Stamp: causal.Stamp{Time: 2, Node: 2}})
		}
	}
	return ops
}

func batchesAllocateLittle(t *testing.T) {
	p := newInPlace(t)
	for name, bound := range map[string]struct {
		most float64
		ops  []*request.Op
	}{
		"GET":                   {3, p.batch(request.Get, true, 1)},
		"GET, pipelined":        {11, p.batch(request.Get, true, 16)},
		"SET":                   {9, p.batch(request.Put, true, 1)},
		"SET, pipelined":        {64, p.batch(request.Put, true, 16)},
		"SET on another's node": {4, p.batch(request.Put, false, 1)},
	} {
		if got := testing.AllocsPerRun(100, func() { p.run(p.c, p.view, bound.ops) }); got > bound.most {
			t.Errorf("%s: %v allocations, want %v at most", name, got, bound.most)
		}
	}
}

// BenchmarkBatches is what the coordinator of three copies costs beside its store, the wire, and the other replicas.
func BenchmarkBatches(b *testing.B) {
	p := newInPlace(b)
	for _, c := range []struct {
		name string
		verb request.Verb
		here bool
		n    int
	}{
		{"get/1", request.Get, true, 1}, {"get/16", request.Get, true, 16}, {"set/1", request.Put, true, 1}, {"set/16", request.Put, true, 16},
		{"forward/1", request.Put, false, 1}, {"forward/16", request.Put, false, 16},
	} {
		ops := p.batch(c.verb, c.here, c.n)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.run(p.c, p.view, ops)
			}
		})
	}
}
