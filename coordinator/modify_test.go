package coordinator

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

const now = 1_000_000

func stateOf(value string, expireAt int64) causal.State {
	return causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 1, Seq: 1}, []causal.Version{{Stamp: causal.Stamp{Time: 1, Node: 1}, Value: []byte(value), ExpireAt: expireAt}}, nil)
}

func TestModify(t *testing.T) {
	set := func(cond request.Cond) *request.Op {
		return &request.Op{Verb: request.Modify, Change: request.ChangeSet, Cond: cond, Value: []byte("new")}
	}
	add := func(d int64) *request.Op {
		return &request.Op{Verb: request.Modify, Change: request.ChangeAdd, Delta: d}
	}
	expire := func(at int64, cond request.Cond) *request.Op {
		return &request.Op{Verb: request.Modify, Change: request.ChangeExpire, ExpireAt: at, Cond: cond}
	}
	for name, c := range map[string]struct {
		op    *request.Op
		cur   causal.State
		write bool
		value string
		ttl   int64
		n     int64
		err   error
	}{
		"NX on nothing writes":             {op: set(request.IfAbsent), write: true, value: "new", n: 1},
		"NX on a value does not":           {op: set(request.IfAbsent), cur: stateOf("old", 0)},
		"NX on an expired value writes":    {op: set(request.IfAbsent), cur: stateOf("old", now), write: true, value: "new", n: 1},
		"XX on nothing does not":           {op: set(request.IfPresent)},
		"XX on a value writes":             {op: set(request.IfPresent), cur: stateOf("old", now+5), write: true, value: "new", n: 1},
		"KEEPTTL keeps it":                 {op: set(request.KeepTTL), cur: stateOf("old", now+5), write: true, value: "new", ttl: now + 5, n: 1},
		"INCR of nothing is 1":             {op: add(1), write: true, value: "1", n: 1},
		"INCR keeps the expiry":            {op: add(2), cur: stateOf("40", now+5), write: true, value: "42", ttl: now + 5, n: 42},
		"INCR of an expired counter is 1":  {op: add(1), cur: stateOf("40", now-1), write: true, value: "1", n: 1},
		"INCR of text":                     {op: add(1), cur: stateOf("abc", 0), err: request.ErrNotInteger},
		"INCR of a leading zero":           {op: add(1), cur: stateOf("01", 0), err: request.ErrNotInteger},
		"INCR of a plus sign":              {op: add(1), cur: stateOf("+1", 0), err: request.ErrNotInteger},
		"INCR of minus zero":               {op: add(1), cur: stateOf("-0", 0), err: request.ErrNotInteger},
		"INCR beyond 64 bits":              {op: add(1), cur: stateOf("9223372036854775807", 0), err: request.ErrOverflow},
		"DECR beyond 64 bits":              {op: add(math.MinInt64), cur: stateOf("-1", 0), err: request.ErrOverflow},
		"EXPIRE of nothing":                {op: expire(now+5, 0)},
		"EXPIRE sets":                      {op: expire(now+5, 0), cur: stateOf("v", 0), write: true, value: "v", ttl: now + 5, n: 1},
		"EXPIRE in the past deletes":       {op: expire(now-5, 0), cur: stateOf("v", 0), write: true, n: 1},
		"EXPIRE GT of no expiry":           {op: expire(now+5, request.IfLater), cur: stateOf("v", 0)},
		"EXPIRE GT later":                  {op: expire(now+5, request.IfLater), cur: stateOf("v", now+4), write: true, value: "v", ttl: now + 5, n: 1},
		"EXPIRE LT of no expiry":           {op: expire(now+5, request.IfEarlier), cur: stateOf("v", 0), write: true, value: "v", ttl: now + 5, n: 1},
		"EXPIRE NX on an expiry":           {op: expire(now+5, request.IfNoTTL), cur: stateOf("v", now+9)},
		"PERSIST":                          {op: expire(0, request.IfTTL), cur: stateOf("v", now+9), write: true, value: "v", n: 1},
		"PERSIST without an expiry":        {op: expire(0, request.IfTTL), cur: stateOf("v", 0)},
		"GETDEL":                           {op: &request.Op{Verb: request.Modify, Change: request.ChangeDelete}, cur: stateOf("v", 0), write: true, n: 1},
		"APPEND":                           {op: &request.Op{Verb: request.Modify, Change: request.ChangeAppend, Value: []byte("!")}, cur: stateOf("v", now+5), write: true, value: "v!", ttl: now + 5, n: 2},
		"APPEND of nothing makes no key":   {op: &request.Op{Verb: request.Modify, Change: request.ChangeAppend}},
		"DEL of an expired value counts 0": {op: &request.Op{Verb: request.Delete}, cur: stateOf("v", now-1), write: true},
	} {
		got := modify(c.op, c.cur, now)
		value, ttl := "", int64(0)
		if len(got.versions) > 0 {
			value, ttl = string(got.versions[0].Value), got.versions[0].ExpireAt
		}
		if got.write != c.write || value != c.value || ttl != c.ttl || got.result.Int != c.n || !errors.Is(got.result.Err, c.err) {
			t.Errorf("%s: write %v value %q ttl %d int %d err %v", name, got.write, value, ttl, got.result.Int, got.result.Err)
		}
	}
}

func TestAppendStopsAtTheCap(t *testing.T) {
	cur := stateOf(strings.Repeat("x", request.ValueBytesMax-1), 0)
	op := &request.Op{Verb: request.Modify, Change: request.ChangeAppend, Value: []byte("y")}
	if got := modify(op, cur, now); got.result.Err != nil {
		t.Fatalf("at the cap: %v", got.result.Err)
	}
	op.Value = []byte("yz")
	if got := modify(op, cur, now); !errors.Is(got.result.Err, request.ErrTooBig) || got.write {
		t.Fatalf("one over: %v", got.result.Err)
	}
}

func TestExpireRewritesEverySiblingAndKeepsStamps(t *testing.T) {
	cur := causal.Sync(stateOf("a", 0), causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 2, Seq: 1}, []causal.Version{{Stamp: causal.Stamp{Time: 2, Node: 2}, Value: []byte("b")}}, nil))
	got := modify(&request.Op{Verb: request.Modify, Change: request.ChangeExpire, ExpireAt: now + 5}, cur, now)
	if len(got.versions) != 2 || got.versions[0].Stamp.Time != 2 || got.versions[1].Stamp.Time != 1 || got.versions[1].ExpireAt != now+5 {
		t.Fatalf("%+v", got.versions)
	}
}
