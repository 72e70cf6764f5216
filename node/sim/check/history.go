// Package check holds the invariants of a cluster's history, each a function of what a run recorded and of what every
// replica held at its end. It knows nothing of how the run was made.
//
// A violation names the invariant by its number in DESIGN.md section 10 and says what was seen.
package check

import (
	"fmt"
	"slices"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// Moment is virtual time in nanoseconds since the run began.
type Moment int64

// Outcome is what a client was told.
type Outcome uint8

// The outcomes.
const (
	Unanswered Outcome = iota // no reply within the budget and its grace
	Done                      // it succeeded
	Refused                   // not executed, by the word of the answer
	Maybe                     // perhaps executed
)

// Op is one operation of a client.
type Op struct {
	ID       int
	Node     int // where it was sent
	Key      string
	Verb     request.Verb
	Change   request.Change
	Begin    Moment
	End      Moment // of the answer
	Deadline Moment // the answer is due
	Until    Moment // the node that its client asked works on it so long; 0: as Deadline
	Outcome  Outcome
	Err      string
	Knows    []int // operations whose values its context showed (PutSeen, DeleteSeen)
	ExpireAt int64 // Unix milliseconds of the value it shows or writes; 0: never
	Wall     int64 // Unix milliseconds by a right clock when it ended
	Holders  int   // nodes that held the write when it was answered
	Need     int   // how many should
	Calm     bool  // nothing was wrong with the cluster: it must succeed
	Skewed   bool  // its node's clock was beyond the drift bound, or put there by most of the others
}

// Mint is one write as its coordinator stored it.
type Mint struct {
	Ops      []int // one, or a round's
	Key      string
	Node     int
	At       Moment
	Retry    bool         // of a Put that may overwrite nothing
	Base     causal.State // what the coordinator held, with what it had read
	Delta    causal.State
	QuorumAt Moment // W primaries had acknowledged; 0: never
	Dented   bool   // a disk that held it lost it
	Lost     bool   // no disk held it any more
}

// Read is one quorum read.
type Read struct {
	Key       string
	Node      int
	Begin     Moment
	End       Moment
	Primaries bool  // answered by R primaries
	Modify    bool  // by a read-modify-write, which needs them
	Wall      int64 // Unix milliseconds by a right clock when it began; 0: not known
	State     causal.State
}

// Replica is what one primary holds of one key at the end.
type Replica struct {
	Node  int
	Key   string
	State causal.State
}

// Root is what one primary's hash tree of one partition says at the end.
type Root struct {
	Node      int
	Partition int
	Complete  bool
	Sum       uint64
}

// History is what a run recorded.
type History struct {
	Ops   []*Op
	Mints []*Mint
	Reads []*Read
	// Confirmations are those that let another node forget something.
	Confirmations []Confirmation
	Quiet         []Replica // after the hints had drained, before anything else was repaired; empty: they need not suffice
	Final         []Replica
	Roots         []Root
	Hints         int   // left at the end for nodes that live
	Wall          int64 // Unix milliseconds at the end
	Drift         int64 // milliseconds that clocks may be off
	// Lawless: a clock was beyond the drift bound, so that something may have expired early.
	Lawless bool
}

// Confirmation is what a node said of a state that another handed to it.
type Confirmation struct {
	Node    int
	Key     string
	Durable bool // it would have survived a power cut at that moment
}

// Violation is one broken invariant.
type Violation struct {
	Invariant int // of DESIGN.md section 10
	Name      string
	Text      string
}

// String names the invariant and what breaks it.
// String returns the violation as one line.
func (v Violation) String() string {
	return fmt.Sprintf("invariant %d (%s): %s", v.Invariant, v.Name, v.Text)
}

// A Checker looks for violations of one invariant.
type Checker struct {
	Invariant int
	Name      string
	find      func(h *History, index *index, report func(format string, args ...any))
}

// Checkers returns all, by invariant.
func Checkers() []Checker {
	return []Checker{
		{1, "acknowledged", acknowledged},
		{1, "confirmed", confirmed},
		{2, "gone is gone", goneIsGone},
		{3, "concurrent", concurrent},
		{4, "converged", converged},
		{4, "roots", roots},
		{4, "hinted", hinted},
		{5, "dots", dots},
		{6, "quorum", quorum},
		{7, "answered", answered},
		{7, "true", truthful},
		{7, "available", available},
		{8, "expired", expired},
	}
}

// All returns the violations of every invariant.
func All(h *History) []Violation { return find(h, Checkers()) }

// Only returns the violations that the checkers of these names find, for histories that lack what the others need. A name that
// no checker has panics.
func Only(h *History, names ...string) []Violation {
	var chosen []Checker
	for _, name := range names {
		i := slices.IndexFunc(Checkers(), func(c Checker) bool { return c.Name == name })
		if i < 0 {
			panic("check: no checker is called " + name)
		}
		chosen = append(chosen, Checkers()[i])
	}
	return find(h, chosen)
}

func find(h *History, checkers []Checker) []Violation {
	ix := newIndex(h)
	var found []Violation
	for _, c := range checkers {
		c.find(h, ix, func(format string, args ...any) {
			found = append(found, Violation{c.Invariant, c.Name, fmt.Sprintf(format, args...)})
		})
	}
	return found
}

// index finds mints by what they wrote.
type index struct {
	byDot map[dotOf]*Mint
	byKey map[string][]*Mint
}

// A dot is unique within its key.
type dotOf struct {
	key string
	dot causal.Dot
}

func newIndex(h *History) *index {
	ix := &index{byDot: make(map[dotOf]*Mint), byKey: make(map[string][]*Mint)}
	for _, m := range h.Mints {
		ix.byKey[m.Key] = append(ix.byKey[m.Key], m)
		for _, s := range m.Delta.Siblings {
			if _, known := ix.byDot[dotOf{m.Key, s.Dot}]; !known {
				ix.byDot[dotOf{m.Key, s.Dot}] = m
			}
		}
	}
	return ix
}

// Holds reports whether the state has met the write: its values are there or overwritten, and what it overwrote is gone.
// Stamps do not count: each replica forgets them in its own time.
func Holds(s, delta causal.State) bool {
	if !s.Seen.Covers(delta.Seen) {
		return false
	}
	for _, x := range s.Siblings {
		if delta.Seen.Has(x.Dot) && !has(delta, x.Dot) {
			return false
		}
	}
	return true
}

// bears reports whether the state has a sibling with the stamp.
func bears(s causal.State, t causal.Stamp) bool {
	for _, x := range s.Siblings {
		if x.Stamp == t {
			return true
		}
	}
	return false
}

// has reports whether the state has the sibling.
func has(s causal.State, d causal.Dot) bool {
	for _, x := range s.Siblings {
		if x.Dot == d {
			return true
		}
	}
	return false
}

// Replaces reports whether the write replaces the sibling where they meet: it covers its dot, or remembers its stamp.
func (m *Mint) Replaces(x causal.Sibling) bool {
	return m.Delta.Seen.Has(x.Dot) && !has(m.Delta, x.Dot) || m.Delta.Seen.HasStamp(x.Stamp)
}

// mustReplace reports whether it does so for ever. A new expiry keeps its value's stamp, and a stamp is forgotten once
// its own operation is settled: of a rewrite only the dot counts.
func (ix *index) mustReplace(h *History, m *Mint, x causal.Sibling) bool {
	if m.Delta.Seen.Has(x.Dot) {
		return !has(m.Delta, x.Dot)
	}
	from := ix.byDot[dotOf{m.Key, x.Dot}]
	return m.Delta.Seen.HasStamp(x.Stamp) && from != nil && h.op(from.Ops[0]).Verb != request.Modify
}

func (h *History) op(id int) *Op { return h.Ops[id] }

// done reports whether the write of any of its operations was acknowledged.
func (h *History) done(m *Mint) bool {
	for _, id := range m.Ops {
		if h.op(id).Outcome == Done {
			return true
		}
	}
	return false
}

func shares(a, b *Mint) bool {
	for _, x := range a.Ops {
		for _, y := range b.Ops {
			if x == y {
				return true
			}
		}
	}
	return false
}
