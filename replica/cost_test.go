package replica

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/replica/merkle"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

var exchangeRowsMax = flag.Int("exchange.rows", 10_000, "most rows of TestCostOfAnExchange; 1000000 makes the table of ARCHITECTURE.md")

// What one node sends and receives to find, and take from another, d rows of n that it lacks, in 256 partitions of rows with 100
// bytes of value. It must not grow with n but for the roots, and the rows that share a leaf with one that differs.
func TestCostOfAnExchange(t *testing.T) {
	const partitions = 256
	for n := 10_000; n <= *exchangeRowsMax; n *= 10 {
		here, there := costStore(t, partitions), costStore(t, partitions)
		fillCost(t, there, 0, n, partitions)
		fillCost(t, here, 0, n, partitions)
		awaitCounted(here)
		awaitCounted(there)
		added := n
		for _, d := range []int{0, 1, 10, 100, 1000} {
			if d > n/10 {
				break
			}
			fillCost(t, there, added, d, partitions)
			added += d
			tree, rows := exchangeCost(t, here, there, partitions)
			t.Logf("| %d | %d | %d | %d | %d |", n, d, tree, rows, tree+rows)
			if most := 6*1024 + d*(1600+64*max(n/1_000_000, 1)); tree+rows > most {
				t.Errorf("n %d, d %d: %d bytes, at most %d", n, d, tree+rows, most)
			}
		}
	}
}

func costStore(t *testing.T, partitions int) *Store {
	return openStore(t, Config{Dir: "node", FS: vfs.NewMem(), Partitions: partitions, Sync: SyncNone})
}

// fillCost writes n rows.
func fillCost(t *testing.T, s *Store, first, n, partitions int) {
	rng := rand.New(rand.NewPCG(uint64(first), 1))
	value := make([]byte, 100)
	for from := first; from < first+n; from += 1000 {
		var batch []*request.Write
		for i := from; i < min(from+1000, first+n); i++ {
			name := fmt.Appendf(nil, "user:%08d", i)
			actor := causal.Actor{Boot: rng.Uint64(), Seq: uint64(i + 1)}
			v := causal.Version{Stamp: causal.Stamp{Time: causal.TimeOf(int64(i+1), 0), Node: actor.Boot}, Value: value}
			batch = append(batch, &request.Write{Key: request.Key{Name: name, Partition: ring.PartitionOf(ring.Slot(name), partitions)},
				Delta: causal.State{}.Put(causal.Context{}, actor, []causal.Version{v}, never)})
		}
		write(t, s, batch...)
	}
}

// exchangeCost compares all roots in one frame, pulls what differs, and returns the bytes of trees and of rows.
func exchangeCost(t *testing.T, here, there *Store, partitions int) (trees, rows int) {
	var ps []uint16
	var roots []merkle.Root
	for p := range partitions {
		ps = append(ps, uint16(p))
		roots = append(roots, there.Root(ring.Partition(p)))
	}
	trees = len(merkle.AppendPartitions(nil, ps)) + len(merkle.AppendRoots(nil, roots))
	for p, root := range roots {
		local, _ := here.Tree(ring.Partition(p))
		remote, _ := there.Tree(ring.Partition(p))
		x := merkle.NewExchange(local, root)
		for q, more := x.Next(); more; q, more = x.Next() {
			a := remote.Answer(q)
			trees += len(q.Append(nil)) + len(a.Append(nil)) + 2
			if err := x.Hear(a); err != nil {
				t.Fatal(err)
			}
		}
		if leaves := x.Differing(); leaves.Len() > 0 {
			rows += pullOf(t, here, there, ring.Partition(p), partitions, leaves, false, ChunkBytesMax).bytes
		}
	}
	return trees, rows
}
