package peer

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// forward has b coordinate one operation, and returns how the call ended.
func (p *pair) forward() <-chan error {
	ended := make(chan error, 2)
	p.a.Coordinate(nodeB, []*request.Op{{}}, 1, request.Notice{}, soon(), soon(), func(err error) { ended <- err })
	return ended
}

// drain has b take leave once all is under way, and returns how that ended.
func (p *pair) drain(patience time.Duration) <-chan error {
	synctest.Wait()
	ended := make(chan error, 2)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ended <- p.b.Drain(ctx)
	}()
	synctest.Wait()
	return ended
}

// wantApart checks that no connection from a to b is left, nor another to be had, and that b is not asked any more.
func (p *pair) wantApart(t *testing.T) {
	t.Helper()
	synctest.Wait()
	if p.a.Up(nodeB) {
		t.Error("a peer that left is up")
	}
	if conn, err := p.net.dial(t.Context(), "b"); err == nil {
		conn.Close()
		t.Error("a node that left accepts a connection")
	}
	time.Sleep(2 * BackoffMax)
	if n := p.a.Stats().Conns + p.b.Stats().Conns; n != 0 {
		t.Errorf("%d connections are left", n)
	}
	want(t, p.read(1, soon()), request.ErrUnreachable)
}

func TestGoodbyeOfAnIdleNodeIsHeardAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		began := time.Now()
		want(t, p.drain(time.Minute), nil)
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
		p.wantApart(t)
	})
}

func TestGoodbyeFollowsTheAnswersAndHandsTheRestBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		p.serve.onOps = func(context.Context, []*request.Op) { <-block }
		executing := p.forward()
		drained := p.drain(time.Minute)
		dropped := p.forward()
		want(t, p.read(1, soon()), nil)
		if len(executing)+len(dropped)+len(drained) != 0 || !p.a.Up(nodeB) {
			t.Error("goodbye was said while a batch executes")
		}
		close(block)
		want(t, executing, nil)
		want(t, dropped, request.ErrUnreachable)
		want(t, drained, nil)
		if n := p.serve.executed.Load(); n != 2 { // the read, and the first batch
			t.Errorf("%d elements executed", n)
		}
		p.wantApart(t)
	})
}

func TestGoodbyeWaitsForTheBatchesOfAllConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		if !p.b.served.begin() { // one executes for a third node
			t.Fatal("refused too early")
		}
		drained := p.drain(time.Minute)
		dropped := p.forward()
		synctest.Wait()
		if len(dropped)+len(drained) != 0 {
			t.Error("goodbye was said while another's batch executes")
		}
		p.b.served.end()
		want(t, dropped, request.ErrUnreachable)
		want(t, drained, nil)
	})
}

func TestReadsUnderWayOutliveTheGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		p.serve.onRead = func([]*request.Read) { <-block }
		reading := p.read(1, soon())
		synctest.Wait()
		unread := p.forward() // stands in the pipe before the reader, who hangs
		drained := p.drain(time.Minute)
		want(t, unread, request.ErrUnreachable)
		want(t, p.read(1, soon()), request.ErrUnreachable)
		if len(reading)+len(drained) != 0 {
			t.Error("a read that may have been executed was given up")
		}
		close(block)
		want(t, reading, nil)
		want(t, drained, nil)
		if n := p.serve.executed.Load(); n != 1 {
			t.Errorf("%d elements executed", n)
		}
		p.wantApart(t)
	})
}

func TestReadThatExpiresAfterTheGoodbyeEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		p.serve.onRead = func([]*request.Read) { <-block }
		reading := p.read(1, time.Now().Add(300*time.Millisecond))
		drained := p.drain(time.Minute)
		time.Sleep(300 * time.Millisecond)
		want(t, reading, request.ErrLost)
		if n := p.a.Stats().Conns; n != 0 {
			t.Errorf("%d connections are left", n)
		}
		close(block)
		want(t, drained, nil)
	})
}

func TestHandoffUnderWayOutlivesTheGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		p.serve.onHandoff = func(context.Context, []*request.Write) error { <-block; return nil }
		delivered := make(chan error, 2)
		go func() { delivered <- p.a.Deliver(t.Context(), nodeB, []*request.Write{{}}, 1) }()
		drained := p.drain(time.Minute)
		want(t, p.read(1, soon()), request.ErrUnreachable)
		close(block)
		want(t, delivered, nil)
		want(t, drained, nil)
		p.wantApart(t)
	})
}

func TestDrainThatRunsOutOfTimePromisesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		p.serve.onOps = func(context.Context, []*request.Op) { <-block }
		executing := p.forward()
		drained := p.drain(100 * time.Millisecond)
		dropped := p.forward()
		time.Sleep(100 * time.Millisecond)
		want(t, drained, context.DeadlineExceeded)
		if len(executing)+len(dropped) != 0 {
			t.Error("ended without an answer, a goodbye or a loss")
		}
		time.AfterFunc(time.Millisecond, func() { close(block) }) // when nothing else can go on: the connections are cut
		p.b.Close()
		want(t, executing, request.ErrLost)
		want(t, dropped, request.ErrLost)
	})
}

func TestConnectionThatDiesIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		p.serve.onOps = func(ctx context.Context, _ []*request.Op) { <-ctx.Done() }
		executing := p.forward()
		drained := p.drain(time.Minute)
		for c := range classes {
			p.a.remote(nodeB).link[c].Load().conn.Close()
		}
		want(t, executing, request.ErrLost)
		want(t, drained, nil)
	})
}

// stranger says hello to b as a third node that speaks all versions up to one.
func (p *pair) stranger(t *testing.T, conn net.Conn, version uint8) {
	t.Helper()
	ours := hello{versionMin: VersionMin, versionMax: version, cluster: ring.NodeID{1}, q: 256, node: ring.NodeID{9}, to: nodeB}
	began := time.Now()
	if _, _, err := greet(conn, ours, nil, func() time.Duration { return time.Since(began) }); err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, p *pair) net.Conn {
	t.Helper()
	conn, err := p.net.dial(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestDialerThatStaysIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		p.stranger(t, dial(t, p), VersionMax)
		drained := p.drain(time.Minute)
		time.Sleep(PartingMax - time.Millisecond)
		if len(drained) != 0 {
			t.Error("gave up too early")
		}
		time.Sleep(time.Millisecond)
		want(t, drained, errStays)
	})
}

func TestWhoSaysHelloDuringTheDrainHearsTheGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		conn := dial(t, p)
		drained := p.drain(time.Minute)
		if len(drained) != 0 {
			t.Error("a connection before its hello is not waited for")
		}
		p.stranger(t, conn, VersionMax)
		r := newReader(conn, FrameBytesMax)
		if err := r.fill(); err != nil {
			t.Fatal(err)
		}
		if f, ok, err := r.next(); !ok || err != nil || f.kind != kindGoodbye || len(f.payload) != 0 {
			t.Errorf("heard %+v, %v", f, err)
		}
		conn.Close()
		want(t, drained, nil)
	})
}

func TestWhoDoesNotKnowTheGoodbyeIsCutOffAfterItsAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		p.serve.onOps = func(context.Context, []*request.Op) { <-block }
		conn := dial(t, p)
		p.stranger(t, conn, goodbyeSince-1)
		ops := &call{kind: kindCoord, layout: 1, ops: []*request.Op{{}}}
		if err := sendHello(conn, frame{kind: kindCoord, id: 7, deadline: time.Minute}, ops); err != nil {
			t.Fatal(err)
		}
		drained := p.drain(time.Minute)
		close(block)
		r := newReader(conn, FrameBytesMax)
		if err := r.fill(); err != nil {
			t.Fatal(err)
		}
		if f, ok, err := r.next(); !ok || err != nil || f.kind != kindCoord|answerOf || f.id != 7 {
			t.Errorf("heard %+v, %v, %v", f, ok, err)
		}
		if f, ok, err := r.next(); ok || err != nil {
			t.Errorf("and then %+v, %v", f, err)
		}
		if err := r.fill(); err != io.EOF {
			t.Errorf("the connection ended with %v", err)
		}
		want(t, drained, nil)
	})
}

func TestGoodbyeOfAVersionThatHasNoneIsNoise(t *testing.T) {
	l := &link{version: goodbyeSince - 1}
	if err := l.answer(frame{kind: kindGoodbye}); err != errProtocol {
		t.Errorf("got %v", err)
	}
}
