package check

import (
	"slices"
	"testing"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

const second = Moment(1e9)

func dot(n uint64) causal.Dot { return causal.Dot{Actor: causal.Actor{Boot: 7, Seq: 1}, Counter: n} }

func stamp(n uint64) causal.Stamp { return causal.Stamp{Time: causal.Time(n), Node: 1} }

func sibling(n uint64, value string) causal.Sibling {
	return causal.Sibling{Dot: dot(n), Version: causal.Version{Stamp: stamp(n), Value: []byte(value)}}
}

// state holds the siblings, and has seen the dots beside theirs.
func state(siblings []causal.Sibling, seen ...uint64) (s causal.State) {
	for _, x := range siblings {
		s.Seen = s.Seen.Add(x.Dot)
	}
	for _, n := range seen {
		s.Seen = s.Seen.Add(dot(n))
	}
	s.Siblings = siblings
	return s
}

func one(n uint64, value string, seen ...uint64) causal.State {
	return state([]causal.Sibling{sibling(n, value)}, seen...)
}

// good is a history in order: operation 0 wrote "a", which operation 1 had seen and replaced by "b".
func good() *History {
	op := func(id int, begin Moment, knows ...int) *Op {
		return &Op{ID: id, Key: "k", Verb: request.PutSeen, Begin: begin, End: begin + second, Deadline: begin + 3*second,
			Outcome: Done, Knows: knows, Holders: 2, Need: 2}
	}
	b := one(2, "b", 1)
	return &History{
		Ops: []*Op{op(0, 0), op(1, 10*second, 0)},
		Mints: []*Mint{
			{Ops: []int{0}, Key: "k", At: 1, Delta: one(1, "a"), QuorumAt: second},
			{Ops: []int{1}, Key: "k", At: 10 * second, Base: one(1, "a"), Delta: b, QuorumAt: 11 * second},
		},
		Reads: []*Read{{Key: "k", Begin: 20 * second, Primaries: true, State: b}},
		Quiet: []Replica{{0, "k", b}, {1, "k", b}},
		Final: []Replica{{0, "k", b}, {1, "k", b}},
		Roots: []Root{{0, 3, true, 9}, {1, 3, true, 9}, {1, 4, true, 8}},
		Wall:  1000, Drift: 5,
	}
}

func TestAGoodHistoryBreaksNothing(t *testing.T) {
	if found := All(good()); len(found) > 0 {
		t.Fatal(found)
	}
}

// Each case breaks the good history in one way; the invariant named must be found broken.
func TestEachCheckerFindsABrokenHistory(t *testing.T) {
	cases := []struct {
		proves, want string
		spoil        func(h *History)
	}{
		{"a replica without an acknowledged value", "acknowledged", func(h *History) { h.Final[1].State = causal.State{} }},
		{"a confirmation before the fsync", "confirmed", func(h *History) { h.Confirmations = []Confirmation{{0, "k", false}} }},
		{"an overwritten value that is back", "gone is gone", func(h *History) { h.Final[0].State = one(1, "a") }},
		{"a twin of an overwritten value", "gone is gone", func(h *History) {
			twin := causal.Sibling{Dot: dot(3), Version: causal.Version{Stamp: stamp(1), Value: []byte("a")}}
			h.Mints = append(h.Mints, &Mint{Ops: []int{0}, Key: "k", Delta: state([]causal.Sibling{twin})})
			h.Final[0].State.Siblings = append(h.Final[0].State.Siblings, twin)
		}},
		{"a twin of an overwritten value, under another stamp", "gone is gone", func(h *History) {
			twin := causal.Sibling{Dot: dot(3), Version: causal.Version{Stamp: stamp(3), Value: []byte("a")}}
			h.Mints = append(h.Mints, &Mint{Ops: []int{0}, Key: "k", Delta: state([]causal.Sibling{twin})})
			h.Final[0].State.Siblings = append(h.Final[0].State.Siblings, twin)
		}},
		{"a value that nobody wrote", "gone is gone", func(h *History) { h.Final[0].State = one(9, "?") }},
		{"an overwriter that had not seen the value", "concurrent", func(h *History) { h.Ops[1].Knows = nil }},
		{"a retried SET that overwrote", "concurrent", func(h *History) { h.Ops[1].Verb, h.Mints[1].Retry = request.Put, true }},
		{"a SET that removed what was written after its answer", "concurrent", func(h *History) {
			h.Ops[0].Verb, h.Ops[1].Verb = request.Put, request.Put
			fold := &Mint{Ops: []int{0}, Key: "k", At: 12 * second, Base: one(2, "b", 1), Delta: state(nil, 2)}
			h.Mints, h.Final[0].State = append(h.Mints, fold), state(nil, 1, 2)
		}},
		{"a DEL that removed what was written after its answer", "concurrent", func(h *History) {
			h.Ops[0].Verb, h.Ops[1].Verb = request.Delete, request.Put
			late := &Mint{Ops: []int{0}, Key: "k", At: 12 * second, Base: one(2, "b", 1), Delta: state(nil, 1, 2)}
			h.Mints, h.Final[0].State = append(h.Mints, late), state(nil, 1, 2)
		}},
		{"replicas that differ", "converged", func(h *History) { h.Final[1].State = one(2, "b") }},
		{"trees that differ", "roots", func(h *History) { h.Roots[1].Sum++ }},
		{"a tree that is not complete", "roots", func(h *History) { h.Roots[0].Complete = false }},
		{"a hint that is left", "converged", func(h *History) { h.Hints = 1 }},
		{"a primary that was owed nothing", "hinted", func(h *History) { h.Quiet[1].State = one(1, "a") }},
		{"a dot with two values", "dots", func(h *History) { h.Mints = append(h.Mints, &Mint{Ops: []int{1}, Key: "k", Delta: one(1, "c")}) }},
		{"a quorum read of an overwritten value", "quorum", func(h *History) { h.Reads[0].State = one(1, "a") }},
		{"a quorum read that misses a value", "quorum", func(h *History) { h.Reads[0].State = causal.State{} }},
		{"a value that was swept before its time", "quorum", func(h *History) {
			b := h.Mints[1].Delta
			b.Siblings[0].ExpireAt = 900
			h.Reads[0].Wall, h.Reads[0].State = 100, causal.State{Seen: b.Seen}
		}},
		{"a read-modify-write that read fallbacks", "quorum", func(h *History) { *h.Reads[0] = Read{Key: "k", Begin: 20 * second, Modify: true} }},
		{"an operation without an answer", "answered", func(h *History) { h.Ops[0].Outcome = Unanswered }},
		{"an answer after the deadline", "answered", func(h *History) { h.Ops[0].End = 9 * second }},
		{"a refusal of what was written", "true", func(h *History) { h.Ops[0].Outcome = Refused }},
		{"a read-modify-write that ran twice", "true", func(h *History) {
			h.Ops[0].Verb = request.Modify
			h.Mints = append(h.Mints, h.Mints[0])
		}},
		{"an acknowledgement by one node", "true", func(h *History) { h.Ops[0].Holders = 1 }},
		{"a write that was minted after its deadline", "true", func(h *History) { h.Mints[0].At = h.Ops[0].Deadline + 1 }},
		{"a refusal in fair weather", "available", func(h *History) { h.Ops[0].Calm, h.Ops[0].Outcome = true, Maybe }},
		{"a value shown after its time", "expired", func(h *History) {
			h.Ops[0].Verb, h.Ops[0].ExpireAt, h.Ops[0].Wall = request.Get, 100, 200
		}},
	}
	proven := map[string]bool{}
	for _, c := range cases {
		h := good()
		c.spoil(h)
		found := All(h)
		if !slices.ContainsFunc(found, func(v Violation) bool { return v.Name == c.want }) {
			t.Errorf("%s: %q not found, but %v", c.proves, c.want, found)
		}
		proven[c.want] = true
	}
	for _, c := range Checkers() {
		if !proven[c.Name] {
			t.Errorf("no broken history for %q", c.Name)
		}
	}
}

// What no disk kept is nobody's fault, and is told apart.
func TestWhatWasLostWithItsDisksIsExcused(t *testing.T) {
	h := good()
	h.Final[0].State, h.Final[1].State = causal.State{}, causal.State{}
	h.Mints[0].Lost, h.Mints[1].Lost = true, true
	if found := All(h); len(found) > 0 {
		t.Fatal(found)
	}
}
