package merkle

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// KeyHash is where a key lies in the tree: its first bits choose the leaf.
type KeyHash uint64

// HashKey returns the hash of a key of a keyspace.
func HashKey(space uint8, name []byte) KeyHash {
	return KeyHash(xxhash.Sum64(name)*mix + uint64(space)).spread()
}

// mix is odd, so that multiplying by it loses nothing; it is the golden ratio's.
const mix = 0x9e3779b97f4a7c15

// spread makes every bit depend on every other (the finalizer of MurmurHash3): keyspaces must not be neighbours.
func (k KeyHash) spread() KeyHash {
	k ^= k >> 33
	k *= 0xff51afd7ed558ccd
	k ^= k >> 33
	k *= 0xc4ceb9fe1a85ec53
	return k ^ k>>33
}

// leaf returns the node at a level below the root that the key falls into.
func (k KeyHash) leaf(level int) int { return int(k >> (64 - FanBits*level)) }

// row returns what a row contributes: nothing for digest 0, which is a tombstone's and absence's.
func (k KeyHash) row(digest uint64) uint64 {
	if digest == 0 {
		return 0
	}
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], uint64(k))
	binary.LittleEndian.PutUint64(b[8:], digest)
	return xxhash.Sum64(b[:])
}

// Tree is the hash tree of one partition. Safe for concurrent use; whoever reads it while rows change sees each change
// or does not. A nil Tree is that of a partition without rows.
type Tree struct {
	depth  int
	leaves []atomic.Uint64
}

// New returns an empty tree of DepthMin to DepthMax levels below the root; another depth panics.
func New(depth int) *Tree {
	if depth < DepthMin || depth > DepthMax {
		panic("merkle: depth out of range")
	}
	return &Tree{depth, make([]atomic.Uint64, 1<<(FanBits*depth))}
}

// Depth returns how many levels the tree has below its root.
func (t *Tree) Depth() int {
	if t == nil {
		return DepthMax
	}
	return t.depth
}

// Change takes a row's old digest out of the tree and puts its new one in; 0 stands for a tombstone or no row. Two
// hashes and one addition, no lock, no allocation.
func (t *Tree) Change(key KeyHash, old, next uint64) {
	if old == next {
		return
	}
	t.leaves[key.leaf(t.depth)].Add(key.row(next) - key.row(old))
}

// Add adds another tree, leaf by leaf; of a deeper one, the sums of leaves. A shallower one panics.
func (t *Tree) Add(o *Tree) {
	if o == nil {
		return
	}
	for i := range t.leaves {
		t.leaves[i].Add(o.Node(t.depth, i))
	}
}

// Subtract is the inverse of Add.
func (t *Tree) Subtract(o *Tree) {
	if o == nil {
		return
	}
	for i := range t.leaves {
		t.leaves[i].Add(-o.Node(t.depth, i))
	}
}

// Clone returns a copy.
func (t *Tree) Clone() *Tree {
	if t == nil {
		return nil
	}
	c := New(t.depth)
	c.Add(t)
	return c
}

// Root returns the sum of all rows. Some microseconds.
func (t *Tree) Root() uint64 { return t.Node(0, 0) }

// Node returns the sum of a node: the root is node 0 of level 0. A level below the tree's leaves panics.
func (t *Tree) Node(level, i int) (sum uint64) {
	if t == nil {
		return 0
	}
	if level > t.depth {
		panic("merkle: no such level")
	}
	width := 1 << (FanBits * (t.depth - level))
	for j := i * width; j < (i+1)*width; j++ {
		sum += t.leaves[j].Load()
	}
	return sum
}

// children returns the sums of a node's children.
func (t *Tree) children(level, i int) (sums [Fan]uint64) {
	for j := range sums {
		sums[j] = t.Node(level+1, i*Fan+j)
	}
	return sums
}

// Filled returns how many leaves are not zero.
func (t *Tree) Filled() (n int) {
	if t == nil {
		return 0
	}
	for i := range t.leaves {
		if t.leaves[i].Load() != 0 {
			n++
		}
	}
	return n
}
