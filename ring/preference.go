package ring

import (
	"cmp"
	"slices"
)

// Target is one node of a preference list.
type Target struct {
	Node NodeID
	For  NodeID // zero: Node is a primary; else Node is a fallback that stands in for this primary
}

// PreferenceList returns the nodes to ask for a partition: the first n primaries in ring order, each that is not up replaced by
// the next fallback that is. Never two of one node; shorter than n when fewer are up or fewer primaries exist. O(nodes).
// n < 1 panics. Source: Dynamo (SOSP 2007) 4.3 and 4.6; riak_core_apl.
func PreferenceList(primaries, fallbacks []NodeID, n int, up func(NodeID) bool) []Target {
	if n < 1 {
		panic("ring: preference list of no nodes")
	}
	primaries = primaries[:min(n, len(primaries))]
	targets := make([]Target, 0, len(primaries))
	for _, primary := range primaries {
		if up(primary) {
			targets = append(targets, Target{Node: primary})
			continue
		}
		for len(fallbacks) > 0 {
			next := fallbacks[0]
			fallbacks = fallbacks[1:]
			if up(next) && !slices.Contains(primaries, next) {
				targets = append(targets, Target{Node: next, For: primary})
				break
			}
		}
	}
	return targets
}

// Fallbacks returns the eligible members of the layout that neither own partition p nor are about to, in the order in which they stand in for its primaries:
// those in a zone that holds a primary first, because what they keep must travel back there, then the others. Each partition
// orders them by hash, so that the load of a node that is down falls on all others alike, and each order survives other nodes'
// coming and going. O(members log members).
func (l *Layout) Fallbacks(p Partition, members []Member) []NodeID {
	primaries := l.Primaries(p)
	near := make([]string, 0, ReplicasMax) // the primaries' zones
	others := make([]*Member, 0, len(members))
	for i := range members {
		m := &members[i]
		if slices.Contains(primaries, m.ID) {
			near = append(near, m.Zone)
		} else if m.Eligible() && l.Has(m.ID) && !l.Holds(m.ID, p) {
			others = append(others, m)
		}
	}
	slices.SortFunc(others, func(a, b *Member) int {
		return cmp.Or(compareBool(slices.Contains(near, b.Zone), slices.Contains(near, a.Zone)), byRank(p, a.ID, b.ID))
	})
	ids := make([]NodeID, len(others))
	for i, m := range others {
		ids[i] = m.ID
	}
	return ids
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	if a == b {
		return 0
	}
	if b {
		return -1
	}
	return 1
}
