package ring

// Layout says who should hold each partition. It is immutable once made; whoever changes the ring makes a new one with a
// higher version.
type Layout struct {
	Version uint64 // 1 is the first
	Q, N    int    // partitions, and copies wanted of each
	// Owners holds each partition's primaries, its coordinator (first place) first: N of them, or fewer when there are fewer
	// eligible nodes, never two of one node.
	Owners [][]NodeID
}

// Primaries returns the owners of partition p, coordinator first. The slice is the layout's own: read it, do not change it. A
// partition beyond the last panics.
func (l *Layout) Primaries(p Partition) []NodeID {
	if int(p) >= len(l.Owners) {
		panic("ring: partition out of range")
	}
	return l.Owners[p]
}
