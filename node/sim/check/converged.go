package check

import (
	"slices"

	"github.com/holdfastdb/holdfast/request"
)

// converged: at the end all primaries of a key hold the same, and no hint is left.
func converged(h *History, _ *index, report func(string, ...any)) {
	same(h.Final, "at the end", report)
	if h.Hints > 0 {
		report("%d hints are left for nodes that live", h.Hints)
	}
}

// roots: at the end all primaries' hash trees of a partition say the same, so that an exchange would find nothing.
func roots(h *History, _ *index, report func(string, ...any)) {
	first := make(map[int]Root)
	for _, r := range h.Roots {
		f, known := first[r.Partition]
		switch {
		case !r.Complete:
			report("partition %d: the tree of node %d is not complete", r.Partition, r.Node)
		case !known:
			first[r.Partition] = r
		case f.Sum != r.Sum:
			report("partition %d: the trees of nodes %d and %d differ", r.Partition, f.Node, r.Node)
		}
	}
}

// hinted: when no coordinator crashed, what is hinted suffices: every primary that missed a write is owed it. Keys with a
// new expiry are left out: it keeps its value's stamp, so that it falls with the value where that stamp is remembered and
// stays where it was forgotten already, which hints do not tell of.
func hinted(h *History, ix *index, report func(string, ...any)) {
	quiet := slices.DeleteFunc(slices.Clone(h.Quiet), func(r Replica) bool {
		return slices.ContainsFunc(ix.byKey[r.Key], func(m *Mint) bool { return h.rewrites(m) })
	})
	same(quiet, "by hints alone", report)
}

// rewrites reports whether the write gave values a new expiry.
func (h *History) rewrites(m *Mint) bool {
	return slices.ContainsFunc(m.Ops, func(id int) bool { return h.op(id).Change == request.ChangeExpire })
}

func same(all []Replica, when string, report func(string, ...any)) {
	first := make(map[string]Replica)
	for _, r := range all {
		f, known := first[r.Key]
		switch {
		case !known:
			first[r.Key] = r
		case len(f.State.Siblings)+len(r.State.Siblings) == 0: // a tombstone is absence
		case !f.State.Covers(r.State) || !r.State.Covers(f.State) || f.State.Digest() != r.State.Digest():
			report("%s: nodes %d and %d differ %s: %v and %v", r.Key, f.Node, r.Node, when, values(f), values(r))
		}
	}
}

func values(r Replica) []string {
	out := []string{}
	for _, x := range r.State.Siblings {
		out = append(out, string(x.Value))
	}
	return out
}
