package coordinator

import (
	"github.com/holdfastdb/holdfast/ring"
)

// View is what a node knows of the ring at one moment: the layout, who is in reach, and the quorum numbers. It is
// immutable; a change of any of these makes a new one.
type View struct {
	Self    ring.NodeID
	Version uint64 // of the layout; 0: there is no layout yet
	Q       int
	R, W    int
	places  []Place
}

// Place is the preference list of one partition, split by what its members are to the partition. Shared; read only.
type Place struct {
	Primaries []ring.NodeID // first place first
	Up        []bool        // whether each primary is in reach
	Fallbacks []ring.NodeID // other eligible nodes in reach, in the order in which they stand in
}

// NewView computes the places of every partition. up must hold for self while it serves. members are needed for the
// fallbacks. O(Q * nodes). Source: Dynamo (SOSP 2007) 4.3, 4.6.
func NewView(self ring.NodeID, s ring.State, up func(ring.NodeID) bool) *View {
	return NewViewWithSuspects(self, s, up, func(ring.NodeID) bool { return false })
}

// NewViewWithSuspects is NewView where some nodes are suspect: requests to them have just failed, but nobody else
// believes them down. A partition that would lack primaries for a quorum without its suspects counts them in: to try a
// node that may only have stalled, and answer MAYBE at worst, is better than to refuse.
func NewViewWithSuspects(self ring.NodeID, s ring.State, up, suspect func(ring.NodeID) bool) *View {
	v := &View{Self: self, R: s.Cluster.R, W: s.Cluster.W}
	if s.Layout == nil {
		return v
	}
	v.Version, v.Q = s.Layout.Version, s.Layout.Q
	v.places = make([]Place, v.Q)
	for p := range v.places {
		pl := newPlace(s, ring.Partition(p), up)
		if pl.inReach() < min(max(v.R, v.W), len(pl.Primaries)) {
			pl.countIn(suspect)
		}
		v.places[p] = pl
	}
	return v
}

// inReach returns how many primaries are.
func (pl *Place) inReach() (n int) {
	for _, up := range pl.Up {
		if up {
			n++
		}
	}
	return n
}

func (pl *Place) countIn(suspect func(ring.NodeID) bool) {
	for i, id := range pl.Primaries {
		pl.Up[i] = pl.Up[i] || suspect(id)
	}
}

func newPlace(s ring.State, p ring.Partition, up func(ring.NodeID) bool) Place {
	pl := Place{Primaries: s.Layout.Primaries(p)}
	pl.Up = make([]bool, len(pl.Primaries))
	for i, id := range pl.Primaries {
		pl.Up[i] = up(id)
	}
	for _, id := range s.Layout.Fallbacks(p, s.Members) {
		if up(id) {
			pl.Fallbacks = append(pl.Fallbacks, id)
		}
	}
	return pl
}

// up reports whether a member of the place is in reach.
func (pl *Place) up(id ring.NodeID) bool {
	for i, p := range pl.Primaries {
		if p == id {
			return pl.Up[i]
		}
	}
	return pl.isFallback(id)
}

// Place returns the preference list of a key's partition.
func (v *View) Place(p ring.Partition) *Place { return &v.places[p] }

// Formed reports whether there is a layout: before that every operation answers NOQUORUM.
func (v *View) Formed() bool { return v.Version != 0 }

// Partition returns the partition of a key.
func (v *View) Partition(key []byte) ring.Partition { return ring.PartitionOf(ring.Slot(key), v.Q) }

// read returns R, write W: what the operation asks for or else the keyspace's own, at most the number of primaries.
func (v *View) read(pl *Place, asked uint8) int  { return quorum(v.R, asked, len(pl.Primaries)) }
func (v *View) write(pl *Place, asked uint8) int { return quorum(v.W, asked, len(pl.Primaries)) }

func quorum(own int, asked uint8, n int) int {
	if asked != 0 {
		own = int(asked)
	}
	return max(1, min(own, n))
}

// Coordinators lists the nodes in reach that may coordinate a write of the place, best first: the primaries, then the
// fallbacks.
func (pl *Place) Coordinators() []ring.NodeID {
	out := make([]ring.NodeID, 0, len(pl.Primaries)+len(pl.Fallbacks))
	for i, id := range pl.Primaries {
		if pl.Up[i] {
			out = append(out, id)
		}
	}
	return append(out, pl.Fallbacks...)
}

// coordinator returns the nth of Coordinators without building the list.
func (pl *Place) coordinator(nth int) (id ring.NodeID, ok bool) {
	for i, id := range pl.Primaries {
		if !pl.Up[i] {
			continue
		}
		if nth == 0 {
			return id, true
		}
		nth--
	}
	if nth < len(pl.Fallbacks) {
		return pl.Fallbacks[nth], true
	}
	return ring.NodeID{}, false
}

// IsPrimary reports whether the node is a primary of the place.
func (pl *Place) IsPrimary(id ring.NodeID) bool {
	for _, p := range pl.Primaries {
		if p == id {
			return true
		}
	}
	return false
}

// isFallback reports whether the node may stand in for a primary of the place.
func (pl *Place) isFallback(id ring.NodeID) bool {
	for _, f := range pl.Fallbacks {
		if f == id {
			return true
		}
	}
	return false
}
