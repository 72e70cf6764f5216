package ring

import (
	"crypto/sha256"
	"fmt"
	"slices"
)

// An Edition names what a member acknowledges: one layout, and who is known to be removed. Two editions are equal only if both
// are. The zero Edition is nobody's.
//
// The version alone would not do, for two nodes may make the next layout at the same time. Nor would the layout: whoever
// goes on without a removed node must know that nobody listens to that node any more.
type Edition struct {
	Version uint64
	Sum     [16]byte
}

// String returns the version and the beginning of the sum.
func (e Edition) String() string { return fmt.Sprintf("%d/%x", e.Version, e.Sum[:3]) }

// Edition returns what members are to acknowledge now. O(partitions + members).
func (s State) Edition() Edition {
	if s.IsZero() {
		return Edition{}
	}
	h := sha256.New()
	h.Write(s.Layout.encoded())
	for _, m := range s.Members {
		if m.Status == Removed {
			h.Write(m.ID[:])
		}
	}
	return Edition{s.Layout.Version, [16]byte(h.Sum(nil))}
}

// Removed reports whether a node is fenced for ever.
func (s State) Removed(id NodeID) bool {
	m, known := s.Member(id)
	return known && m.Status == Removed
}

// Unacknowledged returns the members of the layout, removed ones apart, that have not acknowledged the edition, in the order of
// their ids. While there are any nothing changes, so that no node is ever more than one layout behind another.
func (s State) Unacknowledged() (ids []NodeID) {
	if s.IsZero() {
		return nil
	}
	now := s.Edition()
	for _, id := range s.Layout.Members {
		if r, _ := s.Report(id); r.Acked != now && !s.Removed(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Sources returns the nodes from which the incoming owner of partition p must take all that they hold before it may report
// the change as held: the owners that are not removed. ok is false while there is no incoming owner, or while a member may still
// write under an older layout, past the incoming owner: what is taken then does not count.
func (s State) Sources(p Partition) (from []NodeID, began uint64, ok bool) {
	if s.IsZero() || int(p) >= s.Layout.Q {
		return nil, 0, false
	}
	c, changing := s.Layout.Change(p)
	if !changing || s.Layout.In(c).IsZero() || s.Layout.Version == c.Began && len(s.Unacknowledged()) > 0 {
		return nil, 0, false
	}
	from = slices.Clone(s.Layout.Owners[p])
	return slices.DeleteFunc(from, s.Removed), c.Began, true
}
