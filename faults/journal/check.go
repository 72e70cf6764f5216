package journal

import (
	"cmp"
	"maps"
	"slices"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node/sim/check"
)

// The checkers of package check that a Journal asks, which name what they find.
const (
	Lost = "acknowledged" // what was acknowledged is missing, and nothing overwrote it
	Back = "gone is gone" // what an acknowledged write overwrote or deleted is shown
	Dots = "dots"         // a dot was minted twice
)

// Copy is what a node showed of a key after healing: the context of its GETV, and the values.
type Copy struct {
	Node, Key string
	Seen      causal.Context
	Values    []string
}

// Check returns what is wrong with the copies of keys in which no two writes have the same value: values that were
// acknowledged and are missing though nothing overwrote them, values that an acknowledged write overwrote or deleted, by its
// dot or as the twin of a retry, and dots that were minted twice. It does not matter what a quorum met: a write that had not
// met a value has not overwritten it. looked is how many values were found written down. Keys that no copy is of are left out.
func (j *Journal) Check(copies []Copy) (found []check.Violation, looked int) {
	byKey := map[string][]Copy{}
	for _, c := range copies {
		byKey[c.Key] = append(byKey[c.Key], c)
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		violations, n := j.checkKey(key, byKey[key])
		found, looked = append(found, violations...), looked+n
	}
	return found, looked
}

func (j *Journal) checkKey(key string, copies []Copy) (found []check.Violation, looked int) {
	var all, stored []*check.Mint
	for _, w := range j.sorted(key) {
		all = append(all, &w.Mint)
		if !w.Lost {
			stored = append(stored, &w.Mint)
		}
	}
	h := check.History{Ops: j.ops, Mints: all}
	for _, c := range copies {
		s := resolve(c, all)
		looked += len(s.Siblings)
		h.Final = append(h.Final, check.Replica{Node: 1 + slices.Index(j.nodes, c.Node), Key: key, State: s})
	}
	found = check.Only(&h, Lost, Back)
	return append(found, check.Only(&check.History{Ops: j.ops, Mints: stored}, Dots)...), looked
}

// Forked reports whether two writes of a key were decided by nodes neither of which had seen the other's.
func (j *Journal) Forked(key string) bool {
	writes := j.writes[key]
	for i, a := range writes {
		for _, b := range writes[:i] {
			if beside(a.Delta, b.Delta) {
				return true
			}
		}
	}
	return false
}

// beside reports whether each of two deltas brings siblings that the other has not seen.
func beside(a, b causal.State) bool {
	return !sees(a, b) && !sees(b, a)
}

func sees(a, b causal.State) bool {
	return !slices.ContainsFunc(b.Siblings, func(x causal.Sibling) bool { return !a.Seen.Has(x.Dot) })
}

// sorted returns the writes of a key in the order of their decisions.
func (j *Journal) sorted(key string) []*write {
	return slices.SortedStableFunc(slices.Values(j.writes[key]), func(a, b *write) int { return cmp.Compare(a.At, b.At) })
}

// resolve finds the siblings that a copy's values are. Values with the same bytes show as one: any of the twins may be meant.
func resolve(c Copy, writes []*check.Mint) causal.State {
	s := causal.State{Seen: c.Seen}
	for _, m := range writes {
		for _, x := range m.Delta.Siblings {
			known := slices.ContainsFunc(s.Siblings, func(y causal.Sibling) bool { return y.Dot == x.Dot })
			if !known && slices.Contains(c.Values, string(x.Value)) && c.Seen.Has(x.Dot) {
				s.Siblings = append(s.Siblings, x)
			}
		}
	}
	return s
}
