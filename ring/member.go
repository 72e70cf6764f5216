package ring

import (
	"bytes"
	"fmt"
	"slices"
)

// Status is where a member stands in its life. It only grows: a removed id never comes back.
type Status uint8

// The statuses.
const (
	Joining Status = iota // known, on its way to its share
	Active                // owns its share
	Leaving               // handing its share to others, by its operator's word
	Removed               // fenced for ever; the record is kept so that nobody mistakes a returning disk for a member
	statusEnd
)

// String returns the word of DESIGN.md, as `holdfast ring` prints it.
func (s Status) String() string {
	switch s {
	case Joining:
		return "joining"
	case Active:
		return "active"
	case Leaving:
		return "leaving"
	case Removed:
		return "removed"
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// MarshalText returns what String returns, and an error for a number that is no status.
func (s Status) MarshalText() ([]byte, error) {
	if s >= statusEnd {
		return nil, fmt.Errorf("ring: no such status: %d", uint8(s))
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads what MarshalText wrote.
func (s *Status) UnmarshalText(text []byte) error {
	for known := range statusEnd {
		if known.String() == string(text) {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("ring: no such status: %q", text)
}

// Member is what every node knows of a node. The node itself raises Epoch whenever it changes its own record; an operator's
// command changes Status and raises Epoch on the node that was asked.
type Member struct {
	ID   NodeID
	Name string // unique by convention; people use it, programs use ID

	// Advertised addresses, host:port; empty when the node does not listen there.

	RESP, Memcache, HTTP, Peer, Gossip string

	Zone    string // copies of a partition go to distinct zones while zones suffice; all empty: one zone
	Weight  int    // share of copies relative to others; 0 or less counts as 1
	Status  Status
	Version string // of the software
	Epoch   uint64 // grows with every change of the record
}

// Eligible reports whether the member may own partitions: it joins or has joined.
func (m Member) Eligible() bool { return m.Status <= Active }

// struckOff returns the record of the member once it is removed: what is kept for ever, lest its disk pass for a member's, with what
// one who comes in its place inherits.
func (m Member) struckOff() Member {
	return Member{ID: m.ID, Name: m.Name, Zone: m.Zone, Weight: m.Weight, Status: Removed, Epoch: m.Epoch + 1}
}

// MergeMember returns what is known of a member from two records of the same id. The higher epoch wins, ties are decided by a
// total order over contents; but the status is the later of both, whatever the epochs, lest an operator's word be lost when the node
// changes its record at the same time. It is commutative, associative and idempotent. Records of different ids panic.
func MergeMember(a, b Member) Member {
	if a.ID != b.ID {
		panic("ring: merge of two members' records")
	}
	won := a
	if compareRecords(a, b) < 0 {
		won = b
	}
	won.Status = max(a.Status, b.Status)
	return won
}

// compareRecords orders by epoch, then by the other contents apart from the status, which is merged by itself: it must not decide which
// of two records' other contents survive, or merging would depend on order.
func compareRecords(a, b Member) int {
	if a.Epoch != b.Epoch {
		if a.Epoch < b.Epoch {
			return -1
		}
		return 1
	}
	a.Status, b.Status = 0, 0
	return bytes.Compare(appendMember(nil, a), appendMember(nil, b))
}

// mergeMembers merges two lists sorted by id.
func mergeMembers(a, b []Member) []Member {
	merged := make([]Member, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch c := a[0].ID.Compare(b[0].ID); {
		case c < 0:
			merged, a = append(merged, a[0]), a[1:]
		case c > 0:
			merged, b = append(merged, b[0]), b[1:]
		default:
			merged, a, b = append(merged, MergeMember(a[0], b[0])), a[1:], b[1:]
		}
	}
	return append(append(merged, a...), b...)
}

// sortMembers sorts a list by id, in place.
func sortMembers(members []Member) {
	slices.SortFunc(members, func(a, b Member) int { return a.ID.Compare(b.ID) })
}
