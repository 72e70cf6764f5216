package coordinator

import (
	"errors"
	"runtime"
	"testing"
	"weak"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// mintOnto runs one operation against a state, as a store does, and returns what is stored.
func mintOnto(cur causal.State, m *Minting) (after causal.State, minted bool) {
	delta, ok := m.Mint(cur, func() causal.Actor { return causal.Actor{Boot: 3, Seq: 1} })
	return causal.Sync(cur, delta), ok
}

func TestAttemptThatArrivesAfterItsTwinWasOverwrittenWritesNothing(t *testing.T) {
	stamp := causal.Stamp{Time: causal.TimeOf(1000, 0), Node: 1}
	never := func(causal.Stamp) bool { return false }
	// The twin was minted elsewhere, and a later value covers it.
	twin := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 2, Seq: 1}, []causal.Version{{Stamp: stamp, Value: []byte("old")}}, never)
	newer := twin.Put(twin.Context(never), causal.Actor{Boot: 2, Seq: 1}, []causal.Version{{Stamp: causal.Stamp{Time: causal.TimeOf(2000, 0), Node: 1}, Value: []byte("new")}}, never)
	cur := causal.Sync(twin, newer)
	for _, verb := range []request.Verb{request.Put, request.PutSeen} {
		for attempt := range uint8(2) {
			op := &request.Op{Verb: verb, Stamp: stamp, Value: []byte("old"), Attempt: attempt}
			m := &Minting{ops: []*request.Op{op}, settled: never}
			if delta, ok := m.Mint(cur, nil); !ok || !delta.Covers(cur) {
				t.Errorf("verb %d, attempt %d: acknowledged while this node alone knows what overwrote it", verb, attempt)
			}
			after, _ := mintOnto(cur, m)
			if got := values(after); len(got) != 1 || got[0] != "new" {
				t.Errorf("verb %d, attempt %d: %q, want the newer value alone", verb, attempt, got)
			}
		}
	}
}

func TestDeleteOfWhatOneNodeKnowsToBeDeletedIsWritten(t *testing.T) {
	old := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 2, Seq: 1}, []causal.Version{{Value: []byte("old")}}, nil)
	gone := causal.State{Seen: old.Seen} // what one replica answered the quorum read
	m := &Minting{ops: []*request.Op{{Verb: request.Delete}}, read: gone}
	if after, minted := mintOnto(old, m); !minted || !after.Tombstone() || m.results[0].Int != 0 {
		t.Fatalf("minted %v, %+v", minted, after)
	}
	if _, minted := mintOnto(causal.State{}, &Minting{ops: []*request.Op{{Verb: request.Delete}}}); minted {
		t.Fatal("a key that was never met needs no tombstone")
	}
}

func TestFoldOfAWriteOverwrittenMeanwhileWritesNothing(t *testing.T) {
	stamp := causal.Stamp{Time: causal.TimeOf(1000, 0), Node: 1}
	never := func(causal.Stamp) bool { return false }
	op := &request.Op{Verb: request.Put, Stamp: stamp, Value: []byte("old")}
	first := NewMinting([]*request.Op{op}, 0, never)
	delta, _ := first.Mint(causal.State{}, func() causal.Actor { return causal.Actor{Boot: 3, Seq: 1} })
	gone := causal.State{Seen: delta.Seen.AddStamp(stamp)}
	survivor := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 2, Seq: 1}, []causal.Version{{Stamp: causal.Stamp{Time: causal.TimeOf(2000, 0), Node: 2}, Value: []byte("survivor")}}, never)
	after, minted := mintOnto(causal.Sync(gone, survivor), first.Fold(delta, survivor, 0))
	if got := values(after); minted || len(got) != 1 || got[0] != "survivor" {
		t.Fatalf("%q (minted %v), want the survivor alone", got, minted)
	}
}

func TestFoldOfASettledWriteOverwrittenMeanwhileWritesNothing(t *testing.T) {
	// Its client gave up waiting, so its stamp is settled, and whoever overwrote it did not remember it.
	all := func(causal.Stamp) bool { return true }
	op := &request.Op{Verb: request.Put, Stamp: causal.Stamp{Time: causal.TimeOf(1000, 0), Node: 1}, Value: []byte("old")}
	first := NewMinting([]*request.Op{op}, 0, all)
	delta, _ := first.Mint(causal.State{}, func() causal.Actor { return causal.Actor{Boot: 3, Seq: 1} })
	newer := delta.Put(delta.Seen, causal.Actor{Boot: 3, Seq: 1}, []causal.Version{{Stamp: causal.Stamp{Time: causal.TimeOf(3000, 0), Node: 2}, Value: []byte("newer")}}, all)
	survivor := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 2, Seq: 1}, []causal.Version{{Stamp: causal.Stamp{Time: causal.TimeOf(2000, 0), Node: 2}, Value: []byte("survivor")}}, all)
	after, minted := mintOnto(causal.Sync(delta, newer), first.Fold(delta, survivor, 0))
	if got := values(after); minted || len(got) != 1 || got[0] != "newer" {
		t.Fatalf("%q (minted %v), want the newer value alone", got, minted)
	}
}

// A fold removes what outstamps its value. It does not cover what else was held there, and leaves the value under the dot
// that others may have read meanwhile.
func TestFoldRemovesTheSurvivorsAlone(t *testing.T) {
	all := func(causal.Stamp) bool { return true }
	at := func(ms int64, value string) []causal.Version {
		return []causal.Version{{Stamp: causal.Stamp{Time: causal.TimeOf(ms, 0), Node: 2}, Value: []byte(value)}}
	}
	op := &request.Op{Verb: request.Put, Stamp: causal.Stamp{Time: causal.TimeOf(1000, 0), Node: 1}, Value: []byte("set")}
	first := NewMinting([]*request.Op{op}, 0, all)
	delta, _ := first.Mint(causal.State{}, func() causal.Actor { return causal.Actor{Boot: 3, Seq: 1} })
	older := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 2, Seq: 1}, at(500, "older"), all)
	newer := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 2, Seq: 2}, at(2000, "newer"), all)
	elsewhere := causal.Sync(causal.Sync(older, newer), delta)
	survivor := causal.State{Seen: elsewhere.Seen, Siblings: elsewhere.Siblings[:1]}
	folded, _ := mintOnto(delta, first.Fold(delta, survivor, 0))
	if got := values(causal.Sync(elsewhere, folded)); len(got) != 2 || got[0] != "set" || got[1] != "older" {
		t.Errorf("%q, want the value, and what the fold was not shown", got)
	}
	if folded.Siblings[0].Dot != delta.Siblings[0].Dot {
		t.Error("the value has another dot")
	}
}

func TestWhatIsLateIsNotMinted(t *testing.T) {
	over, _ := mintOnto(causal.State{}, NewMinting([]*request.Op{{Verb: request.Put, Value: []byte("next")}}, 0, nil))
	for _, op := range []*request.Op{
		{Verb: request.Put}, {Verb: request.PutSeen, Seen: over.Seen}, {Verb: request.DeleteSeen, Seen: over.Seen},
		{Verb: request.Delete}, {Verb: request.Modify, Change: request.ChangeSet},
	} {
		for _, held := range []causal.State{over, {Seen: over.Seen}} {
			m := NewMinting([]*request.Op{op}, 0, nil)
			m.Until(func(int) bool { return true })
			if _, minted := mintOnto(held, m); minted || !errors.Is(m.Answer(0, causal.State{}, 0, nil).Err, request.ErrExpired) {
				t.Errorf("verb %v over %v: minted %v, %+v", op.Verb, values(held), minted, m.results[0])
			}
		}
	}
	first := NewMinting([]*request.Op{{Verb: request.Put}}, 0, nil)
	first.Until(func(int) bool { return true })
	fold := first.Fold(over, causal.State{}, 0)
	if _, minted := mintOnto(over, fold); minted || !errors.Is(fold.Answer(0, causal.State{}, 0, nil).Err, request.ErrMaybe) {
		t.Errorf("fold: minted %v, %+v", minted, fold.results[0])
	}
}

func TestRoundLeavesOutWhatIsLate(t *testing.T) {
	incr := &request.Op{Verb: request.Modify, Change: request.ChangeAdd, Delta: 1}
	m := NewMinting([]*request.Op{incr, incr, incr}, 0, nil)
	m.Until(func(i int) bool { return i == 1 })
	after, _ := mintOnto(causal.State{}, m)
	if values(after)[0] != "2" || m.results[0].Err != nil || m.results[2].Int != 2 || !errors.Is(m.results[1].Err, request.ErrExpired) {
		t.Fatalf("%q, %+v", values(after), m.results)
	}
}

func TestRoundSharesOneMint(t *testing.T) {
	incr := func() *request.Op { return &request.Op{Verb: request.Modify, Change: request.ChangeAdd, Delta: 1} }
	nx := &request.Op{Verb: request.Modify, Change: request.ChangeSet, Cond: request.IfAbsent, Value: []byte("x")}
	m := &Minting{ops: []*request.Op{incr(), nx, incr()}}
	after, minted := mintOnto(causal.State{}, m)
	if got := values(after); !minted || len(got) != 1 || got[0] != "2" || after.Siblings[0].Dot.Counter != 1 {
		t.Fatalf("%q, want one dot with 2", got)
	}
	if m.results[0].Int != 1 || m.results[1].Wrote || m.results[2].Int != 2 || m.tainted != 0 {
		t.Fatalf("results %+v", m.results)
	}
}

// A connection keeps the context of its last write, for WAIT. That of a delete must not keep what was deleted.
func TestContextOfADeleteKeepsNoValue(t *testing.T) {
	stored := func(value []byte) (causal.State, weak.Pointer[byte]) {
		v := causal.Version{Stamp: causal.Stamp{Time: 1, Node: 1}, Value: value}
		b := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 2, Seq: 1}, []causal.Version{v}, nil).Append(nil)
		s, _, err := causal.DecodeState(b)
		if err != nil {
			t.Fatal(err)
		}
		return s, weak.Make(&b[0])
	}
	for name, op := range map[string]*request.Op{
		"DEL":    {Verb: request.Delete},
		"GETDEL": {Verb: request.Modify, Change: request.ChangeDelete},
	} {
		cur, value := stored(make([]byte, 1<<16))
		m := NewMinting([]*request.Op{op}, 0, func(causal.Stamp) bool { return true })
		delta, ok := m.Mint(cur, nil)
		if seen := m.Answer(0, delta, 1, nil).Seen; !ok || seen.IsZero() {
			t.Fatalf("%s: deleted %v, seen %v", name, ok, seen)
		} else {
			runtime.GC()
			if value.Value() != nil {
				t.Errorf("%s: the value is kept", name)
			}
			runtime.KeepAlive(seen)
		}
	}
}
