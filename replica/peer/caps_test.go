package peer

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/request"
)

func TestConnectionsAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemoryNet()
		start(t, config(n, nodeB), &replica{})
		for i := range ConnsMax {
			conn, err := n.dial(t.Context(), "b")
			if err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
			defer conn.Close()
		}
		began := time.Now()
		over, err := n.dial(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := over.Read(make([]byte, 1)); err != io.EOF || time.Since(began) != 0 {
			t.Errorf("one over the cap: %v after %v", err, time.Since(began))
		}
		time.Sleep(HelloTimeout) // they said nothing, so their places are free again
		p := &pair{a: start(t, config(n, nodeA), &replica{})}
		want(t, p.read(1, soon()), nil)
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

func TestForwardedBatchesOfTheWholeNodeAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		ask := func() <-chan error {
			ended := make(chan error, 2)
			p.a.Coordinate(nodeB, []*request.Op{{}}, 1, request.Notice{}, soon(), func(err error) { ended <- err })
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
		p.a.Coordinate(nodeB, []*request.Op{{}}, 1, request.Notice{}, time.Now().Add(time.Hour), func(err error) { ended <- err })
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
