package merkle

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Nodes of different builds compare their sums, so the hashes are part of the wire: they never change within a depth.
func TestHashesStayWhatTheyAre(t *testing.T) {
	for _, c := range []struct {
		space  uint8
		name   string
		digest uint64
		key    KeyHash
		row    uint64
	}{
		{0, "", 1, 0x3daa59499e4e3794, 0x9088c9a545e4811d},
		{0, "a", 1, 0xe70a98679afbf7ce, 0x916c0b3ff7c5a919},
		{1, "a", 1, 0xa3c6bb77837a928a, 0xe9cb1e1d24be5622},
		{0, "a", 0, 0xe70a98679afbf7ce, 0},
	} {
		key := HashKey(c.space, []byte(c.name))
		if key != c.key || key.row(c.digest) != c.row {
			t.Errorf("key %d/%q digest %d: %#x %#x", c.space, c.name, c.digest, uint64(key), key.row(c.digest))
		}
	}
}

// rows is the dumb form of a tree: key to digest.
type rows map[KeyHash]uint64

// write changes a random row of at most n, in the rows and in the tree. A tombstone is one digest in five.
func (r rows) write(rng *rand.Rand, n int, t *Tree) {
	key := HashKey(uint8(rng.IntN(3)), fmt.Appendf(nil, "key-%d", rng.IntN(n)))
	next := uint64(0)
	if rng.IntN(5) > 0 {
		next = rng.Uint64()
	}
	t.Change(key, r[key], next)
	r[key] = next
}

// tree counts the rows up anew.
func (r rows) tree(depth int) *Tree {
	t := New(depth)
	for key, digest := range r {
		t.Change(key, 0, digest)
	}
	return t
}

// differ returns the leaves of a depth whose rows are not the same, row by row.
func (r rows) differ(o rows, depth int) *Leaves {
	l := &Leaves{depth: depth}
	for _, pair := range [][2]rows{{r, o}, {o, r}} {
		for key, digest := range pair[0] {
			if pair[1][key] != digest {
				l.add(key.leaf(depth))
			}
		}
	}
	return l
}

// twins returns two sets of n writes, with d more to one of them.
func twins(rng *rand.Rand, n, d, depthA, depthB int) (a, b rows, ta, tb *Tree) {
	a, b, ta = rows{}, rows{}, New(depthA)
	for range n {
		a.write(rng, n+1, ta)
	}
	for key, digest := range a {
		b[key] = digest
	}
	tb = b.tree(depthB)
	for range d {
		b.write(rng, n+d+1, tb)
	}
	return a, b, ta, tb
}

func TestATreeThatFollowsEqualsATreeCountedAnew(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		_, b, _, tb := twins(rng, rng.IntN(500), rng.IntN(50), DepthMax, DepthMin+int(seed%2))
		if n := Compare(tb, b.tree(tb.Depth())).Len(); n != 0 {
			t.Fatalf("seed %d: %d leaves differ", seed, n)
		}
	}
}

func TestATombstoneIsAbsence(t *testing.T) {
	tree := New(DepthMax)
	key := HashKey(0, []byte("k"))
	tree.Change(key, 0, 7)
	if tree.Root() == 0 || tree.Filled() != 1 {
		t.Fatal("a row left no trace")
	}
	if tree.Change(key, 7, 0); tree.Root() != 0 || tree.Filled() != 0 {
		t.Fatal("a tombstone left a trace")
	}
}

// Of keys and keyspaces each changes the hash, and no two rows cancel.
func TestNeighboursDoNotCancel(t *testing.T) {
	seen := map[uint64]string{}
	for space := range uint8(16) {
		for i := range 500 {
			name := fmt.Sprintf("%d/%d", space, i)
			sum := HashKey(space, fmt.Appendf(nil, "%d", i)).row(1)
			if seen[sum] != "" || seen[-sum] != "" {
				t.Fatalf("%s and %s%s cancel", name, seen[sum], seen[-sum])
			}
			seen[sum] = name
		}
	}
}

func TestKeysSpreadOverTheLeaves(t *testing.T) {
	var load [1 << (FanBits * DepthMin)]int
	const each = 100
	for i := range each * len(load) {
		load[HashKey(uint8(i%16), fmt.Appendf(nil, "user:%d", i/16)).leaf(DepthMin)]++
	}
	for i, n := range load {
		if n < each/2 || n > each*2 {
			t.Errorf("leaf %d has %d keys of %d", i, n, each)
		}
	}
}

func TestAddAndSubtractAreInverse(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	_, _, ta, tb := twins(rng, 100, 10, DepthMin, DepthMax)
	sum := ta.Clone()
	sum.Add(tb)
	if Compare(sum, ta).Len() == 0 {
		t.Fatal("nothing was added")
	}
	if sum.Subtract(tb); Compare(sum, ta).Len() != 0 {
		t.Fatal("what was added was not taken away")
	}
	sum.Add(nil)
	if Compare(sum, ta).Len() != 0 || (*Tree)(nil).Clone() != nil || (*Tree)(nil).Root() != 0 {
		t.Fatal("a nil tree is empty")
	}
}

func BenchmarkChange(b *testing.B) {
	t, name := New(DepthMax), []byte("user:1234567")
	b.ReportAllocs()
	for i := range b.N {
		t.Change(HashKey(0, name), uint64(i), uint64(i+1))
	}
}

func BenchmarkRoot(b *testing.B) {
	t := New(DepthMax)
	for range b.N {
		t.Root()
	}
}
