package resp

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/protocol/storetest"
	"github.com/holdfastdb/holdfast/request"
)

// batches records what the store is asked to do.
type batches struct {
	mu   sync.Mutex
	list []string
}

func (b *batches) record(_ context.Context, ops []*request.Op) {
	var words []string
	for _, op := range ops {
		verb := map[request.Verb]string{request.Get: "get", request.Put: "put", request.PutSeen: "putseen", request.DeleteSeen: "delseen", request.Delete: "del", request.Modify: "modify"}[op.Verb]
		word := verb + ":" + string(op.Key.Name)
		if op.Verb == request.Put {
			word += "=" + string(op.Value)
		}
		words = append(words, word)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = append(b.list, strings.Join(words, " "))
}

func (b *batches) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := strings.Join(b.list, " | ")
	b.list = nil
	return s
}

func TestWaves(t *testing.T) {
	for _, c := range []struct{ name, pipeline, want string }{
		{"commands on several keys are one batch", "SET a 1\nGET b\nINCR c\nDEL d", "put:a=1 get:b modify:c del:d"},
		{"a read after a write waits for it", "SET a 1\nGET a", "put:a=1 | get:a"},
		{"a write after a read waits for it", "GET a\nSET a 1", "get:a | put:a=1"},
		{"equal reads are one", "GET a\nSTRLEN a\nMGET a b a\nTTL b", "get:a get:b"},
		{"of several SETs the last is executed", "SET a 1\nSET b 1\nSET a 2\nSET a 3", "put:a=3 put:b=1"},
		{"SETs do not pass a read", "SET a 1\nGET a\nSET a 2", "put:a=1 | get:a | put:a=2"},
		{"MSET of one key twice", "MSET a 1 b 2 a 3", "put:a=3 put:b=2"},
		{"modifications of one key stay in order", "INCR a\nAPPEND a 1\nSETNX a 1", "modify:a modify:a modify:a"},
		{"a SET after a modification waits for it", "INCR a\nSET a 1", "modify:a | put:a=1"},
		{"deletions of one key are apart", "DEL a\nDEL a b", "del:a | del:a del:b"},
		{"DEL names a key twice", "DEL a a b", "del:a del:b"},
		{"PUTCTX of one key are apart", "PUTCTX a '' 1\nPUTCTX a '' 2", "putseen:a | putseen:a"},
		{"another command cuts", "SET a 1\nPING\nSET a 2", "put:a=1 | put:a=2"},
		{"errors do not cut", "SET a 1\nnosuch\nGET\nSET b 2", "put:a=1 put:b=2"},
		{"GETV shares a read with GET", "GET a\nGETV a", "get:a"},
		{"GETV with its own R does not", "GET a\nGETV a R 1", "get:a | get:a"},
		{"keyspaces are apart", "SET a 1\nSELECT 1\nGET a", "put:a=1 | get:a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var seen batches
			r := newRig(t, func(_ *Config, s *storetest.Store) { s.Before = seen.record })
			p := dial(t, "tcp", r.addr)
			p.send("%s\r\n", strings.ReplaceAll(c.pipeline, "\n", "\r\n"))
			for range strings.Split(c.pipeline, "\n") {
				p.reply()
			}
			if got := seen.take(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Whatever the pipeline, its replies are those of the same commands sent one by one.
func TestPipelineEqualsOneByOne(t *testing.T) {
	one, all := dial(t, "tcp", newRig(t, nil).addr), dial(t, "tcp", newRig(t, nil).addr)
	d := newDraw(3)
	for range 300 {
		var pipeline []byte
		var want strings.Builder
		n := 1 + d.IntN(60)
		for range n {
			args := d.command()
			pipeline = append(pipeline, encode(args...)...)
			want.WriteString(one.do(args...))
		}
		all.send("%s", pipeline)
		var got strings.Builder
		for range n {
			got.WriteString(all.reply())
		}
		if got.String() != want.String() {
			t.Fatalf("pipeline %q\ngot  %q\nwant %q", pipeline, got.String(), want.String())
		}
	}
}

func TestWindowFollowsTheSizeOfAnswers(t *testing.T) {
	w := window(windowFirst)
	w.adapt(windowFirst, windowBytes)
	if w != 2*windowFirst {
		t.Errorf("at the cap: %d", w)
	}
	w.adapt(1, windowBytes+1)
	if w != windowFirst {
		t.Errorf("one over: %d", w)
	}
	for range 100 {
		w.adapt(1, windowBytes+1)
	}
	if w != WindowMin {
		t.Errorf("always over: %d", w)
	}
	for range 100 {
		w.adapt(WindowMax, 0)
	}
	if w != WindowMax {
		t.Errorf("always small: %d", w)
	}
}

// A command that would bring more than the cap stops reading and says so.
func TestReplyBytesAreCapped(t *testing.T) {
	big := causal.State{Siblings: []causal.Sibling{{Version: causal.Version{Value: make([]byte, request.ValueBytesMax)}}}}
	whole := ReplyBytesMax / request.ValueBytesMax
	reads := 0
	var w window = 1
	do := func(_ context.Context, ops []*request.Op) {
		reads += len(ops)
		for _, op := range ops {
			op.Result.State = big
		}
	}
	for _, c := range []struct {
		name  string
		extra int
		fails bool
	}{{"at the cap", 0, false}, {"far over", 10, true}} {
		ops := make([]*request.Op, whole+c.extra)
		for i := range ops {
			ops[i] = &request.Op{}
		}
		reads = 0
		w.perform(context.Background(), do, ops)
		if failed := ops[len(ops)-1].Result.Err != nil; failed != c.fails || c.fails && reads == len(ops) {
			t.Errorf("%s: failed %v after %d reads", c.name, failed, reads)
		}
	}
}

// A value beyond DirectBytesMin goes out whole, between others.
func TestLargeValues(t *testing.T) {
	p := dial(t, "tcp", newRig(t, nil).addr)
	for _, n := range []int{DirectBytesMin - 1, DirectBytesMin, SpillBytes, request.ValueBytesMax} {
		value := string(bytes.Repeat([]byte("v"), n))
		p.send("%s", append(encode("SET", "k", value), encode("MGET", "k", "no", "k")...))
		if got := p.reply(); got != "+OK\r\n" {
			t.Fatal(got)
		}
		if got := p.reply(); got != "*3\r\n"+bulk(value)+"$-1\r\n"+bulk(value) {
			t.Errorf("%d bytes: got %d", n, len(got))
		}
	}
	over := p.do("SET", "k", strings.Repeat("v", request.ValueBytesMax+1))
	if !strings.HasPrefix(over, "-TOOBIG ") {
		t.Errorf("one over: %.100q", over)
	}
	for n, want := range map[int]string{request.KeyBytesMax: "+OK", request.KeyBytesMax + 1: "-TOOBIG"} {
		if got := p.do("SET", strings.Repeat("k", n), "v"); !strings.HasPrefix(got, want) {
			t.Errorf("key of %d bytes: %.100q", n, got)
		}
	}
}
