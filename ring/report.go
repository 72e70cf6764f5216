package ring

import (
	"bytes"
	"fmt"
	"slices"
)

// Report is what a node says of itself while the ring changes. Only the node itself writes it, raising Seq.
type Report struct {
	Node NodeID
	Seq  uint64
	// Acked is the edition that the node has on disk and goes by: nothing that it began as a replica under an older layout is
	// in flight, and it refuses requests under layouts older than their partition's roles.
	Acked Edition
	// Held are the changes of which the node is the incoming owner and durably holds all that State.Sources named, taken after
	// they were named. Sorted by partition.
	Held []Held
	// Empty is said by a node that leaves: it keeps no hint and no data that others lack.
	Empty bool
}

// Held names a change by its partition and the layout version in which it began.
type Held struct {
	Partition Partition
	Began     uint64
}

// Report returns what a node said last, and whether it said anything. O(log members).
func (s State) Report(id NodeID) (Report, bool) {
	i, found := slices.BinarySearchFunc(s.Reports, id, func(r Report, id NodeID) int { return r.Node.Compare(id) })
	if !found {
		return Report{}, false
	}
	return s.Reports[i], true
}

// WithReport returns the state with a node's report merged in.
func (s State) WithReport(r Report) State {
	s.Reports = mergeReports(s.Reports, []Report{r})
	return s
}

// HearsayOnly reports whether next differs from s in nothing but what nodes other than self say of themselves. Self need not have that on
// disk before it goes by it: a document that follows from it is written whole before anybody hears of it, and what a crash
// takes away is said again. O(partitions) where the layouts are not one and the same.
func (s State) HearsayOnly(next State, self NodeID) bool {
	ours, _ := s.Report(self)
	now, _ := next.Report(self)
	return s.Cluster == next.Cluster && slices.Equal(s.Members, next.Members) && sameLayout(s.Layout, next.Layout) &&
		bytes.Equal(appendReport(nil, ours), appendReport(nil, now))
}

func sameLayout(a, b *Layout) bool {
	return a == b || a != nil && b != nil && bytes.Equal(a.encoded(), b.encoded())
}

// holds reports whether the node said that it holds a change.
func (r Report) holds(c Change) bool { return slices.Contains(r.Held, Held{c.Partition, c.Began}) }

// mergeReports merges two lists sorted by node: of two reports of one node the later stays.
func mergeReports(a, b []Report) []Report {
	merged := make([]Report, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch c := a[0].Node.Compare(b[0].Node); {
		case c < 0:
			merged, a = append(merged, a[0]), a[1:]
		case c > 0:
			merged, b = append(merged, b[0]), b[1:]
		default:
			merged, a, b = append(merged, laterReport(a[0], b[0])), a[1:], b[1:]
		}
	}
	return append(append(merged, a...), b...)
}

// laterReport decides ties by contents: they come only from a node that was restored from a copy, and then all must agree still.
func laterReport(a, b Report) Report {
	if a.Seq > b.Seq || a.Seq == b.Seq && bytes.Compare(appendReport(nil, a), appendReport(nil, b)) >= 0 {
		return a
	}
	return b
}

func (s State) checkReports() error {
	for i, r := range s.Reports {
		if i > 0 && s.Reports[i-1].Node.Compare(r.Node) >= 0 {
			return fmt.Errorf("%w: reports out of order", ErrCorrupt)
		}
		if _, known := s.Member(r.Node); !known {
			return fmt.Errorf("%w: a report of %v, which is no member", ErrCorrupt, r.Node)
		}
		if len(r.Held) > ChangesMax {
			return fmt.Errorf("%w: %d changes held", ErrCorrupt, len(r.Held))
		}
		for k, h := range r.Held {
			if int(h.Partition) >= s.Cluster.Q || k > 0 && r.Held[k-1].Partition >= h.Partition {
				return fmt.Errorf("%w: held partitions out of order", ErrCorrupt)
			}
		}
	}
	return nil
}
