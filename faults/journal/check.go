package journal

import (
	"slices"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node/sim/check"
)

// The checkers of package check that a Journal asks, which name what they find.
const (
	Back = "gone is gone" // what an acknowledged write overwrote or deleted is shown
	Dots = "dots"         // a dot was minted twice
)

// Copy is what a node showed of a key after healing: the context of its GETV, and the values.
type Copy struct {
	Node, Key string
	Seen      causal.Context
	Values    []string
}

// Check returns what is wrong with the copies of keys in which no two writes have the same value: those that an
// acknowledged write overwrote or deleted, by its dot or as the twin of a retry, and dots that were minted twice. It does
// not matter what a quorum met: a write that had not met a value has not overwritten it.
//
// A process can be killed between storing and writing down: nothing is told of a value that stands in no journal, nor of what
// such a write overwrote, and Check cannot say that something is missing. looked is how many values it found written down.
func (j *Journal) Check(copies []Copy) (found []check.Violation, looked int) {
	h := j.history
	for _, c := range copies {
		s := j.resolve(c)
		looked += len(s.Siblings)
		h.Final = append(h.Final, check.Replica{Node: slices.Index(j.nodes, c.Node), Key: c.Key, State: s})
	}
	return check.Only(&h, Back, Dots), looked
}

// resolve finds the siblings that a copy's values are. Of twins either serves: what overwrote one overwrote the other.
func (j *Journal) resolve(c Copy) causal.State {
	s := causal.State{Seen: c.Seen}
	for _, v := range c.Values {
		for _, m := range j.byKey[c.Key] {
			i := slices.IndexFunc(m.Delta.Siblings, func(x causal.Sibling) bool { return string(x.Value) == v && c.Seen.Has(x.Dot) })
			if i >= 0 {
				s.Siblings = append(s.Siblings, m.Delta.Siblings[i])
				break
			}
		}
	}
	return s
}
