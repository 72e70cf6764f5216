package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/replica/merkle"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// trees are the hash trees of the partitions that hold rows, all keyspaces of a partition in one. They change with every
// batch that changes rows, under the rows' locks, and live in memory: a clean shutdown saves them, and after an unclean
// stop they are counted up again beside the counts, while writes go on (recount). Until then nothing is said of them.
//
// Trees of full depth fill treesPortion of the store's memory at most; what comes later gets a small tree. Trees of different depths
// compare at the leaves of the smaller.
type trees struct {
	all      []atomic.Pointer[merkle.Tree]
	bytesMax int64
	mu       struct {
		sync.Mutex
		bytes int64
	}
}

func newTrees(partitions int, bytesMax int64) *trees {
	return &trees{all: make([]atomic.Pointer[merkle.Tree], partitions), bytesMax: bytesMax}
}

// treeDigest returns what a row's encoded state stands for in the tree: 0 for a tombstone.
func treeDigest(encoded []byte) (uint64, error) {
	hash, live, err := causal.HashEncoded(encoded)
	if err != nil {
		return 0, fmt.Errorf("replica: hash a row (%v): %w", err, request.ErrCorrupt)
	}
	if !live {
		return 0, nil
	}
	return hash, nil
}

// change puts a row's new digest in the place of its old one. It allocates only the first tree of a partition.
func (t *trees) change(p ring.Partition, key merkle.KeyHash, old, next uint64) {
	if old == next {
		return
	}
	tree := t.all[p].Load()
	if tree == nil {
		tree = t.plant(p)
	}
	tree.Change(key, old, next)
}

// plant returns the partition's tree, a new one if there is none.
func (t *trees) plant(p ring.Partition) *merkle.Tree {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tree := t.all[p].Load(); tree != nil {
		return tree
	}
	depth := merkle.DepthMax
	if t.mu.bytes+merkle.Bytes(depth) > t.bytesMax {
		depth = merkle.DepthMin
	}
	tree := merkle.New(depth)
	t.mu.bytes += merkle.Bytes(depth)
	t.all[p].Store(tree)
	return tree
}

// Tree returns the hash tree of a partition, nil when it holds no row yet, and whether it is complete. It goes on to change with the
// rows. While trees are not complete, after an unclean stop until all rows were read once, nothing follows from them.
func (s *Store) Tree(p ring.Partition) (tree *merkle.Tree, complete bool) {
	if int(p) >= len(s.trees.all) || !s.Counted() {
		return nil, false
	}
	return s.trees.all[p].Load(), true
}

// Root returns what a partition's tree is offered to other nodes as: depth 0 while it is not complete.
func (s *Store) Root(p ring.Partition) merkle.Root {
	tree, complete := s.Tree(p)
	if !complete {
		return merkle.Root{}
	}
	return merkle.Root{Depth: tree.Depth(), Sum: tree.Root()}
}

// treesFormat says that the saved trees are of this format and of these hashes.
const treesFormat = 1

func treeKey(p ring.Partition) []byte {
	return binary.BigEndian.AppendUint16([]byte{prefixTree}, uint16(p))
}

// saveTrees adds all trees to the batch. Nobody writes any more.
func (s *Store) saveTrees(b *pebble.Batch) error {
	all := []byte{prefixTree}
	err := b.DeleteRange(all, prefixEnd(all), nil)
	for p := range s.trees.all {
		if tree := s.trees.all[p].Load(); tree != nil {
			err = errors.Join(err, b.Set(treeKey(ring.Partition(p)), tree.Append(nil), nil))
		}
	}
	return errors.Join(err, b.Set(metaKey(metaTrees), []byte{treesFormat}, nil))
}

// loadTrees reads what saveTrees left; found is false when there is nothing, as in a directory of an older version.
func (s *Store) loadTrees() (found bool, err error) {
	mark, err := s.get(metaKey(metaTrees))
	if err != nil || len(mark) != 1 || mark[0] != treesFormat {
		return false, err
	}
	all := []byte{prefixTree}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: all, UpperBound: prefixEnd(all)})
	if err != nil {
		return false, readError(err)
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = s.loadTree(it)
	}
	return true, firstError(err, it.Close())
}

func (s *Store) loadTree(it *pebble.Iterator) error {
	b, err := it.ValueAndErr()
	if err != nil {
		return readError(err)
	}
	tree, err := merkle.DecodeTree(b)
	if err != nil || len(it.Key()) != 3 || int(binary.BigEndian.Uint16(it.Key()[1:])) >= len(s.trees.all) {
		return fmt.Errorf("replica: saved tree (%v): %w", err, request.ErrCorrupt)
	}
	s.trees.all[binary.BigEndian.Uint16(it.Key()[1:])].Store(tree)
	s.trees.mu.bytes += merkle.Bytes(tree.Depth())
	return nil
}
