package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

var (
	nodeA = ring.NodeID{0xa}
	nodeB = ring.NodeID{0xb}
)

// memoryNet is a network of net.Pipes: an address is a node's name.
type memoryNet struct {
	mu struct {
		sync.Mutex
		listeners map[string]*memoryListener
	}
}

type memoryListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newMemoryNet() *memoryNet {
	n := &memoryNet{}
	n.mu.listeners = make(map[string]*memoryListener)
	return n
}

func (n *memoryNet) listen(address string) net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &memoryListener{conns: make(chan net.Conn), done: make(chan struct{})}
	n.mu.listeners[address] = l
	return l
}

func (n *memoryNet) dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.mu.listeners[address]
	n.mu.Unlock()
	if l == nil {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *memoryListener) Addr() net.Addr { return &net.TCPAddr{} }

// replica is a Handler whose answers a test chooses. Without a choice it answers at once.
type replica struct {
	mu struct {
		sync.Mutex
		reads, writes []int // elements of each call
		layouts       []uint64
		notices       []request.Notice
	}
	onRead    func([]*request.Read)
	onWrite   func(context.Context, []*request.Write) error
	onOps     func(context.Context, []*request.Op)
	onTerm    func(deadline, mint time.Time)
	onHandoff func(context.Context, []*request.Write) error
	executed  atomic.Int64
}

func (h *replica) ServeReads(from ring.NodeID, layout uint64, reads []*request.Read) {
	h.executed.Add(int64(len(reads)))
	h.mu.Lock()
	h.mu.reads = append(h.mu.reads, len(reads))
	h.mu.layouts = append(h.mu.layouts, layout)
	h.mu.Unlock()
	for _, r := range reads {
		r.Same = true
	}
	if h.onRead != nil {
		h.onRead(reads)
	}
}

func (h *replica) ServeWrites(ctx context.Context, from ring.NodeID, layout uint64, writes []*request.Write) error {
	h.executed.Add(int64(len(writes)))
	h.mu.Lock()
	h.mu.writes = append(h.mu.writes, len(writes))
	h.mu.Unlock()
	for _, w := range writes {
		w.Wrote = true
	}
	if h.onWrite != nil {
		return h.onWrite(ctx, writes)
	}
	return nil
}

func (h *replica) ServeHandoff(ctx context.Context, from ring.NodeID, layout uint64, writes []*request.Write) error {
	if h.onHandoff != nil {
		return h.onHandoff(ctx, writes)
	}
	for _, w := range writes {
		w.Wrote = true
	}
	return nil
}

func (h *replica) ServeCoordinate(ctx context.Context, from ring.NodeID, layout uint64, n request.Notice, mint time.Time, ops []*request.Op) {
	h.executed.Add(int64(len(ops)))
	for _, o := range ops {
		o.Result.Int = o.Delta + int64(n.Node)
	}
	if h.onTerm != nil {
		deadline, _ := ctx.Deadline()
		h.onTerm(deadline, mint)
	}
	if h.onOps != nil {
		h.onOps(ctx, ops)
	}
}

func (h *replica) ServeControl(ctx context.Context, from ring.NodeID, kind uint8, payload []byte) ([]byte, error) {
	switch kind {
	case 0:
		return nil, request.ErrNotOwner
	case 1:
		return append([]byte("echo "), payload...), nil
	case 2:
		<-ctx.Done()
		return nil, ctx.Err()
	case 3:
		return make([]byte, binary.BigEndian.Uint32(payload)), nil
	case 4:
		return nil, nil
	}
	panic("a handler's own mistake")
}

func (h *replica) ServeNotice(from ring.NodeID, n request.Notice) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.notices = append(h.mu.notices, n)
}

// pair is two nodes; a asks and b answers.
type pair struct {
	net   *memoryNet
	a, b  *Peers
	serve *replica
}

func config(n *memoryNet, id ring.NodeID) Config {
	names := map[ring.NodeID]string{nodeA: "a", nodeB: "b"}
	return Config{
		Node: id, Name: names[id], Boot: uint64(id[0]), Cluster: ring.NodeID{1}, Q: 256,
		Listener: n.listen(names[id]), Dial: n.dial,
		Addr: func(id ring.NodeID) (string, bool) { name, ok := names[id]; return name, ok },
	}
}

func start(t testing.TB, cfg Config, h Handler) *Peers {
	t.Helper()
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.Open(h)
	t.Cleanup(func() { p.Close() })
	return p
}

// newPair starts both nodes, a having connected to b. change may alter their configurations.
func newPair(t testing.TB, change func(a, b *Config)) *pair {
	t.Helper()
	n := newMemoryNet()
	a, b := config(n, nodeA), config(n, nodeB)
	if change != nil {
		change(&a, &b)
	}
	p := &pair{net: n, serve: &replica{}}
	p.b = start(t, b, p.serve)
	p.a = start(t, a, &replica{})
	p.a.Know([]ring.NodeID{nodeB})
	synctest.Wait()
	return p
}

func soon() time.Time { return time.Now().Add(time.Second) }

// read reads n keys and returns how the call ended.
func (p *pair) read(n int, deadline time.Time) <-chan error {
	ended := make(chan error, 2)
	reads := make([]*request.Read, n)
	for i := range reads {
		reads[i] = &request.Read{Key: request.Key{Name: []byte("k")}}
	}
	p.a.Read(nodeB, reads, 1, deadline, func(err error) { ended <- err })
	return ended
}

func want(t *testing.T, ended <-chan error, err error) {
	t.Helper()
	synctest.Wait()
	select {
	case got := <-ended:
		if !errors.Is(got, err) || (err == nil && got != nil) {
			t.Fatalf("ended with %v, want %v", got, err)
		}
	default:
		t.Fatalf("has not ended, want %v", err)
	}
	if len(ended) > 0 {
		t.Fatal("ended twice")
	}
}

func TestCallsAreAnsweredInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		want(t, p.read(3, soon()), nil)

		w := []*request.Write{{Key: request.Key{Name: []byte("k")}}}
		ended := make(chan error, 2)
		p.a.Write(nodeB, w, 1, soon(), func(err error) { ended <- err })
		want(t, ended, nil)
		if !w[0].Wrote {
			t.Error("write is not answered")
		}
		ops := []*request.Op{{Verb: request.Modify, Delta: 2}}
		p.a.Coordinate(nodeB, ops, 1, request.Notice{Node: 40}, soon(), soon(), func(err error) { ended <- err })
		want(t, ended, nil)
		if ops[0].Result.Int != 42 {
			t.Errorf("result %d", ops[0].Result.Int)
		}
		answer, err := p.a.Control(t.Context(), nodeB, 1, []byte("x"))
		if string(answer) != "echo x" || err != nil {
			t.Errorf("control answered %q, %v", answer, err)
		}
		if _, err := p.a.Control(t.Context(), nodeB, 0, nil); !errors.Is(err, request.ErrNotOwner) {
			t.Errorf("control answered %v", err)
		}
		if err := p.a.Deliver(t.Context(), nodeB, w, 1); err != nil {
			t.Errorf("deliver answered %v", err)
		}
	})
}

func TestWhatGathersLeavesTogetherAndIsServedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		p.serve.onRead = func([]*request.Read) { <-block }
		first := p.read(1, soon())
		synctest.Wait() // the reader is in the handler now, so everything else gathers
		before := p.a.Stats().SocketWrites
		var all []<-chan error
		const requests = 15 // of two reads: together not more than the first window of a connection
		for range requests {
			all = append(all, p.read(2, soon()))
		}
		close(block)
		want(t, first, nil)
		for _, ended := range all {
			want(t, ended, nil)
		}
		if n := p.a.Stats().SocketWrites - before; n > 3 {
			t.Errorf("%d requests left in %d writes", requests, n)
		}
		p.serve.mu.Lock()
		defer p.serve.mu.Unlock()
		if n := len(p.serve.mu.reads); n > 4 {
			t.Errorf("%d requests were served in %d groups: %v", requests+1, n, p.serve.mu.reads)
		}
	})
}

func TestGroupsKeepLayoutsApart(t *testing.T) {
	var g group[int]
	g.add(1, part[int]{items: make([]*int, GroupMax-1)})
	for _, c := range []struct {
		name   string
		layout uint64
		n      int
		fits   bool
	}{{"up to the cap", 1, 1, true}, {"beyond the cap", 1, 2, false}, {"other layout", 2, 1, false}} {
		if g.fits(c.layout, c.n) != c.fits {
			t.Errorf("%s: fits is %v", c.name, !c.fits)
		}
	}
}

func TestWritesThatArriveDuringACommitShareTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, func(a, b *Config) { b.WritesBlock = true })
		fsync := make(chan struct{})
		p.serve.onWrite = func(context.Context, []*request.Write) error { <-fsync; return nil }
		ended := make(chan error, 100)
		write := func() {
			p.a.Write(nodeB, []*request.Write{{}}, 1, soon(), func(err error) { ended <- err })
		}
		write()
		synctest.Wait()
		for range 50 {
			write()
			synctest.Wait() // each arrives alone, while the first commit is under way
		}
		want(t, p.read(1, soon()), nil) // and reads pass by
		close(fsync)
		synctest.Wait()
		if len(ended) != 51 {
			t.Fatalf("%d writes ended", len(ended))
		}
		if got := p.serve.mu.writes; len(got) != 2 || got[1] != 50 {
			t.Errorf("commits of %v writes, want 1 and 50", got)
		}
	})
}

func TestDeadlineEndsACallAndItsLateAnswerIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		p.serve.onOps = func(context.Context, []*request.Op) { <-block }
		ops := []*request.Op{{Delta: 7}}
		ended := make(chan error, 2)
		p.a.Coordinate(nodeB, ops, 1, request.Notice{}, time.Now().Add(300*time.Millisecond), time.Now().Add(300*time.Millisecond), func(err error) { ended <- err })
		time.Sleep(300*time.Millisecond + time.Nanosecond)
		want(t, ended, request.ErrLost)
		close(block)
		synctest.Wait()
		if ops[0].Result.Int != 0 {
			t.Error("a late answer reached the elements")
		}
		if p.a.Stats().Late != 1 {
			t.Errorf("%d late answers", p.a.Stats().Late)
		}
	})
}

func TestReceiverDropsWhatIsPastItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		p.serve.onRead = func([]*request.Read) { <-block }
		slow := p.read(1, soon())
		synctest.Wait()
		late := p.read(1, time.Now().Add(200*time.Millisecond))
		time.Sleep(250 * time.Millisecond)
		want(t, late, request.ErrLost)
		close(block)
		want(t, slow, nil)
		if n := p.serve.executed.Load(); n != 1 {
			t.Errorf("%d reads executed", n)
		}
		if p.b.Stats().Expired != 1 {
			t.Errorf("%d requests expired", p.b.Stats().Expired)
		}
		want(t, p.read(1, time.Now()), request.ErrExpired)
	})
}

// skewed is a monotonic clock that began at another time.
func skewed(by time.Duration) func() time.Duration {
	began := time.Now()
	return func() time.Duration { return time.Since(began) + by }
}

func TestDeadlinesSurviveClocksThatDisagree(t *testing.T) {
	for _, by := range []time.Duration{-time.Hour, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, func(a, b *Config) { a.Now, b.Now = skewed(0), skewed(by) })
			want(t, p.read(1, soon()), nil)
			l := p.a.remote(nodeB).link[small].Load()
			if got := time.Duration(l.offset.add.Load()); got != by {
				t.Errorf("offset %v, want %v", got, by)
			}
		})
	}
}

func TestOffsetIsTheQuickestLooksAndNeverLate(t *testing.T) {
	var o offset
	const truth = time.Hour
	look := func(sent, there, back time.Duration) {
		o.observe(sample{sent: sent, theirs: sent + there + truth, back: sent + there + back})
	}
	look(0, 40*time.Millisecond, 60*time.Millisecond)
	look(time.Second, time.Millisecond, 2*time.Millisecond)
	look(2*time.Second, time.Millisecond, 300*time.Millisecond)
	if got := o.theirs(0); got != truth-2*time.Millisecond {
		t.Errorf("offset %v, want that of the quickest look, less its way back", got)
	}
	for i := range offsetSamples {
		look(time.Duration(3+i)*time.Second, 5*time.Millisecond, 5*time.Millisecond)
	}
	if got := o.theirs(0); got != truth-5*time.Millisecond {
		t.Errorf("offset %v: an old look still counts", got)
	}
}

func TestPausedNodeExecutesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var jump atomic.Int64
		clock := skewed(0)
		p := newPair(t, func(a, b *Config) {
			b.Now = func() time.Duration { return clock() + time.Duration(jump.Load()) }
		})
		jump.Store(int64(PauseMax + BeatEvery + 1)) // b has slept, and its reader runs before its beat
		ended := p.read(1, soon())
		want(t, ended, request.ErrLost)
		if n := p.serve.executed.Load(); n != 0 {
			t.Errorf("%d reads executed after a pause", n)
		}
		time.Sleep(2 * BeatEvery)
		if p.b.Stats().Pauses != 1 {
			t.Errorf("%d pauses counted", p.b.Stats().Pauses)
		}
		time.Sleep(time.Second)
		want(t, p.read(1, soon()), nil)
	})
}

func TestBeatNoticesAPauseWhoeverRunsFirst(t *testing.T) {
	var now time.Duration
	b := newBeat(func() time.Duration { return now })
	seen := b.pauses.Load()
	now += PauseMax
	if b.pausedSince(seen) || b.stamp() {
		t.Error("a beat just in time is a pause")
	}
	now += PauseMax + 1
	if !b.pausedSince(seen) || b.count() != seen+1 {
		t.Error("a reader that runs first does not notice")
	}
	if !b.stamp() || !b.pausedSince(seen) || b.count() != seen+1 {
		t.Error("a reader that runs after the beat does not notice")
	}
	if b.pausedSince(b.pauses.Load()) {
		t.Error("a new connection is not free of the old pause")
	}
}

func TestStrangersAreRefused(t *testing.T) {
	cases := []struct {
		name   string
		change func(a, b *Config)
		reason string
	}{
		{"another cluster", func(a, b *Config) { b.Cluster = ring.NodeID{2} }, "another cluster"},
		{"another Q", func(a, b *Config) { b.Q = 64 }, "number of partitions"},
		{"another node at the address", func(a, b *Config) { b.Node = ring.NodeID{0xc} }, "another node"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logLines
				p := newPair(t, func(a, b *Config) { c.change(a, b); a.Logger = log.logger() })
				want(t, p.read(1, soon()), request.ErrUnreachable)
				time.Sleep(50 * time.Second)
				if n := log.count(c.reason); n != 1 {
					t.Errorf("%d log lines in a minute: %v", n, log.all())
				}
				if p.a.Up(nodeB) || p.serve.executed.Load() != 0 || p.b.Stats().Refused == 0 {
					t.Error("a stranger got in")
				}
				time.Sleep(15 * time.Second)
				if n := log.count(c.reason); n != 2 {
					t.Errorf("%d log lines in two minutes", n)
				}
			})
		})
	}
}

func TestJudgePicksTheHighestVersionInCommon(t *testing.T) {
	of := func(lo, hi uint8, node, to ring.NodeID) hello {
		return hello{versionMin: lo, versionMax: hi, node: node, to: to, q: 1}
	}
	ours := of(2, 4, nodeA, nodeB)
	for _, c := range []struct {
		lo, hi, version uint8
		err             error
	}{{1, 3, 3, nil}, {4, 9, 4, nil}, {2, 2, 2, nil}, {1, 1, 0, refusedVersion}, {5, 6, 0, refusedVersion}} {
		version, err := judge(ours, of(c.lo, c.hi, nodeB, nodeA))
		if version != c.version || err != c.err {
			t.Errorf("%d to %d: version %d, %v", c.lo, c.hi, version, err)
		}
	}
	if _, err := judge(ours, of(2, 4, nodeA, nodeA)); err != refusedNode {
		t.Errorf("our own id: %v", err)
	}
}

func TestWhatMayHaveLeftIsLostAndTheRestUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		p.serve.onRead = func([]*request.Read) { <-block }
		served := p.read(1, soon())
		synctest.Wait()
		// The pipe has no buffer: this one is being written, and waits for the reader.
		leaving := p.read(1, soon())
		synctest.Wait()
		queued := p.read(1, soon())
		l := p.a.remote(nodeB).link[small].Load()
		l.conn.Close()
		want(t, served, request.ErrLost)
		want(t, leaving, request.ErrLost)
		want(t, queued, request.ErrUnreachable)
		want(t, p.read(1, soon()), request.ErrUnreachable) // not connected, and nothing to hope for
		if p.a.Up(nodeB) {
			t.Error("a peer without a connection is up")
		}
		close(block)
		time.Sleep(time.Second)
		want(t, p.read(1, soon()), nil)
		if !p.a.Up(nodeB) {
			t.Error("a peer that is back is not up")
		}
	})
}

func TestFirstRequestsWaitForTheFirstConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemoryNet()
		b := start(t, config(n, nodeB), &replica{})
		cfg := config(n, nodeA)
		release := make(chan struct{})
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return n.dial(ctx, address)
		}
		p := &pair{net: n, a: start(t, cfg, &replica{}), b: b}
		if !p.a.Up(nodeB) || p.a.Up(ring.NodeID{0xc}) || p.a.Up(nodeA) {
			t.Error("a node not tried yet is up; one without an address, and this one, are not")
		}
		early := p.read(1, soon())
		time.Sleep(ConnectWait / 2)
		close(release)
		want(t, early, nil)
		time.Sleep(ConnectWait)
		want(t, p.read(1, soon()), nil)
	})
}

// The bulk connection of a peer that was away comes after the small one, which tells that it is back.
func TestBulkRequestsWaitForAPeerThatIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemoryNet()
		start(t, config(n, nodeB), &replica{})
		cfg := config(n, nodeA)
		var back atomic.Bool
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			if !back.Load() {
				return nil, errors.New("connection refused")
			}
			return n.dial(ctx, address)
		}
		a := start(t, cfg, &replica{})
		r := a.remote(nodeB)
		connect := func() (l *link) {
			conn, err := n.dial(t.Context(), "b")
			if err != nil {
				t.Fatal(err)
			}
			if l, err = r.greet(t.Context(), small, conn); err != nil {
				t.Fatal(err)
			}
			go r.serve(t.Context(), l)
			synctest.Wait()
			return l
		}
		fetch := func() <-chan error {
			ended := make(chan error, 2)
			go func() {
				_, err := a.Fetch(t.Context(), nodeB, 1, nil)
				ended <- err
			}()
			synctest.Wait()
			return ended
		}
		time.Sleep(ConnectWait)
		want(t, fetch(), request.ErrUnreachable)

		l := connect()
		if !a.Up(nodeB) {
			t.Error("a peer with its small connection is not up")
		}
		cut := fetch()
		time.Sleep(BulkWait / 2)
		l.conn.Close()
		want(t, cut, request.ErrUnreachable) // it is away again

		connect()
		late := fetch()
		time.Sleep(BulkWait)
		want(t, late, request.ErrUnreachable)

		r.link[small].Load().conn.Close()
		synctest.Wait()
		connect()
		early := fetch()
		time.Sleep(BulkWait / 2)
		back.Store(true)
		time.Sleep(BulkWait / 2)
		want(t, early, nil)
	})
}

func TestNobodyWaitsLongForAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemoryNet()
		cfg := config(n, nodeA)
		cfg.Dial = func(ctx context.Context, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		p := &pair{a: start(t, cfg, &replica{})}
		var all []<-chan error
		for range WaitingMax {
			all = append(all, p.read(1, soon()))
		}
		want(t, p.read(1, soon()), request.ErrOverloaded)
		time.Sleep(ConnectWait)
		for _, ended := range all {
			want(t, ended, request.ErrUnreachable)
		}
		want(t, p.read(1, soon()), request.ErrUnreachable)
	})
}

func TestCallsInFlightAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		p.serve.onRead = func([]*request.Read) { <-block }
		var all []<-chan error
		for range CallsMax {
			all = append(all, p.read(1, soon()))
		}
		want(t, p.read(1, soon()), request.ErrOverloaded)
		close(block)
		for _, ended := range all {
			want(t, ended, nil)
		}
	})
}

func TestForwardedBatchesAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		p.serve.onOps = func(context.Context, []*request.Op) { <-block }
		ended := make(chan error, CoordinateMax+1)
		ask := func() {
			p.a.Coordinate(nodeB, []*request.Op{{}}, 1, request.Notice{}, soon(), soon(), func(err error) { ended <- err })
		}
		for range CoordinateMax {
			ask()
		}
		synctest.Wait()
		if len(ended) != 0 {
			t.Fatal("ended before it was executed")
		}
		ask()
		synctest.Wait()
		if len(ended) != 1 || !errors.Is(<-ended, request.ErrOverloaded) || p.serve.executed.Load() != CoordinateMax {
			t.Error("one over the cap is not refused unexecuted")
		}
		close(block)
		synctest.Wait()
		if len(ended) != CoordinateMax {
			t.Errorf("%d ended", len(ended))
		}
	})
}

func TestBulkDoesNotStandBeforeSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		p.serve.onHandoff = func(context.Context, []*request.Write) error { <-block; return nil }
		delivered := make(chan error, 1)
		go func() { delivered <- p.a.Deliver(t.Context(), nodeB, []*request.Write{{}}, 1) }()
		synctest.Wait()
		want(t, p.read(1, soon()), nil)
		time.Sleep(3 * DeadAfter) // a slow handoff makes nobody suspect
		if !p.a.Up(nodeB) {
			t.Error("a slow handoff made the peer suspect")
		}
		close(block)
		want(t, delivered, nil)
	})
}

func TestCancelledWaitEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() {
			_, err := p.a.Control(ctx, nodeB, 2, nil)
			ended <- err
		}()
		synctest.Wait()
		cancel()
		want(t, ended, request.ErrLost)
	})
}

func TestSilentPeerIsSuspectUntilItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []bool
		p := newPair(t, func(a, b *Config) { a.Changed = func(_ ring.NodeID, up bool) { changes = append(changes, up) } })
		block := make(chan struct{})
		p.serve.onRead = func([]*request.Read) { <-block } // the reader hangs, so pings have no answer
		slow := p.read(1, time.Now().Add(10*time.Second))
		time.Sleep(PingEvery + SuspectAfter + time.Millisecond)
		synctest.Wait()
		if p.a.Up(nodeB) {
			t.Error("a silent peer is up")
		}
		close(block)
		want(t, slow, nil)
		if !p.a.Up(nodeB) || len(changes) != 2 || changes[0] || !changes[1] {
			t.Errorf("up is %v, told %v", p.a.Up(nodeB), changes)
		}
		if rtt := p.a.RTT(nodeB); rtt < 0 {
			t.Errorf("rtt %v", rtt)
		}
	})
}

func TestDeadConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		p.serve.onRead = func([]*request.Read) { <-block }
		ended := p.read(1, time.Now().Add(10*time.Second))
		time.Sleep(DeadAfter + 2*PingEvery)
		want(t, ended, request.ErrLost)
		close(block)
	})
}

// A peer that is slow, and says so by its pings, must not count as down: it may be the one that a quorum lacks.
func TestTimeoutsOfAPeerThatIsHeardMakeNobodySuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, func(a, b *Config) {
			a.Changed = func(_ ring.NodeID, up bool) { t.Errorf("taken for up: %v", up) }
		})
		block := make(chan struct{})
		defer close(block)
		p.serve.onOps = func(context.Context, []*request.Op) { <-block }
		for range 10 * timeoutsMax {
			ended := make(chan error, 2)
			p.a.Coordinate(nodeB, []*request.Op{{}}, 1, request.Notice{}, time.Now().Add(100*time.Millisecond), time.Now().Add(100*time.Millisecond), func(err error) { ended <- err })
			time.Sleep(101 * time.Millisecond)
			want(t, ended, request.ErrLost)
		}
	})
}

func TestTimeoutsInARowOfASilentPeerMakeItSuspectBeforeItsPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		time.Sleep(PingEvery - time.Millisecond) // so that the peer hangs just before the next ping
		block := make(chan struct{})
		p.serve.onRead = func([]*request.Read) { <-block } // the reader hangs: nothing at all is answered
		var ended []<-chan error
		for range timeoutsMax {
			ended = append(ended, p.read(1, time.Now().Add(SuspectAfter)))
		}
		time.Sleep(SuspectAfter - time.Millisecond)
		if !p.a.Up(nodeB) {
			t.Error("suspect before a timeout")
		}
		time.Sleep(time.Millisecond)
		for _, e := range ended {
			want(t, e, request.ErrLost)
		}
		if p.a.Up(nodeB) {
			t.Error("still up")
		}
		close(block)
		synctest.Wait()
		if !p.a.Up(nodeB) {
			t.Error("late answers do not clear it")
		}
	})
}

func TestNoticesTravelWithPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		notice := request.Notice{Node: 5, Floor: 1, Low: 9, Retried: []causal.Stamp{{Time: 3, Node: 5}}}
		p := newPair(t, func(a, b *Config) { a.Notice = func() (request.Notice, bool) { return notice, true } })
		time.Sleep(PingEvery)
		synctest.Wait()
		p.serve.mu.Lock()
		defer p.serve.mu.Unlock()
		if len(p.serve.mu.notices) == 0 || p.serve.mu.notices[0].Low != 9 || len(p.serve.mu.notices[0].Retried) != 1 {
			t.Errorf("notices %v", p.serve.mu.notices)
		}
	})
}

func TestLargeBatchesTravelInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		want(t, p.read(2*request.BatchMax+1, soon()), nil)
		value := make([]byte, request.ValueBytesMax)
		ops := []*request.Op{{Value: value, Delta: 1}, {Value: value, Delta: 2}, {Delta: 3}}
		ended := make(chan error, 2)
		p.a.Coordinate(nodeB, ops, 1, request.Notice{}, soon(), soon(), func(err error) { ended <- err })
		want(t, ended, nil)
		for i, o := range ops {
			if o.Result.Int != int64(i+1) || o.Result.Err != nil {
				t.Errorf("op %d: %+v", i, o.Result)
			}
		}
	})
}

func TestHandlersPanicHurtsOneConnectionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := p.a.Control(ctx, nodeB, 99, nil); !errors.Is(err, request.ErrLost) {
			t.Errorf("control ended with %v", err)
		}
		want(t, p.read(1, soon()), nil)
		if p.b.Stats().Panics != 1 {
			t.Errorf("%d panics", p.b.Stats().Panics)
		}
	})
}

// Until when operations may be minted is told like their deadline: never later than who asks means it.
func TestTermForMintingTravelsWithTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		ended := make(chan error, 1)
		for _, spare := range []time.Duration{0, time.Millisecond, 240 * time.Millisecond, -time.Second} {
			deadline := soon()
			p.serve.onTerm = func(until, mint time.Time) {
				if until.After(deadline) || mint.After(deadline.Add(-spare)) {
					t.Errorf("deadline told %v late, minting %v", until.Sub(deadline), mint.Sub(deadline.Add(-spare)))
				}
				if early := deadline.Add(-max(spare, 0)).Sub(mint); early > deadline.Sub(until)+time.Microsecond {
					t.Errorf("minting ends %v early, the deadline comes %v early", early, deadline.Sub(until))
				}
			}
			p.a.Coordinate(nodeB, []*request.Op{{}}, 1, request.Notice{}, deadline, deadline.Add(-spare), func(err error) { ended <- err })
			want(t, ended, nil)
		}
	})
}

// More time than any deadline may be away is no term.
func TestSpareTimeIsBounded(t *testing.T) {
	for d, ok := range map[time.Duration]bool{0: true, DeadlineMax: true, DeadlineMax + 1: false, -1: false} {
		got, rest, err := cutSpare(append(appendSpare(nil, d), 7))
		if (err == nil) != ok || ok && (got != d || len(rest) != 1) {
			t.Errorf("%v: %v, %d bytes left, %v", d, got, len(rest), err)
		}
	}
	if _, _, err := cutSpare(nil); err == nil {
		t.Error("read out of nothing")
	}
}

// A handler that panics may leave operations with others. They are not used again.
func TestPanicLeavesOperationsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		var left *request.Op
		p.serve.onOps = func(_ context.Context, ops []*request.Op) {
			if left == nil {
				left = ops[0]
				panic("a handler's own mistake")
			}
			if ops[0] == left {
				t.Error("used again")
			}
		}
		ended := make(chan error, 2)
		coordinate := func(delta int64) {
			p.a.Coordinate(nodeB, []*request.Op{{Verb: request.Modify, Delta: delta}}, 1, request.Notice{}, soon(), soon(), func(err error) { ended <- err })
		}
		coordinate(1)
		synctest.Wait()
		coordinate(2)
		want(t, ended, nil)
		time.Sleep(2 * time.Second)
		want(t, ended, request.ErrLost)
		if left.Delta != 1 {
			t.Errorf("left with %+v", left)
		}
	})
}

// A goroutine that waits for its next batch keeps nothing of the last, however large that was.
func TestLargeBatchIsLetGoOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		for _, n := range []int{1, 10, request.BatchMax} {
			var value weak.Pointer[byte]
			var op weak.Pointer[request.Op]
			p.serve.onOps = func(_ context.Context, ops []*request.Op) { value, op = weak.Make(&ops[0].Value[0]), weak.Make(ops[0]) }
			ops := make([]*request.Op, n)
			for i := range ops {
				ops[i] = &request.Op{Verb: request.Put, Value: []byte("value")}
			}
			ended := make(chan error, 2)
			p.a.Coordinate(nodeB, ops, 1, request.Notice{}, soon(), soon(), func(err error) { ended <- err })
			want(t, ended, nil)
			runtime.GC()
			if kept := n == request.BatchMax && op.Value() != nil; kept || value.Value() != nil {
				t.Errorf("of %d operations: values kept %v, operations kept %v", n, value.Value() != nil, kept)
			}
		}
	})
}

// Names and values of writes and of operations, and the values of answers, are valid for ever, whatever frames come after them.
func TestWhatFramesBringIsNotOverwritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		const frames = 50
		state := func(i int) causal.State {
			v := causal.Version{Stamp: causal.Stamp{Time: causal.Time(i + 1), Node: 1}, Value: fmt.Appendf(nil, "value %d", i)}
			return causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 1, Seq: 1}, []causal.Version{v}, nil)
		}
		var names [2][][]byte
		var deltas, answers [frames]causal.State
		asked := 0
		p.serve.onRead = func(reads []*request.Read) { reads[0].Same, reads[0].State, asked = false, state(asked), asked+1 }
		p.serve.onWrite = func(_ context.Context, writes []*request.Write) error {
			deltas[len(names[0])], names[0] = writes[0].Delta, append(names[0], writes[0].Key.Name)
			return nil
		}
		p.serve.onOps = func(_ context.Context, ops []*request.Op) { names[1] = append(names[1], ops[0].Key.Name, ops[0].Value) }
		ended := make(chan error, 2)
		done := func(err error) { ended <- err }
		for i := range frames {
			key := request.Key{Name: fmt.Appendf(nil, "key %d", i)}
			read := &request.Read{Key: key}
			p.a.Read(nodeB, []*request.Read{read}, 1, soon(), done)
			want(t, ended, nil)
			p.a.Write(nodeB, []*request.Write{{Key: key, Delta: state(i)}}, 1, soon(), done)
			want(t, ended, nil)
			p.a.Coordinate(nodeB, []*request.Op{{Verb: request.Put, Key: key, Value: key.Name}}, 1, request.Notice{}, soon(), soon(), done)
			want(t, ended, nil)
			answers[i] = read.State
		}
		for i := range frames {
			key := fmt.Sprintf("key %d", i)
			if string(names[0][i]) != key || string(names[1][2*i]) != key || string(names[1][2*i+1]) != key {
				t.Fatalf("frame %d brought %q, %q, %q", i, names[0][i], names[1][2*i], names[1][2*i+1])
			}
			if !deltas[i].Equal(state(i)) || !answers[i].Equal(state(i)) {
				t.Fatalf("frame %d brought %+v and %+v", i, deltas[i], answers[i])
			}
		}
	})
}

func TestCloseEndsEveryCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		p.serve.onRead = func([]*request.Read) { <-block }
		flying := p.read(1, soon())
		synctest.Wait()
		p.a.Close()
		want(t, flying, request.ErrLost)
		want(t, p.read(1, soon()), request.ErrClosed)
		close(block)
		p.b.Close()
		if n := p.a.Stats().Conns + p.b.Stats().Conns; n != 0 {
			t.Errorf("%d connections left", n)
		}
	})
}

func TestForgottenPeersAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		if s := p.a.Status(); len(s) != 1 || s[0].Name != "b" || s[0].Boot != 0xb || !s[0].Connected || !s[0].Up {
			t.Errorf("status %+v", s)
		}
		p.a.Know(nil)
		synctest.Wait()
		if s := p.a.Status(); len(s) != 0 || p.a.Stats().Conns != 0 {
			t.Errorf("status %+v, %d connections", s, p.a.Stats().Conns)
		}
	})
}

func TestHostileBytesEndTheirConnectionOnly(t *testing.T) {
	good := appendFrame(nil, frame{kind: kindHello}, hello{versionMin: 1, versionMax: 1, cluster: ring.NodeID{1}, q: 256, node: ring.NodeID{9}, to: nodeB})
	broken := append([]byte(nil), good...)
	broken[len(broken)-3] ^= 1
	for name, b := range map[string]string{
		"web browser":       "GET / HTTP/1.1\r\nHost: x\r\n\r\n" + strings.Repeat("x", 64),
		"huge length":       "\xff\xff\xff\xff" + strings.Repeat("\x00", 64),
		"no length":         strings.Repeat("\x00", 64),
		"damaged hello":     string(broken),
		"nothing":           "",
		"half a hello":      string(good[:40]),
		"second hello":      string(good) + string(good),
		"frame of no kind":  string(good) + string(appendFrame(nil, frame{kind: 77, deadline: 1 << 60}, nil)),
		"damaged frame":     string(good) + strings.Repeat("\x20\x00\x00\x00", 30),
		"handoff on small":  string(good) + string(appendFrame(nil, frame{kind: kindHandoff, deadline: 1 << 60}, nil)),
		"dialer's goodbye":  string(good) + string(appendFrame(nil, frame{kind: kindGoodbye}, nil)),
		"ping without time": string(good) + string(appendFrame(nil, frame{kind: kindPing}, nil)),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, nil)
				conn, err := p.net.dial(t.Context(), "b")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				go conn.Write([]byte(b))
				began := time.Now()
				buf := make([]byte, 1024)
				for err == nil {
					_, err = conn.Read(buf)
				}
				if took := time.Since(began); took > HelloTimeout {
					t.Errorf("the connection lived %v", took)
				}
				want(t, p.read(1, soon()), nil)
			})
		})
	}
}

func TestMalformedRequestIsAnsweredAndTheConnectionGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		l := p.a.remote(nodeB).link[small].Load()
		ended := make(chan error, 2)
		for _, kind := range []uint8{kindRead, kindWrite, kindCoord, kindControl} {
			c := &call{kind: kind, deadline: time.Minute, done: func(err error) { ended <- err }}
			l.mu.Lock()
			l.mu.id++
			c.id = l.mu.id
			l.w.add(frame{kind: kind, id: c.id, deadline: time.Minute}, nil)
			l.mu.calls[c.id] = c
			l.mu.deadline.add(c)
			l.mu.Unlock()
			l.w.flush()
			want(t, ended, request.ErrInternal)
		}
		if n := p.b.Stats().Malformed; n != 4 || p.a.remote(nodeB).link[small].Load() != l {
			t.Errorf("%d malformed", n)
		}
	})
}

func TestEachCallEndsAtItsOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		defer close(block)
		p.serve.onOps = func(context.Context, []*request.Op) { <-block }
		ask := func(after time.Duration) <-chan error {
			ended := make(chan error, 2)
			p.a.Coordinate(nodeB, []*request.Op{{}}, 1, request.Notice{}, time.Now().Add(after), time.Now().Add(after), func(err error) { ended <- err })
			return ended
		}
		last, first, middle := ask(90*time.Millisecond), ask(30*time.Millisecond), ask(60*time.Millisecond)
		for i, ended := range []<-chan error{first, middle, last} {
			synctest.Wait()
			if len(ended) != 0 {
				t.Errorf("call %d ended before its deadline", i)
			}
			time.Sleep(30 * time.Millisecond)
			want(t, ended, request.ErrLost)
		}
	})
}

func TestHandlersAreToldTheDeadlineAndEndWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		deadline := time.Now().Add(time.Second)
		var contexts []context.Context
		p.serve.onWrite = func(ctx context.Context, _ []*request.Write) error { contexts = append(contexts, ctx); return nil }
		p.serve.onOps = func(ctx context.Context, _ []*request.Op) { contexts = append(contexts, ctx) }
		ended := make(chan error, 2)
		p.a.Write(nodeB, []*request.Write{{}}, 1, deadline, func(err error) { ended <- err })
		want(t, ended, nil)
		p.a.Coordinate(nodeB, []*request.Op{{}}, 1, request.Notice{}, deadline, deadline, func(err error) { ended <- err })
		want(t, ended, nil)
		for i, ctx := range contexts {
			if got, ok := ctx.Deadline(); !ok || !got.Equal(deadline) {
				t.Errorf("handler %d was told %v, want %v", i, got, deadline)
			}
		}
		p.a.Close()
		synctest.Wait()
		for i, ctx := range contexts {
			if ctx.Err() == nil {
				t.Errorf("handler %d would go on for a connection that is gone", i)
			}
		}
	})
}

func TestWritesThatExpireBehindACommitAreNotExecuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, func(a, b *Config) { b.WritesBlock = true })
		fsync := make(chan struct{})
		p.serve.onWrite = func(context.Context, []*request.Write) error { <-fsync; return nil }
		write := func(after time.Duration) <-chan error {
			ended := make(chan error, 2)
			p.a.Write(nodeB, []*request.Write{{}}, 1, time.Now().Add(after), func(err error) { ended <- err })
			synctest.Wait()
			return ended
		}
		first, late, patient := write(time.Second), write(100*time.Millisecond), write(time.Second)
		time.Sleep(200 * time.Millisecond)
		want(t, late, request.ErrLost)
		close(fsync)
		want(t, first, nil)
		want(t, patient, nil)
		if n := p.serve.executed.Load(); n != 2 || p.b.Stats().Expired != 1 {
			t.Errorf("%d writes executed, %d expired", n, p.b.Stats().Expired)
		}
	})
}

func TestAnswersWaitForRoomAndAreNotDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		value := strings.Repeat("v", request.ValueBytesMax)
		p.serve.onOps = func(_ context.Context, ops []*request.Op) {
			version := causal.Version{Stamp: causal.Stamp{Time: 1}, Value: []byte(value)}
			ops[0].Result.State = causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 1}, []causal.Version{version}, func(causal.Stamp) bool { return true })
		}
		// Their answers are twice what the queue holds.
		ended := make(chan error, 16)
		for range 2 * QueueBytesMax / request.ValueBytesMax {
			p.a.Coordinate(nodeB, []*request.Op{{}}, 1, request.Notice{}, soon(), soon(), func(err error) { ended <- err })
		}
		synctest.Wait()
		for range 2 * QueueBytesMax / request.ValueBytesMax {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}

// A peer that stops reading, as one that is paused does, must not leave the reader of its connection waiting for room that
// nobody makes any more.
func TestPeerThatStopsReadingDoesNotHoldItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		version := causal.Version{Stamp: causal.Stamp{Time: 1}, Value: make([]byte, QueueBytesMax*3/4)}
		large := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 1}, []causal.Version{version}, nil)
		p.serve.onRead = func(reads []*request.Read) {
			for _, r := range reads {
				r.Same, r.State = false, large
			}
		}
		conn, err := p.net.dial(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		began := time.Now()
		ours := hello{versionMin: 1, versionMax: 1, cluster: ring.NodeID{1}, q: 256, node: ring.NodeID{9}, to: nodeB}
		if _, _, err := greet(conn, ours, nil, func() time.Duration { return time.Since(began) }); err != nil {
			t.Fatal(err)
		}
		question := []*request.Read{{Key: request.Key{Name: []byte("k")}}}
		var frames []byte
		for id := range uint64(5) {
			frames = appendFrame(frames, frame{kind: kindRead, id: id, deadline: time.Minute}, &call{kind: kindRead, reads: question})
		}
		if _, err := conn.Write(frames); err != nil {
			t.Fatal(err)
		}
		time.Sleep(writeTimeout + time.Second)
		synctest.Wait()
		if n := p.b.Stats().Conns; n != 2 { // those of a
			t.Errorf("%d connections are left", n)
		}
	})
}
