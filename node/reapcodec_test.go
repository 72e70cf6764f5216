package node

import (
	"bytes"
	"slices"
	"testing"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/replica/reap"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

const reapPartitions = 1 // every key is of partition 0

func someTombstone(name string) replica.Tombstone {
	seen := causal.Context{}.Add(causal.Dot{Actor: causal.Actor{Boot: 1, Seq: 2}, Counter: 3}).AddStamp(causal.Stamp{Time: 4, Node: 5})
	return replica.Tombstone{Key: request.Key{Space: 1, Name: []byte(name)}, State: causal.State{Seen: seen}}
}

func TestReapQuestionsTravel(t *testing.T) {
	for _, states := range []bool{true, false} {
		q := reapQuestion{since: 7, round: 9, keys: []replica.Tombstone{someTombstone("a"), someTombstone("")}}
		got, err := decodeReapQuestion(q.append(nil, states), states, reapPartitions)
		if err != nil || got.since != 7 || got.round != 9 || len(got.keys) != 2 || string(got.keys[0].Key.Name) != "a" || got.keys[0].Key.Space != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		if got.keys[1].State.Equal(q.keys[1].State) != states {
			t.Errorf("states asked for %v: %+v", states, got.keys[1])
		}
	}
}

func TestReapQuestionsOfOthersAreRefused(t *testing.T) {
	good := reapQuestion{since: 7, round: 9, keys: []replica.Tombstone{someTombstone("a")}}
	live := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 1, Seq: 1}, []causal.Version{{}}, nil)
	many := reapQuestion{round: 1}
	for range replica.ReapKeysMax + 1 {
		many.keys = append(many.keys, someTombstone("a"))
	}
	for what, b := range map[string][]byte{
		"nothing":                  nil,
		"no round":                 (&reapQuestion{since: 7}).append(nil, true),
		"a partition there is not": (&reapQuestion{partition: 1, round: 1}).append(nil, true),
		"cut off":                  good.append(nil, true)[:25],
		"a live state":             live.Append((&reapQuestion{round: 1, keys: good.keys}).append(nil, false)),
		"one key too many":         many.append(nil, true),
	} {
		if _, err := decodeReapQuestion(b, true, reapPartitions); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	elsewhere := good
	elsewhere.partition = (ring.PartitionOf(ring.Slot([]byte("a")), 16) + 1) % 16
	if _, err := decodeReapQuestion(elsewhere.append(nil, true), true, 16); err == nil {
		t.Error("a key of another partition was taken")
	}
	many.keys = many.keys[1:]
	if _, err := decodeReapQuestion(many.append(nil, true), true, reapPartitions); err != nil {
		t.Errorf("as many keys as there may be: %v", err)
	}
}

func TestReapAnswersTravel(t *testing.T) {
	a := reapAnswer{said: []reap.Refusal{reap.None, reap.Differs, reap.Lives}, larger: map[int]causal.State{1: someTombstone("a").State}}
	b := a.append(nil)
	got, err := decodeReapAnswer(b, 3)
	if err != nil || !slices.Equal(got.said, a.said) || len(got.larger) != 1 || !got.larger[1].Equal(a.larger[1]) {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, keys := range []int{4, len(b) + 1} {
		if got, err := decodeReapAnswer(b, keys); err == nil {
			t.Errorf("taken for the answer of %d keys: %+v", keys, got)
		}
	}
	if got, err := decodeReapAnswer([]byte{200}, 1); err != nil || got.said[0] != reap.Failed {
		t.Errorf("a newer version's refusal: %v, %v", got.said, err)
	}
}

func FuzzReapQuestion(f *testing.F) {
	f.Add((&reapQuestion{since: 7, round: 9, keys: []replica.Tombstone{someTombstone("a"), someTombstone("b")}}).append(nil, true), true)
	f.Add((&reapQuestion{since: 7, round: 9, keys: []replica.Tombstone{someTombstone("a")}}).append(nil, false), false)
	f.Fuzz(func(t *testing.T, b []byte, states bool) {
		q, err := decodeReapQuestion(b, states, reapPartitions)
		if err != nil {
			return
		}
		again, err := decodeReapQuestion(q.append(nil, states), states, reapPartitions)
		if err != nil || !bytes.Equal(again.append(nil, states), q.append(nil, states)) {
			t.Fatalf("%+v became %+v, %v", q, again, err)
		}
	})
}

func FuzzReapAnswer(f *testing.F) {
	a := reapAnswer{said: []reap.Refusal{reap.None, reap.Differs}, larger: map[int]causal.State{1: someTombstone("a").State}}
	f.Add(a.append(nil), 2)
	f.Fuzz(func(t *testing.T, b []byte, keys int) {
		a, err := decodeReapAnswer(b, max(0, keys))
		if err == nil && len(a.said) != max(0, keys) {
			t.Fatalf("%d answers for %d keys", len(a.said), keys)
		}
	})
}
