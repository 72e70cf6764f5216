package ring

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Errors of ring documents.
var (
	// ErrForeign: two documents of different clusters met.
	ErrForeign = errors.New("ring: another cluster's")
	// ErrCorrupt: bytes that are no ring document, or one that breaks the rules or the caps.
	ErrCorrupt = errors.New("ring: damaged document")
	// ErrTooManyMembers: there are as many members, or records of them, as there may be.
	ErrTooManyMembers = errors.New("ring: too many members")
)

// Cluster is what was fixed when the cluster was founded.
type Cluster struct {
	ID      NodeID
	Name    string
	Secret  [32]byte // authenticates context tokens; never printed
	Q       int      // partitions
	N, R, W int      // the default keyspace's
}

// State is the whole ring document: what is gossiped and what is persisted. Treat it as immutable. The zero State is that of a
// node without a cluster.
type State struct {
	Cluster Cluster
	Members []Member // sorted by ID, no two of one
	Layout  *Layout  // nil only in the zero State
	Reports []Report // sorted by node, no two of one; what members say while the ring changes
}

// IsZero reports whether there is no cluster.
func (s State) IsZero() bool { return s.Cluster.ID.IsZero() }

// Member returns the record of a node, and whether there is one. O(log members).
func (s State) Member(id NodeID) (Member, bool) {
	i, found := slices.BinarySearchFunc(s.Members, id, func(m Member, id NodeID) int { return m.ID.Compare(id) })
	if !found {
		return Member{}, false
	}
	return s.Members[i], true
}

// MostOthers reports whether ids has more than half of the members other than self that are not removed: two such sets of one
// document have a node in common. False where there are no others. O(members * ids).
func (s State) MostOthers(self NodeID, ids []NodeID) bool {
	others, among := 0, 0
	for _, m := range s.Members {
		if m.ID != self && m.Status != Removed {
			others++
			if slices.Contains(ids, m.ID) {
				among++
			}
		}
	}
	return 2*among > others
}

// With returns the state with a member's record merged in.
func (s State) With(m Member) State {
	s.Members = mergeMembers(s.Members, []Member{m})
	return s
}

// Merge returns what two nodes know together. It is commutative, associative and idempotent, and the zero State changes nothing.
// Members and reports are merged one by one; of two layouts the higher version wins, ties are decided by a total order over
// contents.
// ErrForeign when the clusters differ; ErrTooManyMembers beyond RecordsMax.
func Merge(a, b State) (State, error) {
	if a.IsZero() {
		return b, nil
	}
	if b.IsZero() {
		return a, nil
	}
	if a.Cluster.ID != b.Cluster.ID {
		return State{}, fmt.Errorf("%w: %v (%q) and %v (%q)", ErrForeign, a.Cluster.ID, a.Cluster.Name, b.Cluster.ID, b.Cluster.Name)
	}
	merged := State{Cluster: mergeClusters(a.Cluster, b.Cluster), Members: mergeMembers(a.Members, b.Members), Layout: mergeLayouts(a.Layout, b.Layout), Reports: mergeReports(a.Reports, b.Reports)}
	if len(merged.Members) > RecordsMax {
		return State{}, fmt.Errorf("%w: %d records", ErrTooManyMembers, len(merged.Members))
	}
	return merged, nil
}

// mergeClusters keeps one of two records of the same cluster. They never differ, unless somebody tampered; then all agree still.
func mergeClusters(a, b Cluster) Cluster {
	if bytes.Compare(appendCluster(nil, a), appendCluster(nil, b)) < 0 {
		return b
	}
	return a
}

func mergeLayouts(a, b *Layout) *Layout {
	switch {
	case a == nil || b == nil:
		if a == nil {
			return b
		}
		return a
	case a == b || a.Version > b.Version:
		return a
	case b.Version > a.Version:
		return b
	case bytes.Compare(a.encoded(), b.encoded()) < 0:
		return b
	}
	return a
}

// Encode returns the document's bytes, the same for equal documents. It holds the cluster's secret: store it readable by its
// owner alone.
func (s State) Encode() []byte { return appendState([]byte{codecVersion}, s) }

// DecodeState reads what Encode wrote, and nothing else: any other bytes, a broken rule or an exceeded cap is ErrCorrupt. It keeps
// nothing of b and allocates a small multiple of it.
func DecodeState(b []byte) (State, error) {
	s, err := decode(b, (*reader).state)
	if err == nil {
		err = s.Check()
	}
	if err != nil {
		return State{}, err
	}
	return s, nil
}

// Check reports the first rule or cap that the document breaks, as an ErrCorrupt; nil when it may be encoded and sent.
func (s State) Check() error {
	if s.IsZero() {
		if s.Cluster != (Cluster{}) || len(s.Members) > 0 || len(s.Reports) > 0 || s.Layout != nil {
			return fmt.Errorf("%w: members without a cluster", ErrCorrupt)
		}
		return nil
	}
	if err := s.Cluster.check(); err != nil {
		return err
	}
	if len(s.Members) > RecordsMax {
		return fmt.Errorf("%w: %d records of members", ErrCorrupt, len(s.Members))
	}
	for i, m := range s.Members {
		if err := m.check(); err != nil {
			return err
		}
		if i > 0 && s.Members[i-1].ID.Compare(m.ID) >= 0 {
			return fmt.Errorf("%w: members out of order", ErrCorrupt)
		}
	}
	return s.checkLayout()
}

func (c Cluster) check() error {
	if !validPartitions(c.Q) || c.N < 1 || c.N > ReplicasMax || c.R < 1 || c.R > c.N || c.W < 1 || c.W > c.N {
		return fmt.Errorf("%w: cluster of Q=%d N=%d R=%d W=%d", ErrCorrupt, c.Q, c.N, c.R, c.W)
	}
	if len(c.Name) > NameBytesMax {
		return fmt.Errorf("%w: cluster name of %d bytes", ErrCorrupt, len(c.Name))
	}
	return nil
}

func (m Member) check() error {
	if m.ID.IsZero() || m.Status >= statusEnd {
		return fmt.Errorf("%w: member %v, %v", ErrCorrupt, m.ID, m.Status)
	}
	for _, s := range []string{m.Name, m.Zone, m.Version} {
		if len(s) > NameBytesMax {
			return fmt.Errorf("%w: name of %d bytes", ErrCorrupt, len(s))
		}
	}
	for _, s := range []string{m.RESP, m.Memcache, m.HTTP, m.Peer, m.Gossip} {
		if len(s) > AddressBytesMax {
			return fmt.Errorf("%w: address of %d bytes", ErrCorrupt, len(s))
		}
	}
	return nil
}

func (s State) checkLayout() error {
	if err := s.Layout.check(s.Cluster); err != nil {
		return err
	}
	for _, id := range s.Layout.Members {
		if _, known := s.Member(id); !known {
			return fmt.Errorf("%w: owner %v is no member", ErrCorrupt, id)
		}
	}
	return s.checkReports()
}
