package peer

import (
	"bytes"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// again is a stream that brings the same bytes whenever it is read.
type again struct{ b []byte }

func (a again) Read(dst []byte) (int, error) { return copy(dst, a.b), nil }

// What a frame costs on the goroutines that it passes. Only a forwarded batch and a write own their bytes: one allocation.
func TestFramesAllocateLittle(t *testing.T) {
	call := &call{kind: kindRead, reads: []*request.Read{{}}}
	out := make([]byte, 0, 1024)
	receive := func(f frame) func() {
		r := newReader(again{appendFrame(nil, f, raw("0123456789"))}, FrameBytesMax)
		return func() {
			if _, ok, err := r.next(); ok || err != nil || r.fill() != nil {
				t.Fatalf("a frame before the fill, or %v", err)
			}
			if _, ok, err := r.next(); !ok || err != nil {
				t.Fatalf("no frame: %v", err)
			}
		}
	}
	for name, c := range map[string]struct {
		want float64
		f    func()
	}{
		"a request out":      {0, func() { appendFrame(out, frame{kind: kindRead, id: 1, deadline: time.Second}, call) }},
		"a read in":          {0, receive(frame{kind: kindRead})},
		"a write in":         {1, receive(frame{kind: kindWrite})},
		"a forwarded one in": {1, receive(frame{kind: kindCoord})},
		"an answer in":       {0, receive(frame{kind: kindWrite | answerOf})},
	} {
		if got := testing.AllocsPerRun(100, c.f); got != c.want {
			t.Errorf("%s: %v allocations, want %v", name, got, c.want)
		}
	}
}

// A group and its elements are used again: what is left is what a state is made of.
func TestWritesGatherInMemoryThatIsReused(t *testing.T) {
	var q writeQueue
	state := causal.State{Seen: causal.Context{}.Add(causal.Dot{Actor: causal.Actor{Boot: 1, Seq: 1}, Counter: 1})}
	b := request.AppendWrites(nil, []*request.Write{{Delta: state}, {Delta: state}})
	var groups []*group[request.Write]
	got := testing.AllocsPerRun(100, func() {
		for range 3 {
			if err := q.add(1, frame{payload: b}, b, 256); err != nil {
				t.Fatal(err)
			}
		}
		groups = q.takeAll(groups)
		if len(groups) != 1 || len(groups[0].parts) != 3 {
			t.Fatalf("%d groups", len(groups))
		}
		groups[0].reset()
	})
	if got != 3 {
		t.Errorf("three frames: %v allocations, want 3", got)
	}
}

// A value that was read outlives the buffer that brought it.
func TestAnswersOutliveTheBuffer(t *testing.T) {
	stamp := causal.Version{Stamp: causal.Stamp{Time: 1, Node: 1}, Value: []byte("value")}
	state := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 1, Seq: 1}, []causal.Version{stamp}, nil)
	answers := readAnswers{{State: state}}
	r := newReader(bytes.NewReader(appendFrame(nil, frame{kind: kindRead | answerOf}, &answers)), FrameBytesMax)
	if err := r.fill(); err != nil {
		t.Fatal(err)
	}
	f, ok, err := r.next()
	if !ok || err != nil || !f.lent {
		t.Fatalf("frame %+v, %v", f, err)
	}
	c := &call{kind: kindRead, reads: []*request.Read{{}}}
	if err := c.settle(f); err != nil {
		t.Fatal(err)
	}
	clear(r.small)
	if got := c.reads[0].State; !got.Equal(state) {
		t.Errorf("read %+v", got)
	}
}
