package ring

import (
	"fmt"
	"slices"
	"sync/atomic"
)

// Layout says who holds each partition, and what is under way. It is immutable once made; whoever changes the ring makes a
// new one with the next version (Next).
type Layout struct {
	Version uint64 // 1 is the first
	Q, N    int    // partitions, and copies wanted of each
	// Members are the nodes that must acknowledge this layout before the next one may be made, sorted: every owner, and every
	// member that may become one. Proxies are none of them, for replicas refuse what comes under an outdated layout.
	Members []NodeID
	// Owners holds each partition's primaries, its coordinator (first place) first: N of them, or fewer when there are fewer
	// eligible nodes, never two of one node.
	Owners [][]NodeID
	// Since is, for each partition, the version in which its roles last changed. A request under an older layout is refused.
	Since []uint64
	// Changes are the partitions of which one owner is being exchanged, in order.
	Changes []Change

	bytes atomic.Pointer[[]byte] // what encoded returns; nil until it is asked
}

// revised returns a layout that says the same, to be changed before it is made known: its slices are l's own.
func (l *Layout) revised() *Layout {
	return &Layout{Version: l.Version, Q: l.Q, N: l.N, Members: l.Members, Owners: l.Owners, Since: l.Since, Changes: l.Changes}
}

// Phase is how far the change of a partition's owners has come.
type Phase uint8

// The phases. After Read the next owners are the owners, and there is no change any more. Reading and writing quorums of two
// layouts of which one follows the other always meet, because both phases write to a quorum of each set.
const (
	Both Phase = iota // written to the owners and to the next ones, read from the owners
	Read              // written to both, read from the next ones
	phaseEnd
)

// String returns the phase as a word.
func (ph Phase) String() string {
	switch ph {
	case Both:
		return "both"
	case Read:
		return "read"
	}
	return fmt.Sprintf("phase(%d)", uint8(ph))
}

// Change is the exchange of one owner of a partition: of Owners and Next each lacks at most one node of the other.
type Change struct {
	Partition Partition
	Phase     Phase
	Began     uint64   // the layout version in which its phase Both began
	Next      []NodeID // who owns it afterwards, coordinator first
}

// Primaries returns who answers partition p's reads and coordinates it, coordinator first: its owners, or the next ones once
// these hold everything. The slice is the layout's own: read it, do not change it. A partition beyond the last panics.
func (l *Layout) Primaries(p Partition) []NodeID {
	if int(p) >= len(l.Owners) {
		panic("ring: partition out of range")
	}
	if c, changing := l.Change(p); changing && c.Phase == Read {
		return c.Next
	}
	return l.Owners[p]
}

// Change returns the change of partition p's owners, and whether there is one.
func (l *Layout) Change(p Partition) (Change, bool) {
	i, found := slices.BinarySearchFunc(l.Changes, p, func(c Change, p Partition) int { return int(c.Partition) - int(p) })
	if !found {
		return Change{}, false
	}
	return l.Changes[i], true
}

// In returns the node that the change brings; zero when it brings none.
func (l *Layout) In(c Change) NodeID { return first(c.Next, l.Owners[c.Partition]) }

// Out returns the node that the change drops; zero when it drops none.
func (l *Layout) Out(c Change) NodeID { return first(l.Owners[c.Partition], c.Next) }

// first returns the first of a that is not in b; zero when there is none.
func first(a, b []NodeID) NodeID {
	for _, id := range a {
		if !slices.Contains(b, id) {
			return id
		}
	}
	return NodeID{}
}

// Has reports whether the node is one of those that acknowledge the layout. O(log nodes).
func (l *Layout) Has(id NodeID) bool {
	_, found := slices.BinarySearchFunc(l.Members, id, NodeID.Compare)
	return found
}

// Holds reports whether the node has a role for partition p: it is an owner, or becomes one.
func (l *Layout) Holds(id NodeID, p Partition) bool {
	if slices.Contains(l.Owners[p], id) {
		return true
	}
	c, changing := l.Change(p)
	return changing && slices.Contains(c.Next, id)
}

// Holders returns the nodes with a role for partition p, coordinator first.
func (l *Layout) Holders(p Partition) []NodeID {
	ids := slices.Clone(l.Primaries(p))
	add := func(more []NodeID) {
		for _, id := range more {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	add(l.Owners[p])
	if c, changing := l.Change(p); changing {
		add(c.Next)
	}
	return ids
}

// nodes returns the ids of all that have a role, sorted.
func (l *Layout) nodes() []NodeID {
	seen := map[NodeID]bool{}
	var ids []NodeID
	add := func(owners []NodeID) {
		for _, id := range owners {
			if !seen[id] {
				seen[id], ids = true, append(ids, id)
			}
		}
	}
	for _, owners := range l.Owners {
		add(owners)
	}
	for _, c := range l.Changes {
		add(c.Next)
	}
	slices.SortFunc(ids, NodeID.Compare)
	return ids
}

// check reports the first rule that the layout breaks, as an ErrCorrupt.
func (l *Layout) check(c Cluster) error {
	if l == nil || l.Q != c.Q || len(l.Owners) != l.Q || len(l.Since) != l.Q || l.N != c.N || l.Version == 0 {
		return fmt.Errorf("%w: layout of another cluster", ErrCorrupt)
	}
	for p, owners := range l.Owners {
		if err := l.checkOwners(owners); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
		if l.Since[p] == 0 || l.Since[p] > l.Version {
			return fmt.Errorf("%w: partition %d changed in layout %d", ErrCorrupt, p, l.Since[p])
		}
	}
	for i, change := range l.Changes {
		if i > 0 && l.Changes[i-1].Partition >= change.Partition {
			return fmt.Errorf("%w: changes out of order", ErrCorrupt)
		}
		if err := l.checkChange(change); err != nil {
			return err
		}
	}
	for i, id := range l.Members {
		if i > 0 && l.Members[i-1].Compare(id) >= 0 {
			return fmt.Errorf("%w: members of the layout out of order", ErrCorrupt)
		}
	}
	if slices.ContainsFunc(l.nodes(), func(id NodeID) bool { return !l.Has(id) }) {
		return fmt.Errorf("%w: an owner that is no member of the layout", ErrCorrupt)
	}
	return nil
}

func (l *Layout) checkOwners(owners []NodeID) error {
	if len(owners) == 0 || len(owners) > l.N {
		return fmt.Errorf("%w: %d owners", ErrCorrupt, len(owners))
	}
	for k, id := range owners {
		if slices.Contains(owners[:k], id) {
			return fmt.Errorf("%w: an owner twice", ErrCorrupt)
		}
	}
	return nil
}

func (l *Layout) checkChange(c Change) error {
	if int(c.Partition) >= l.Q || c.Phase >= phaseEnd || c.Began == 0 || c.Began > l.Version {
		return fmt.Errorf("%w: change of partition %d, phase %d, since %d", ErrCorrupt, c.Partition, c.Phase, c.Began)
	}
	if err := l.checkOwners(c.Next); err != nil {
		return fmt.Errorf("change of partition %d: %w", c.Partition, err)
	}
	out, in := lacking(l.Owners[c.Partition], c.Next), lacking(c.Next, l.Owners[c.Partition])
	if out > 1 || in > 1 || out+in == 0 {
		return fmt.Errorf("%w: partition %d exchanges %d owners for %d", ErrCorrupt, c.Partition, out, in)
	}
	return nil
}

// lacking counts the nodes of a that are not in b.
func lacking(a, b []NodeID) (n int) {
	for _, id := range a {
		if !slices.Contains(b, id) {
			n++
		}
	}
	return n
}
