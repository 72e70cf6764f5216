package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/nodetest"
	"github.com/holdfastdb/holdfast/protocol"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// withoutAntiEntropy runs f on machines that compare themselves only when told.
func withoutAntiEntropy(t *testing.T, n int, f func(t *testing.T, c *nodetest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, n, func(_ int, cfg *node.Config) { cfg.AntiEntropy = -1 })
		defer c.Close()
		c.Start()
		f(t, c)
	})
}

// put writes rows beneath the coordinator, to each store that keep names for the row's number.
func put(t *testing.T, c *nodetest.Cluster, n int, value func(i, at int) string, keep func(i, at int) bool) {
	t.Helper()
	q := c.Machines[0].Ring().Partitions
	for from := 0; from < n; from += request.BatchMax {
		for at, m := range c.Machines {
			var batch []*request.Write
			for i := from; i < min(n, from+request.BatchMax); i++ {
				if keep(i, at) {
					batch = append(batch, rowNumber(i, q, value(i, at)))
				}
			}
			if err := m.Node.Store().Write(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// rowNumber is the i-th row as any node would send it.
func rowNumber(i, q int, value string) *request.Write {
	name := fmt.Appendf(nil, "row:%07d", i)
	stamp := causal.Stamp{Time: causal.TimeOf(int64(i+1), 0), Node: 7}
	delta := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 7, Seq: uint64(i + 1)}, []causal.Version{{Stamp: stamp, Value: []byte(value)}}, nil)
	return &request.Write{Key: request.Key{Name: name, Partition: ring.PartitionOf(ring.Slot(name), q)}, Delta: delta}
}

func sameValue(int, int) string { return strings.Repeat("v", 100) }

// agree reports whether all machines' roots of all partitions are the same; every machine must be a primary of all.
func agree(c *nodetest.Cluster) bool {
	for p := range ring.Partition(c.Machines[0].Ring().Partitions) {
		first := c.Machines[0].Node.Store().Root(p)
		for _, m := range c.Machines {
			if m.Node.Store().Root(p) != first || first.Depth == 0 {
				return false
			}
		}
	}
	return true
}

func repair(t *testing.T, m *nodetest.Machine, words ...any) (r protocol.Repair) {
	t.Helper()
	text := must(t, m, append([]any{"HOLDFAST", "REPAIR"}, words...)...).(string)
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Partitions {
		if len(p.Unfinished) > 0 {
			t.Errorf("partition %d: %v", p.Partition, p.Unfinished)
		}
	}
	return r
}

func rowsOf(r protocol.Repair) (rows, damaged, conflicts int) {
	for _, p := range r.Partitions {
		rows, damaged, conflicts = rows+p.Rows, damaged+p.Damaged, conflicts+p.Conflicts
	}
	return rows, damaged, conflicts
}

// metric reads one of a machine's metrics.
func metric(t *testing.T, c *nodetest.Cluster, m *nodetest.Machine, name string) string {
	t.Helper()
	_, text := fetch(t, c, m, "/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("no metric %s", name)
	return ""
}

func TestReplicasThatDifferInAFewRowsAgreeAtThatCost(t *testing.T) {
	withoutAntiEntropy(t, 2, func(t *testing.T, c *nodetest.Cluster) {
		n, d := 100_000, 1000
		if testing.Short() {
			n, d = 10_000, 100 // what each row costs is the same
		}
		put(t, c, n, sameValue, func(i, at int) bool { return i%(n/d) != 0 || i/(n/d)%2 == at })
		if agree(c) {
			t.Fatal("nothing was withheld")
		}
		r := repair(t, c.Machines[1])
		rows, _, _ := rowsOf(r)
		t.Logf("%d rows of %d: %d bytes", rows, n, r.Bytes)
		if rows != d || !agree(c) {
			t.Fatalf("%d rows were taken, agreed: %v", rows, agree(c))
		}
		if most := int64(d * 2000); r.Bytes > most {
			t.Errorf("%d bytes, at most %d", r.Bytes, most)
		}
		if again := repair(t, c.Machines[0]); len(again.Partitions) != 0 || again.Compared != 16 || again.Bytes > 2000 {
			t.Errorf("a second repair: %+v", again)
		}
	})
}

func TestReplicasFindByThemselvesThatTheyDiffer(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		time.Sleep(2 * time.Minute) // the comparisons of the start are over
		put(t, c, 300, sameValue, func(i, at int) bool { return i%3 == at })
		took := c.Eventually(node.DefaultAntiEntropy+time.Minute, "all copies agree", func() bool {
			time.Sleep(time.Second)
			return agree(c)
		})
		t.Logf("after %v", took)
		if metric(t, c, c.Machines[0], "holdfast_antientropy_bytes_total") == "0" || metric(t, c, c.Machines[0], "holdfast_pulled_rows_total") != "200" {
			t.Error("the metrics do not tell of it")
		}
	})
}

func TestANodeThatComesBackIsBroughtUpToDateSoon(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		m := c.Machines[0]
		m.Kill()
		time.Sleep(time.Minute)
		m.MustStart()
		c.AwaitReady(c.Machines...)
		put(t, c, 300, sameValue, func(_, at int) bool { return at != 0 })
		c.Eventually(90*time.Second, "the node that was killed has all", func() bool {
			time.Sleep(time.Second)
			return agree(c)
		})
	})
}

func TestAScanFindsRowsRemovedBeneathTheTree(t *testing.T) {
	withoutAntiEntropy(t, 2, func(t *testing.T, c *nodetest.Cluster) {
		const n, lost = 5000, 1000
		put(t, c, n, sameValue, func(int, int) bool { return true })
		m := c.Machines[0]
		m.Stop()
		if removed, err := m.Disk.RemoveRows("data", lost); err != nil || removed != lost {
			t.Fatalf("%d rows removed, %v", removed, err)
		}
		m.MustStart()
		c.AwaitReady(c.Machines...)
		if rows, damaged, _ := rowsOf(repair(t, m)); rows+damaged != 0 {
			t.Errorf("%d rows and %d leaves without a scan", rows, damaged)
		}
		rows, damaged, _ := rowsOf(repair(t, m, "SCAN"))
		if rows != lost || damaged == 0 || !agree(c) {
			t.Errorf("%d rows taken of %d, %d leaves damaged, agreed: %v", rows, lost, damaged, agree(c))
		}
		if keys := m.Node.Store().Total().Keys; keys != n {
			t.Errorf("%d keys", keys)
		}
		if rows, damaged, _ := rowsOf(repair(t, m, "SCAN")); rows+damaged != 0 {
			t.Errorf("%d rows and %d leaves by a second scan", rows, damaged)
		}
	})
}

func TestOneWriteWithDifferentBytesIsReported(t *testing.T) {
	withoutAntiEntropy(t, 2, func(t *testing.T, c *nodetest.Cluster) {
		put(t, c, 1, func(_, at int) string { return fmt.Sprint("at ", at) }, func(int, int) bool { return true })
		if _, _, conflicts := rowsOf(repair(t, c.Machines[0])); conflicts != 2 {
			t.Errorf("%d conflicts, one at each node", conflicts)
		}
		for at, m := range c.Machines {
			state, err := m.Node.Held("row:0000000")
			if err != nil || string(state.Siblings[0].Value) != fmt.Sprint("at ", at) {
				t.Errorf("node %d holds %v, %v", at+1, state, err)
			}
			if metric(t, c, m, "holdfast_dot_conflicts_total") != "1" || len(m.Log.Lines("different bytes")) != 1 {
				t.Errorf("node %d does not tell of it", at+1)
			}
		}
	})
}

// A transfer that ends midway goes on where it stopped: at most a chunk travels again.
func TestATransferResumesAfterACrash(t *testing.T) {
	withoutAntiEntropy(t, 2, func(t *testing.T, c *nodetest.Cluster) {
		const n, size = 16 * 500, 10 << 10
		from, to := c.Machines[0], c.Machines[1]
		p := rowNumber(0, 16, "").Key.Partition
		put(t, c, n, func(int, int) string { return strings.Repeat("v", size) }, func(i, at int) bool {
			return at == 0 && rowNumber(i, 16, "").Key.Partition == p
		})
		want := int(from.Node.Store().Counts(0, p).Rows)
		ctx, cancel := context.WithCancel(t.Context())
		var stopped sync.WaitGroup
		stopped.Go(func() {
			for to.Node.PulledRows() == 0 {
				time.Sleep(time.Microsecond)
			}
			cancel()
		})
		first, err := to.Node.Transfer(ctx, p, from.Node.ID())
		stopped.Wait()
		if err == nil || first == 0 || first >= want {
			t.Fatalf("%d rows of %d before it was stopped: %v", first, want, err)
		}
		to.Kill()
		to.MustStart()
		c.AwaitReady(c.Machines...)
		second, err := to.Node.Transfer(t.Context(), p, from.Node.ID())
		if chunk := 1<<20/size + 1; err != nil || first+second > want+chunk || first+second < want {
			t.Fatalf("%d and %d rows of %d travelled, %v", first, second, want, err)
		}
		if got := int(to.Node.Store().Counts(0, p).Rows); to.Node.Store().Counted() && got != want {
			t.Fatalf("%d rows of %d", got, want)
		}
		if metric(t, c, to, "holdfast_transfer_bytes_total") == "0" || metric(t, c, to, "holdfast_transfers_pending") != "0" {
			t.Error("the metrics do not tell of it")
		}
	})
}

func TestARepairUnderWritesLosesNothing(t *testing.T) {
	withoutAntiEntropy(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		put(t, c, 2000, sameValue, func(i, at int) bool { return i%3 != at })
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for w := range 3 {
			wg.Go(func() {
				client := c.Machines[w].Client()
				defer client.Close()
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					key := fmt.Sprintf("row:%07d", i*7%2000)
					args := []any{"SET", key, fmt.Sprint(w, "-", i)}
					if i%5 == 0 {
						args = []any{"DEL", key}
					}
					if err, bad := client.Do(args...).(error); bad {
						t.Errorf("%v: %v", args, err)
						return
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		repair(t, c.Machines[0])
		repair(t, c.Machines[1], "SCAN")
		close(stop)
		wg.Wait()
		c.AwaitQuiet()
		repair(t, c.Machines[2])
		if !agree(c) {
			t.Error("copies differ after a repair at rest")
		}
	})
}

func TestRepairSaysWhomItMissed(t *testing.T) {
	withoutAntiEntropy(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		c.Machines[2].Kill()
		time.Sleep(5 * time.Second)
		text := must(t, c.Machines[0], "HOLDFAST", "REPAIR", "PARTITION", "3").(string)
		if !strings.Contains(text, "node-3") || !strings.Contains(text, `"compared":0`) {
			t.Errorf("answer %s", text)
		}
		if err, bad := c.Machines[0].Do("HOLDFAST", "REPAIR", "PARTITION", "16").(error); !bad || !strings.Contains(err.Error(), "no partition 16") {
			t.Errorf("partition 16 of 16: %v", err)
		}
	})
}

// A tombstone counts as absence: whoever lacks both finds no difference to a node that knows of the delete, and must ask it
// again after it took the value from a third.
func TestOneRepairBringsNothingDeletedBack(t *testing.T) {
	withoutAntiEntropy(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		roles := [][3]string{{"value", "gone", ""}, {"value", "", "gone"}, {"gone", "value", ""}, {"gone", "", "value"}, {"", "value", "gone"}, {"", "gone", "value"}}
		for i := range 16 * len(roles) { // for every order in which the primaries of a partition are asked
			role := roles[i%len(roles)]
			row := rowNumber(i, 16, "v")
			writes := map[string]*request.Write{"value": row, "gone": {Key: row.Key, Delta: causal.State{Seen: row.Delta.Seen}}}
			for at, m := range c.Machines {
				if w := writes[role[at]]; w != nil {
					if err := m.Node.Store().Write(t.Context(), []*request.Write{w}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		repair(t, c.Machines[0])
		for i := range 16 * len(roles) {
			for at, m := range c.Machines {
				if got, err := m.Node.Held(string(rowNumber(i, 16, "v").Key.Name)); err != nil || len(got.Siblings) > 0 {
					t.Errorf("%q: node %d holds %v, %v", roles[i%len(roles)], at+1, got, err)
				}
			}
		}
	})
}

// Who takes a partition over must know what was deleted, or a late copy of it would look like news.
func TestATransferIsNotDoneWhileARowIsInConflict(t *testing.T) {
	withoutAntiEntropy(t, 2, func(t *testing.T, c *nodetest.Cluster) {
		put(t, c, 1, func(_, at int) string { return fmt.Sprint("at ", at) }, func(int, int) bool { return true })
		from, to := c.Machines[0].Node, c.Machines[1].Node
		p := rowNumber(0, 16, "").Key.Partition
		if _, err := to.Transfer(t.Context(), p, from.ID()); !errors.Is(err, request.ErrCorrupt) {
			t.Errorf("the other node may give up what was not taken: %v", err)
		}
		must(t, c.Machines[0], "SET", "row:0000000", "settled")
		if _, err := to.Transfer(t.Context(), p, from.ID()); err != nil {
			t.Errorf("after the key was overwritten: %v", err)
		}
	})
}

func TestATransferBringsTombstones(t *testing.T) {
	withoutAntiEntropy(t, 2, func(t *testing.T, c *nodetest.Cluster) {
		from, to := c.Machines[0].Node, c.Machines[1].Node
		row := rowNumber(0, 16, "v")
		gone := &request.Write{Key: row.Key, Delta: causal.State{Seen: row.Delta.Seen}}
		if err := from.Store().Write(t.Context(), []*request.Write{row, gone}); err != nil {
			t.Fatal(err)
		}
		repair(t, c.Machines[1])
		if got, err := to.Held(string(row.Key.Name)); err != nil || !got.IsZero() {
			t.Errorf("a repair brings what is gone here and was never there: %v, %v", got, err)
		}
		if rows, err := to.Transfer(t.Context(), row.Key.Partition, from.ID()); err != nil || rows != 1 {
			t.Errorf("%d rows, %v", rows, err)
		}
		if got, err := to.Held(string(row.Key.Name)); err != nil || !got.Tombstone() {
			t.Errorf("after a transfer: %v, %v", got, err)
		}
	})
}

// What a new owner says that it holds others delete: it is on the disk even where nothing of it had to travel.
func TestWhatATransferFindsHeldAlreadyIsOnTheDisk(t *testing.T) {
	withoutAntiEntropy(t, 2, func(t *testing.T, c *nodetest.Cluster) {
		from, to := c.Machines[0], c.Machines[1]
		row := rowNumber(0, 16, "v")
		for _, m := range c.Machines {
			if err := m.Node.Store().Write(t.Context(), []*request.Write{{Key: row.Key, Delta: row.Delta}}); err != nil {
				t.Fatal(err)
			}
		}
		if rows, err := to.Node.Transfer(t.Context(), row.Key.Partition, from.Node.ID()); err != nil || rows != 0 {
			t.Fatalf("%d rows travelled, %v", rows, err)
		}
		to.PowerCut(0, nil)
		to.MustStart()
		if got, err := to.Node.Held(string(row.Key.Name)); err != nil || len(got.Siblings) != 1 {
			t.Errorf("after a power cut: %v, %v", got, err)
		}
	})
}
