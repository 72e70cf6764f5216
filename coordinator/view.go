package coordinator

import (
	"slices"

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
	basis   basis
}

// A basis is all of a ring document that a view follows from, and who is in reach. Members are compared whole, their names and addresses
// too: what the node tells clients of the ring (CLUSTER SLOTS) is made with the view and lasts as long.
type basis struct {
	layout  *ring.Layout
	members []ring.Member
	up      []bool // of the members, in their order
	suspect []bool
	handing bool // somebody in reach has not acknowledged the layout yet
}

func basisOf(s ring.State, up, suspect func(ring.NodeID) bool) basis {
	b := basis{layout: s.Layout, members: s.Members, up: make([]bool, len(s.Members)), suspect: make([]bool, len(s.Members))}
	for i, m := range s.Members {
		b.up[i], b.suspect[i] = up(m.ID), suspect(m.ID)
	}
	b.handing = s.Layout != nil && s.Layout.Version > 1 && slices.ContainsFunc(s.Unacknowledged(), b.isUp)
	return b
}

func (b basis) isUp(id ring.NodeID) bool      { return b.says(b.up, id) }
func (b basis) isSuspect(id ring.NodeID) bool { return b.says(b.suspect, id) }

func (b basis) says(of []bool, id ring.NodeID) bool {
	i, known := slices.BinarySearchFunc(b.members, id, func(m ring.Member, id ring.NodeID) int { return m.ID.Compare(id) })
	return known && of[i]
}

func (b basis) equal(o basis) bool {
	return b.layout == o.layout && b.handing == o.handing && slices.Equal(b.up, o.up) && slices.Equal(b.suspect, o.suspect) &&
		slices.Equal(b.members, o.members)
}

// Holds reports whether the view, and all that is made of its document with it, would be the same if it were made anew: most new
// documents are news of reports alone, and a view made of each is work that clients feel.
func (v *View) Holds(s ring.State, up, suspect func(ring.NodeID) bool) bool {
	return v.R == s.Cluster.R && v.W == s.Cluster.W && v.basis.equal(basisOf(s, up, suspect))
}

// Place is the preference list of one partition, split by what its members are to the partition. Shared; read only.
//
// While an owner of the partition is being exchanged it is written to two sets of nodes, each of which needs its quorum, and
// read from one of them: Primaries are both sets together, those that are read first.
type Place struct {
	Primaries []ring.NodeID // first place first
	Up        []bool        // whether each primary is in reach
	Fallbacks []ring.NodeID // other eligible nodes in reach, in the order in which they stand in
	Since     uint64        // the layout in which the roles last changed

	// Handing is set while the partition's first place passes from one node to another: somebody in reach may still coordinate by the
	// layout before. Read-modify-writes wait for that, so that no two nodes carry them out at once.
	Handing bool

	changing bool // there is a second set
	unread   int  // how many primaries are only written to: one, the last, or none
	apart    int  // which of those that are read is not in the second set; -1: none

	suspect []bool // which primaries were counted in although they are suspect; nil: none
}

// readers returns how many of the primaries are read: the first ones.
func (pl *Place) readers() int { return len(pl.Primaries) - pl.unread }

// Readers returns the primaries that are read. The others hold nothing yet, or are on their way out.
func (pl *Place) Readers() []ring.NodeID { return pl.Primaries[:pl.readers()] }

// sets is a bit set: which of the two sets of nodes one belongs to.
type sets uint8

const (
	firstSet  sets = 1 << iota // those that are read
	secondSet                  // those that are or were owners on the other side of the change
	setCount  = 2
)

// of returns the sets of the primary at an index.
func (pl *Place) of(i int) (in sets) {
	if i < pl.readers() {
		in = firstSet
	}
	if pl.changing && i != pl.apart {
		in |= secondSet
	}
	return in
}

// ofNode returns the sets of a node; none for one that is no primary.
func (pl *Place) ofNode(id ring.NodeID) sets {
	for i, p := range pl.Primaries {
		if p == id {
			return pl.of(i)
		}
	}
	return 0
}

// sizes returns how many nodes each set has.
func (pl *Place) sizes() (n [setCount]int) {
	for i := range pl.Primaries {
		pl.of(i).count(&n)
	}
	return n
}

// count counts one node of the sets.
func (in sets) count(n *[setCount]int) {
	for k := range n {
		n[k] += int(in >> k & 1)
	}
}

// need returns how many of each set a quorum of w is.
func (pl *Place) need(w int) (n [setCount]int) {
	for k, size := range pl.sizes() {
		n[k] = min(w, size)
	}
	return n
}

// covers reports whether each count is at least what is needed.
func covers(have, need [setCount]int) bool { return have[0] >= need[0] && have[1] >= need[1] }

// NewView computes the places of every partition. up must hold for self while it serves. members are needed for the
// fallbacks. O(Q * nodes). Source: Dynamo (SOSP 2007) 4.3, 4.6.
func NewView(self ring.NodeID, s ring.State, up func(ring.NodeID) bool) *View {
	return NewViewWithSuspects(self, s, up, func(ring.NodeID) bool { return false })
}

// NewViewWithSuspects is NewView where some nodes are suspect: requests to them have just failed, but nobody else
// believes them down. A partition that would lack primaries for a quorum without its suspects counts them in: to try a
// node that may only have stalled, and answer MAYBE at worst, is better than to refuse.
func NewViewWithSuspects(self ring.NodeID, s ring.State, up, suspect func(ring.NodeID) bool) *View {
	v := &View{Self: self, R: s.Cluster.R, W: s.Cluster.W, basis: basisOf(s, up, suspect)}
	if s.Layout == nil {
		return v
	}
	v.Version, v.Q = s.Layout.Version, s.Layout.Q
	v.places = make([]Place, v.Q)
	for p := range v.places {
		pl := newPlace(s, ring.Partition(p), v.basis.isUp)
		if !covers(pl.inReach(), pl.need(max(v.R, v.W))) {
			pl.countIn(v.basis.isSuspect)
		}
		pl.Handing = v.basis.handing && passesOn(s.Layout, ring.Partition(p))
		v.places[p] = pl
	}
	return v
}

// passesOn reports whether the layout's last step may have given partition p another coordinator.
func passesOn(l *ring.Layout, p ring.Partition) bool {
	c, changing := l.Change(p)
	switch {
	case l.Since[p] < l.Version:
		return false
	case changing && c.Phase == ring.Both && c.Began == l.Version:
		return false
	}
	return !changing || c.Next[0] != l.Owners[p][0]
}

// inReach returns how many primaries of each set are.
func (pl *Place) inReach() (n [setCount]int) {
	for i, up := range pl.Up {
		if up {
			pl.of(i).count(&n)
		}
	}
	return n
}

func (pl *Place) countIn(suspect func(ring.NodeID) bool) {
	pl.suspect = make([]bool, len(pl.Primaries))
	for i, id := range pl.Primaries {
		pl.suspect[i] = !pl.Up[i] && suspect(id)
		pl.Up[i] = pl.Up[i] || pl.suspect[i]
	}
}

// doubtful returns the primary whose copy is the least likely to arrive: the first that is suspect, or else the last that is read.
func (pl *Place) doubtful() int {
	if i := slices.Index(pl.suspect, true); i >= 0 {
		return i
	}
	return pl.readers() - 1
}

func newPlace(s ring.State, p ring.Partition, up func(ring.NodeID) bool) Place {
	pl := Place{Primaries: s.Layout.Primaries(p), Since: s.Layout.Since[p], apart: -1}
	if c, changing := s.Layout.Change(p); changing {
		pl.exchange(s.Layout, c)
	}
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

// exchange makes the place one of two sets.
func (pl *Place) exchange(l *ring.Layout, c ring.Change) {
	comes, goes := l.In(c), l.Out(c)
	if c.Phase == ring.Read {
		comes, goes = goes, comes
	}
	pl.changing = true
	pl.apart = slices.Index(pl.Primaries, goes)
	if !comes.IsZero() {
		pl.Primaries, pl.unread = append(slices.Clone(pl.Primaries), comes), 1
	}
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

// Up reports whether a member was in reach when the view was made; false for whoever is no member.
func (v *View) Up(id ring.NodeID) bool { return v.basis.isUp(id) }

// Place returns the preference list of a key's partition.
func (v *View) Place(p ring.Partition) *Place { return &v.places[p] }

// Formed reports whether there is a layout: before that every operation answers NOQUORUM.
func (v *View) Formed() bool { return v.Version != 0 }

// Partition returns the partition of a key.
func (v *View) Partition(key []byte) ring.Partition { return ring.PartitionOf(ring.Slot(key), v.Q) }

// read returns R, write W: what the operation asks for or else the keyspace's own, at most the number of those that are read,
// or written.
func (v *View) read(pl *Place, asked uint8) int  { return quorum(v.R, asked, pl.readers()) }
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

// Reads reports whether the node is a primary that is read.
func (pl *Place) Reads(id ring.NodeID) bool { return pl.ofNode(id)&firstSet != 0 }

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
