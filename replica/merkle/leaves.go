package merkle

import "math/bits"

// Leaves is a set of leaves of trees of one depth. The zero value is empty.
type Leaves struct {
	depth int
	set   [LeavesMax / 64]uint64
}

// AllLeaves returns the set that holds every key.
func AllLeaves() *Leaves {
	l := &Leaves{depth: DepthMin}
	for i := range 1 << (FanBits * DepthMin) {
		l.add(i)
	}
	return l
}

func (l *Leaves) add(i int) { l.set[i/64] |= 1 << (i % 64) }

func (l *Leaves) has(i int) bool { return l.set[i/64]&(1<<(i%64)) != 0 }

// Has reports whether the key's leaf is in the set.
func (l *Leaves) Has(k KeyHash) bool { return l.depth > 0 && l.has(k.leaf(l.depth)) }

// Len returns how many leaves there are.
func (l *Leaves) Len() (n int) {
	for _, word := range l.set {
		n += bits.OnesCount64(word)
	}
	return n
}

// Intersect keeps what is in both sets. Sets of different depths have nothing in common.
func (l *Leaves) Intersect(o *Leaves) {
	if l.depth != o.depth {
		*l = Leaves{}
		return
	}
	for i := range l.set {
		l.set[i] &= o.set[i]
	}
}

// each calls f with the leaves in ascending order.
func (l *Leaves) each(f func(i int)) {
	for i, word := range l.set {
		for ; word != 0; word &= word - 1 {
			f(i*64 + bits.TrailingZeros64(word))
		}
	}
}

// Compare returns the leaves in which two trees differ that lie in one memory.
func Compare(a, b *Tree) *Leaves {
	l := &Leaves{depth: min(a.Depth(), b.Depth())}
	for i := range 1 << (FanBits * l.depth) {
		if a.Node(l.depth, i) != b.Node(l.depth, i) {
			l.add(i)
		}
	}
	return l
}
