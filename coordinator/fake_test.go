package coordinator

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// fakeStore is a replica in memory: a map of causal states, hints beside it.
type fakeStore struct {
	mu      sync.Mutex
	boot    uint64
	seq     uint64
	data    map[string]causal.State
	actors  map[string]causal.Actor
	hints   map[ring.NodeID]map[string]causal.State   // data hints, by target
	markers map[ring.NodeID]map[string]causal.Context // marker hints, by target
	stay    map[ring.NodeID]map[string]bool           // marker hints of what minted no dot
	marks   map[owedPartition]bool
	commits int
	refuse  error
	fsync   time.Duration // that a commit waits for
}

func newFakeStore(boot uint64) *fakeStore {
	return &fakeStore{boot: boot, data: map[string]causal.State{}, actors: map[string]causal.Actor{},
		hints: map[ring.NodeID]map[string]causal.State{}, markers: map[ring.NodeID]map[string]causal.Context{},
		stay: map[ring.NodeID]map[string]bool{}, marks: map[owedPartition]bool{}}
}

// refuseAll makes every write be refused with err from now on, nil: none.
func (s *fakeStore) refuseAll(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = err
}

func (s *fakeStore) Read(rs []*request.Read) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rs {
		id := queueID(r.Key)
		st := s.data[id]
		for _, h := range s.hints {
			st = causal.Sync(st, h[id])
		}
		if r.Compare && st.Digest() == r.Digest {
			r.Same = true
			continue
		}
		r.State = st
	}
}

func (s *fakeStore) Write(_ context.Context, ws []*request.Write) error {
	time.Sleep(s.commit(ws))
	return nil
}

func (s *fakeStore) commit(ws []*request.Write) (fsync time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits++
	for _, w := range ws {
		if s.refuse != nil {
			w.Err = s.refuse
			continue
		}
		s.writeOne(w)
	}
	return s.fsync
}

func (s *fakeStore) writeOne(w *request.Write) {
	id := queueID(w.Key)
	at, actorID := s.data, id
	if !w.For.IsZero() {
		if s.hints[w.For] == nil {
			s.hints[w.For] = map[string]causal.State{}
		}
		at, actorID = s.hints[w.For], w.For.String()+id
	}
	cur := at[id]
	if w.Mint != nil {
		var ok bool
		if w.Delta, ok = w.Mint.Mint(cur, func() causal.Actor { return s.actor(actorID) }); !ok {
			return
		}
	}
	next := causal.Sync(cur, w.Delta)
	w.Wrote = !next.Equal(cur)
	at[id] = next
	for _, target := range w.Owed {
		s.oweOne(target, id, w)
	}
	if len(w.Delta.Siblings) > 0 && len(next.Siblings) > 0 && next.Siblings[0].Stamp.Compare(w.Delta.Siblings[0].Stamp) > 0 {
		w.Survivor = causal.State{Seen: next.Seen, Siblings: next.Siblings[:1]}
	}
}

// oweOne keeps a marker, or, where this replica is a fallback itself, the data.
func (s *fakeStore) oweOne(target ring.NodeID, id string, w *request.Write) {
	if w.For.IsZero() {
		s.mark(target, id, w.Delta.Seen, len(w.Delta.Siblings) > 0)
		return
	}
	if s.hints[target] == nil {
		s.hints[target] = map[string]causal.State{}
	}
	s.hints[target][id] = causal.Sync(s.hints[target][id], w.Delta)
}

func (s *fakeStore) actor(id string) causal.Actor {
	if _, ok := s.actors[id]; !ok {
		s.seq++
		s.actors[id] = causal.Actor{Boot: s.boot, Seq: s.seq}
	}
	return s.actors[id]
}

func (s *fakeStore) mark(target ring.NodeID, id string, seen causal.Context, minted bool) {
	if s.markers[target] == nil {
		s.markers[target], s.stay[target] = map[string]causal.Context{}, map[string]bool{}
	}
	s.markers[target][id] = s.markers[target][id].Join(seen)
	s.stay[target][id] = s.stay[target][id] || !minted
}

func (s *fakeStore) Owe(target ring.NodeID, key request.Key, owed causal.Context, minted bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark(target, queueID(key), owed, minted)
	return nil
}

func (s *fakeStore) OwePartition(target ring.NodeID, space uint8, p ring.Partition) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks[owedPartition{target, space, p}] = true
	return nil
}

func (s *fakeStore) CancelHint(target ring.NodeID, key request.Key, seen causal.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if owed, ok := s.markers[target][queueID(key)]; ok && seen.Covers(owed) && !s.stay[target][queueID(key)] {
		delete(s.markers[target], queueID(key))
	}
	return nil
}

func (s *fakeStore) state(key string) causal.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data[queueID(request.Key{Name: []byte(key)})]
}

func (s *fakeStore) owes(target ring.NodeID, key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := queueID(request.Key{Name: []byte(key)})
	_, marker := s.markers[target][id]
	_, data := s.hints[target][id]
	return marker || data
}

// house is a cluster of coordinators over fake stores and a network of goroutines, in one process.
type house struct {
	t     *testing.T
	ids   []ring.NodeID
	nodes map[ring.NodeID]*houseNode
	state ring.State

	rtt    atomic.Int64 // between any two nodes, as it is told
	mu     sync.Mutex
	frames map[string]int // by kind
}

type houseNode struct {
	*Coordinator
	store *fakeStore
	h     *house

	mu    sync.Mutex
	fault map[string]houseFault // by kind of frame that arrives here
}

// houseFault is what happens to frames of one kind that arrive at a node.
type houseFault struct {
	delay      time.Duration // before execution
	loseReply  bool          // executed, then the connection breaks
	breaks     bool          // the connection breaks at once, and what it brought is executed after the delay
	refused    error         // not executed
	unanswered bool          // neither executed nor answered before its deadline
}

func newHouse(t *testing.T, nodes, r, w int) *house {
	h := &house{t: t, nodes: map[ring.NodeID]*houseNode{}, frames: map[string]int{}}
	h.state.Cluster = ring.Cluster{ID: ring.NodeID{9}, Name: "t", Q: 16, N: 3, R: r, W: w}
	for i := range nodes {
		id := ring.NodeID{byte(i + 1)}
		h.ids = append(h.ids, id)
		h.state.Members = append(h.state.Members, ring.Member{ID: id, Name: fmt.Sprint("n", i+1), Weight: 1, Status: ring.Active, Epoch: 1})
	}
	layout, err := ring.Plan(nil, h.state.Members, 16, 3)
	if err != nil {
		t.Fatal(err)
	}
	h.state.Layout = layout
	for i, id := range h.ids {
		n := &houseNode{h: h, store: newFakeStore(uint64(i + 100)), fault: map[string]houseFault{}}
		clock := causal.NewClock(time.Now, 0, time.Minute)
		n.Coordinator = New(Config{Self: id, Store: n.store, Peers: housePeers{h, id}, Settlement: NewSettlement(uint64(i+100), clock), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
		n.Open()
		h.nodes[id] = n
	}
	h.up(h.ids...)
	return h
}

// up makes every node's view show exactly these (and itself) as in reach.
func (h *house) up(ids ...ring.NodeID) {
	for _, n := range h.nodes {
		h.sees(n, ids...)
	}
}

// sees makes one node's view show exactly these (and itself) as in reach.
func (h *house) sees(n *houseNode, ids ...ring.NodeID) {
	self := n.View().Self
	n.SetView(NewView(self, h.state, func(id ring.NodeID) bool { return id == self || slices.Contains(ids, id) }))
}

func (h *house) close() {
	time.Sleep(2 * copyDeadline) // in the bubble: what is on its way arrives or times out
	for _, n := range h.nodes {
		n.Close()
	}
}

// places returns the nodes in the order of the key's preference list: coordinator first, fallbacks last.
func (h *house) places(key string) []*houseNode {
	v := h.nodes[h.ids[0]].View()
	p := v.Partition([]byte(key))
	var out []*houseNode
	for _, id := range h.state.Layout.Primaries(p) {
		out = append(out, h.nodes[id])
	}
	for _, id := range h.state.Layout.Fallbacks(p, h.state.Members) {
		out = append(out, h.nodes[id])
	}
	return out
}

func (h *house) count(kind string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.frames[kind]
}

func (n *houseNode) set(kind string, f houseFault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault[kind] = f
}

// housePeers delivers frames by goroutines, with a small delay, as the wire does.
type housePeers struct {
	h    *house
	self ring.NodeID
}

func (p housePeers) deliver(kind string, to ring.NodeID, deadline time.Time, serve func(*houseNode) func(), done func(error)) {
	n := p.h.nodes[to]
	n.mu.Lock()
	f := n.fault[kind]
	n.mu.Unlock()
	p.h.mu.Lock()
	p.h.frames[kind]++
	p.h.mu.Unlock()
	go func() {
		time.Sleep(time.Millisecond)
		if f.refused != nil {
			done(f.refused)
			return
		}
		if f.unanswered {
			time.Sleep(time.Until(deadline))
			done(request.ErrLost)
			return
		}
		if f.breaks {
			done(request.ErrLost)
			time.Sleep(f.delay)
			serve(n)
			return
		}
		late := time.Until(deadline)
		if f.delay > late {
			time.Sleep(late)
			done(request.ErrLost)
			time.Sleep(f.delay - late)
			serve(n)
			return
		}
		time.Sleep(f.delay)
		reply := serve(n)
		if f.loseReply {
			done(request.ErrLost)
			return
		}
		reply()
		done(nil)
	}()
}

// What serves a frame uses its elements again as soon as they are answered, and the names of reads too, as the wire does: whoever still holds
// one then finds nothing in it.

func (p housePeers) Read(to ring.NodeID, rs []*request.Read, layout uint64, deadline time.Time, done func(error)) {
	p.deliver("read", to, deadline, func(n *houseNode) func() {
		there := make([]*request.Read, len(rs))
		for i, r := range rs {
			there[i] = &request.Read{Key: request.Key{Space: r.Key.Space, Name: bytes.Clone(r.Key.Name)}, Role: r.Role, Digest: r.Digest, Compare: r.Compare}
		}
		n.ServeReads(layout, there)
		answers := taken(there)
		for _, r := range answers {
			clear(r.Key.Name)
		}
		return func() {
			for i, r := range answers {
				rs[i].Same, rs[i].State, rs[i].Err = r.Same, r.State, r.Err
			}
		}
	}, done)
}

func (p housePeers) Write(to ring.NodeID, ws []*request.Write, layout uint64, deadline time.Time, done func(error)) {
	p.deliver("write", to, deadline, func(n *houseNode) func() {
		there := make([]*request.Write, len(ws))
		for i, w := range ws {
			there[i] = &request.Write{Key: request.Key{Space: w.Key.Space, Name: w.Key.Name}, Role: w.Role, Delta: w.Delta, For: w.For}
		}
		n.ServeWrites(context.Background(), layout, there)
		answers := taken(there)
		return func() {
			for i, w := range answers {
				ws[i].Wrote, ws[i].Survivor, ws[i].Err = w.Wrote, w.Survivor, w.Err
			}
		}
	}, done)
}

func (p housePeers) Coordinate(to ring.NodeID, ops []*request.Op, layout uint64, notice request.Notice, deadline, mint time.Time, done func(error)) {
	p.deliver("coordinate", to, deadline, func(n *houseNode) func() {
		there := make([]*request.Op, len(ops))
		for i, op := range ops {
			fresh := freshOp(op)
			there[i] = &fresh
			there[i].Key.Partition = 0
		}
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		n.ServeCoordinate(ctx, layout, notice, mint, there)
		cancel()
		answers := taken(there)
		return func() {
			for i, op := range answers {
				ops[i].Result = op.Result
			}
		}
	}, done)
}

func (p housePeers) RTT(ring.NodeID) time.Duration { return time.Duration(p.h.rtt.Load()) }

// taken returns what the elements hold, and empties them.
func taken[T any](elements []*T) (held []T) {
	for i, e := range elements {
		held = append(held, *e)
		*e, elements[i] = *new(T), nil
	}
	return held
}

// The operations that tests speak of.

func (n *houseNode) do(op *request.Op) request.Result {
	n.Do(context.Background(), []*request.Op{op})
	return op.Result
}

func (n *houseNode) set1(key, value string) error {
	return n.do(&request.Op{Verb: request.Put, Key: request.Key{Name: []byte(key)}, Value: []byte(value)}).Err
}

func (n *houseNode) putSeen(key, value string, seen causal.Context) request.Result {
	return n.do(&request.Op{Verb: request.PutSeen, Key: request.Key{Name: []byte(key)}, Value: []byte(value), Seen: seen})
}

func (n *houseNode) get(key string) request.Result {
	return n.do(&request.Op{Verb: request.Get, Key: request.Key{Name: []byte(key)}})
}

func (n *houseNode) del(key string) request.Result {
	return n.do(&request.Op{Verb: request.Delete, Key: request.Key{Name: []byte(key)}})
}

func (n *houseNode) incr(key string) request.Result {
	return n.do(&request.Op{Verb: request.Modify, Change: request.ChangeAdd, Delta: 1, Key: request.Key{Name: []byte(key)}})
}

func (n *houseNode) setnx(key, value string) request.Result {
	return n.do(&request.Op{Verb: request.Modify, Change: request.ChangeSet, Cond: request.IfAbsent, Key: request.Key{Name: []byte(key)}, Value: []byte(value)})
}

func values(s causal.State) []string {
	var out []string
	for _, x := range s.Siblings {
		out = append(out, string(x.Value))
	}
	return out
}
