package resp

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/protocol"
	"github.com/holdfastdb/holdfast/protocol/storetest"
	"github.com/holdfastdb/holdfast/request"
)

// answering is a store that answers every operation at once, with a value that was there before.
type answering struct {
	*storetest.Store
	state causal.State
}

func (s answering) Do(_ context.Context, ops []*request.Op) {
	for _, op := range ops {
		op.Result = request.Result{}
		if op.Verb == request.Get {
			op.Result.State = s.state
		}
	}
}

func (answering) Stamp() causal.Stamp { return causal.Stamp{} }

// silent counts nothing.
type silent struct{ Metrics }

func (silent) Observe(string, string, float64) {}
func (silent) Siblings(int)                    {}

// What a pipeline costs between the socket and the store: its operations, the context of its wave, and a share of the memory that its
// arguments lie in. Nothing of it is for each command.
func TestPipelinesAllocateLittle(t *testing.T) {
	value := causal.Version{Stamp: causal.Stamp{Time: 1, Node: 1}, Value: make([]byte, 100)}
	state := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 1, Seq: 1}, []causal.Version{value}, nil)
	s, _ := newServer(&counted{}, 1, func(cfg *Config, st *storetest.Store) {
		cfg.Store, cfg.Metrics = answering{st, state}, silent{}
	})
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	c := newConn(s, t.Context(), &protocol.Conn{Conn: ours})
	c.out.dst = io.Discard
	set, get := string(encode("SET", "key", strings.Repeat("x", 100))), string(encode("GET", "key"))
	pipeline := func(one string, n int) []byte { // of keys that differ
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.Replace(one, "key", "k"+string(rune('a'+i))+"y", 1))
		}
		return []byte(b.String())
	}
	for _, v := range []struct {
		name string
		most float64
		in   []byte
	}{
		{"SET", 2, []byte(set)},
		{"GET", 2, []byte(get)},
		{"16 SET", 2, pipeline(set, 16)},
		{"16 GET", 2, pipeline(get, 16)},
	} {
		got := testing.AllocsPerRun(200, func() {
			c.consume(v.in)
			if c.out.flush() != nil || c.closing {
				t.Fatal("the connection ended")
			}
		})
		if got > v.most {
			t.Errorf("%s: %v allocations, want %v at most", v.name, got, v.most)
		}
	}
}
