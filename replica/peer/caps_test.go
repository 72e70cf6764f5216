package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// A scanner fills all places of those who have not proved themselves, and fills them again: a member gets in at once.
func TestStrangersKeepNoMemberOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemoryNet()
		b := start(t, config(n, nodeB), &replica{})
		knock := func() net.Conn {
			conn, err := n.dial(t.Context(), "b")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			return conn
		}
		began := time.Now()
		var conns []net.Conn
		for range StrangersMax {
			conns = append(conns, knock())
		}
		if synctest.Wait(); b.Stats().Crowded != 0 || b.Stats().Conns != StrangersMax {
			t.Fatalf("at the cap: %+v", b.Stats())
		}
		conns = append(conns, knock())
		if _, err := conns[0].Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the oldest, one over the cap: %v", err)
		}
		p := &pair{a: start(t, config(n, nodeA), &replica{}), b: b}
		want(t, p.read(1, soon()), nil)
		if time.Since(began) != 0 {
			t.Errorf("a member got in after %v", time.Since(began))
		}
		for range 2 * StrangersMax {
			knock()
		}
		want(t, p.read(1, soon()), nil)
		if got := b.Stats(); got.Conns > StrangersMax+int(classes) || got.Crowded < 2*StrangersMax {
			t.Errorf("later: %+v", got)
		}
		time.Sleep(HelloTimeout) // they said nothing, so their places are free again
		synctest.Wait()
		if got := b.Stats().Conns; got != int(classes) {
			t.Errorf("%d connections of one member", got)
		}
	})
}

// A stranger that is sent away at the moment when it has proved itself has not been let in by halves.
func TestWhoWasSentAwayIsNotLetIn(t *testing.T) {
	s := newStrangers()
	var conns []net.Conn
	for range 3 {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		if _, ok := s.admit(t.Context(), ours); !ok {
			t.Fatal("no room")
		}
		conns = append(conns, ours)
	}
	if !s.sendOldestAway() {
		t.Fatal("nobody was sent away")
	}
	for i, stayed := range []bool{false, true, true} {
		if s.leave(conns[i]) != stayed {
			t.Errorf("connection %d: want stayed %v", i, stayed)
		}
	}
	if s.sendOldestAway() || len(s.room) != 0 {
		t.Errorf("%d places are taken by nobody", len(s.room))
	}
}

func TestConnectionsOfMembersAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemoryNet()
		b := start(t, config(n, nodeB), &replica{})
		for range ConnsMax {
			b.proved <- struct{}{}
		}
		p := &pair{a: start(t, config(n, nodeA), &replica{}), b: b}
		ended := p.read(1, soon())
		time.Sleep(time.Second)
		if err := <-ended; err == nil || b.Stats().Crowded == 0 || len(b.knocked.room) != 0 {
			t.Errorf("one over the cap: %v, %+v", err, b.Stats())
		}
		for range classes {
			<-b.proved
		}
		time.Sleep(BackoffMax)
		want(t, p.read(1, soon()), nil)
		if len(b.proved) != ConnsMax {
			t.Errorf("%d of %d places are taken", len(b.proved), ConnsMax)
		}
	})
}

func TestControlRequestsAtOnceAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, ControlMax)
		for range ControlMax {
			go func() {
				_, err := p.a.Control(ctx, nodeB, 2, nil)
				ended <- err
			}()
		}
		synctest.Wait()
		if _, err := p.a.Control(t.Context(), nodeB, 1, nil); !errors.Is(err, request.ErrOverloaded) {
			t.Errorf("one over the cap: %v", err)
		}
		if len(ended) != 0 {
			t.Errorf("%d refused below the cap", len(ended))
		}
		cancel()
	})
}

// Package ring's own test holds that the largest document which its limits allow is no larger than a note may be.
func TestAnyRingDocumentFitsAQuestionAndAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		document := bytes.Repeat([]byte{7}, ring.NoteBytesMax)
		const said = 5 // bytes that the handler says before it repeats the question
		if b, err := p.a.Control(t.Context(), nodeB, 1, document[said:]); err != nil || !bytes.HasSuffix(b, document[said:]) || len(b) != len(document) {
			t.Errorf("an answer of %d bytes, %v", len(b), err)
		}
		if _, err := p.a.Control(t.Context(), nodeB, 4, document); err != nil {
			t.Errorf("a question of %d bytes: %v", len(document), err)
		}
	})
}

func TestBytesOfControlRequestsAtOnceAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		for range 2 { // a payload has one byte before it, which says what it is
			go func() {
				_, err := p.a.Control(ctx, nodeB, 2, make([]byte, ControlAllBytesMax/2-1))
				ended <- err
			}()
		}
		synctest.Wait()
		if _, err := p.a.Control(t.Context(), nodeB, 4, nil); !errors.Is(err, request.ErrOverloaded) {
			t.Errorf("one byte over the cap: %v", err)
		}
		if len(ended) != 0 {
			t.Errorf("%d refused at the cap", len(ended))
		}
		cancel()
		time.Sleep(DeadlineMax) // b does not know that nobody waits
		synctest.Wait()         // what it answers ends at this very moment
		if _, err := p.a.Control(t.Context(), nodeB, 4, nil); err != nil {
			t.Errorf("after they ended: %v", err)
		}
	})
}

func TestForwardedBatchesOfTheWholeNodeAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		ask := func() <-chan error {
			ended := make(chan error, 2)
			p.a.Coordinate(nodeB, []*request.Op{{}}, 1, request.Notice{}, soon(), soon(), func(err error) { ended <- err })
			return ended
		}
		for range CoordinateAllMax - 1 {
			p.b.coords <- struct{}{}
		}
		want(t, ask(), nil)
		p.b.coords <- struct{}{}
		want(t, ask(), request.ErrOverloaded)
		<-p.b.coords
		want(t, ask(), nil)
	})
}

func TestBatchesAreCutAtTheCaps(t *testing.T) {
	items := func(sizes ...int) []int { return sizes }
	for _, c := range []struct {
		name  string
		items []int
		cuts  []int
	}{
		{"longest", make([]int, request.BatchMax), nil},
		{"one longer", make([]int, request.BatchMax+1), []int{request.BatchMax, 1}},
		{"largest", items(ChunkBytesMax-1, 1), nil},
		{"one byte larger", items(ChunkBytesMax-1, 2), []int{1, 1}},
		{"a giant travels alone", items(1, 3*ChunkBytesMax, 1), []int{1, 1, 1}},
		{"empty", nil, nil},
	} {
		var cuts []int
		for _, piece := range cutBatch(c.items, func(n int) int { return n }) {
			cuts = append(cuts, len(piece))
		}
		if len(cuts) != len(c.cuts) {
			t.Errorf("%s: cut into %v", c.name, cuts)
		}
		for i := range min(len(cuts), len(c.cuts)) {
			if cuts[i] != c.cuts[i] {
				t.Errorf("%s: cut into %v", c.name, cuts)
			}
		}
	}
}

func TestPiecesThatFailSaySo(t *testing.T) {
	reads := make([]*request.Read, request.BatchMax+1)
	for i := range reads {
		reads[i] = &request.Read{}
	}
	ended := make(chan error, 2)
	n := 0
	pieces(reads, (*request.Read).Size, func(r *request.Read, err error) { r.Err = err },
		func(err error) { ended <- err },
		func(_ []*request.Read, done func(error)) {
			if n++; n == 2 {
				done(request.ErrOverloaded)
				return
			}
			done(nil)
		})
	if err := <-ended; err != nil || len(ended) != 0 {
		t.Errorf("ended with %v", err)
	}
	if reads[0].Err != nil || reads[request.BatchMax].Err != request.ErrOverloaded {
		t.Errorf("errors %v and %v", reads[0].Err, reads[request.BatchMax].Err)
	}
}

func TestNoDeadlineIsFartherThanTheCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		block := make(chan struct{})
		defer close(block)
		p.serve.onOps = func(context.Context, []*request.Op) { <-block }
		ended := make(chan error, 2)
		p.a.Coordinate(nodeB, []*request.Op{{}}, 1, request.Notice{}, time.Now().Add(time.Hour), time.Now().Add(time.Hour), func(err error) { ended <- err })
		time.Sleep(DeadlineMax - time.Millisecond)
		if len(ended) != 0 {
			t.Error("ended before the cap")
		}
		time.Sleep(2 * time.Millisecond)
		want(t, ended, request.ErrLost)
	})
}

func TestConfigurationMustBeComplete(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no node":         func(c *Config) { c.Node = [16]byte{} },
		"no partitions":   func(c *Config) { c.Q = 0 },
		"no listener":     func(c *Config) { c.Listener = nil },
		"no dialer":       func(c *Config) { c.Dial = nil },
		"no addresses":    func(c *Config) { c.Addr = nil },
		"name too long":   func(c *Config) { c.Name = string(make([]byte, NameBytesMax+1)) },
		"longest name ok": func(c *Config) { c.Name = string(make([]byte, NameBytesMax)) },
	} {
		cfg := config(newMemoryNet(), nodeA)
		change(&cfg)
		if _, err := New(cfg); (err == nil) != (name == "longest name ok") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadsOfLargeValuesAreCutByWhatTheyBring: a group of reads is small on the wire whatever it asks for.
func TestReadsOfLargeValuesAreCutByWhatTheyBring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		version := causal.Version{Stamp: causal.Stamp{Time: 1}, Value: make([]byte, 1<<20)}
		large := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 1}, []causal.Version{version}, nil)
		p.serve.onRead = func(reads []*request.Read) {
			for _, r := range reads {
				r.Same, r.State = false, large
			}
		}
		const n = 300
		reads := make([]*request.Read, n)
		for i := range reads {
			reads[i] = &request.Read{}
		}
		ended := make(chan error, 2)
		p.a.Read(nodeB, reads, 1, soon(), func(err error) { ended <- err })
		want(t, ended, nil)
		answered := 0
		for i, r := range reads {
			if r.Err == nil {
				answered++
			} else if !errors.Is(r.Err, request.ErrOverloaded) {
				t.Fatalf("read %d: %v", i, r.Err)
			}
		}
		if answered != answerBytesMax>>20 {
			t.Errorf("%d values of 1 MiB in one answer", answered)
		}
		if got := p.serve.executed.Load(); got > int64(answered+readWindowFirst) {
			t.Errorf("%d reads executed, %d answered", got, answered)
		}
		for _, at := range p.serve.mu.reads {
			if at > readWindowFirst {
				t.Errorf("%d values of 1 MiB at once", at)
			}
		}
	})
}

func TestReadWindowFollowsWhatItBrings(t *testing.T) {
	w := readWindow(readWindowFirst)
	for _, c := range []struct {
		name     string
		n, bytes int
		want     readWindow
	}{
		{"a full window at the cap doubles it", readWindowFirst, readWindowBytes, 2 * readWindowFirst},
		{"one byte over halves it", 1, readWindowBytes + 1, readWindowFirst},
		{"one that was not full says nothing", readWindowFirst - 1, 1, readWindowFirst},
	} {
		if w.adapt(c.n, c.bytes); w != c.want {
			t.Errorf("%s: %d", c.name, w)
		}
	}
	for range 20 {
		w.adapt(GroupMax, 0)
	}
	if w != ReadWindowMax {
		t.Errorf("it grew to %d", w)
	}
	for range 20 {
		w.adapt(1, readWindowBytes+1)
	}
	if w != 1 {
		t.Errorf("it shrank to %d", w)
	}
}

func TestFramesAreReadTogetherUpToTheWindow(t *testing.T) {
	parts := []part[request.Read]{{items: make([]*request.Read, 5)}, {items: make([]*request.Read, 3)}, {items: nil}, {items: make([]*request.Read, 1)}}
	for limit, want := range map[int][2]int{1: {1, 5}, 7: {1, 5}, 8: {3, 8}, 9: {4, 9}} {
		if n, reads := together(parts, limit); n != want[0] || reads != want[1] {
			t.Errorf("window of %d: %d frames, %d reads", limit, n, reads)
		}
	}
}
