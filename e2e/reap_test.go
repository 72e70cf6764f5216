//go:build linux

package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/replica/replicatest"
)

// reapMax is within what time all tombstones must be gone: a round takes more than two minutes, for that long anything may be on its
// way, and a few may be needed.
const reapMax = 20 * time.Minute

// TestDeletedKeysAreGoneFromAllDisks deletes and rewrites keys while one of five nodes is down. When it is back nothing returns, the
// tombstones are reaped everywhere, and a compaction leaves nothing of them on any disk.
func TestDeletedKeysAreGoneFromAllDisks(t *testing.T) {
	if !*full {
		t.Skip("a round takes minutes: only with -e2e.full; every day node.TestTombstonesAreReapedWhenANodeIsBackAndNothingReturns")
	}
	c := found(t, 5)
	others, away := c.nodes[:4], c.nodes[4]
	const each = 5_000
	kept := fillNamed(t, c.nodes, "kept:", each)
	gone, rewritten := fillNamed(t, c.nodes, "gone:", each), fillNamed(t, c.nodes, "rewritten:", each)
	away.kill(t)
	gone = append(gone, fillNamed(t, others, "gone:brief:", each)...)
	for i, m := range others {
		conn := m.client(t)
		fetch(t, conn, "DEL", gone[i*len(gone)/4:(i+1)*len(gone)/4])
		fetch(t, conn, "DEL", rewritten[i*each/4:(i+1)*each/4])
	}
	stay := append(kept, fillNamed(t, others, "rewritten:", each)...)
	c.keepsTombstones(t, others)
	away.start(t)
	c.awaitAlive(t)
	c.awaitNoHints(t)
	c.showsWhatIsThere(t, stay, gone)
	took := awaitWithin(t, reapMax, "all tombstones are reaped", func() error { return c.tombstones(t, 0) })
	t.Logf("all tombstones reaped %v later", took.Round(time.Second))
	c.showsWhatIsThere(t, stay, gone)
	for _, m := range c.nodes {
		m.terminate(t)
		left, err := replicatest.Compact(m.dir, []byte("gone:"))
		if err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		if t.Logf("%s: after a compaction %+v", m.name, left); left.Named+int(left.Deletions) > 0 || left.Rows == 0 {
			t.Errorf("%s: something is left of what was deleted", m.name)
		}
	}
}

// keepsTombstones waits for longer than a round takes, and wants nothing to be reaped: a node is down.
func (c *cluster) keepsTombstones(t *testing.T, nodes []*member) {
	t.Helper()
	<-time.After(3 * time.Minute)
	for _, m := range nodes {
		if n, waits := m.metric(t, "holdfast_tombstones_reaped_total"), m.metric(t, "holdfast_reap_waits"); n != "0" || waits != "1" {
			t.Errorf("%s reaped %s tombstones while a node was down, and waits: %s", m.name, n, waits)
		}
	}
}

// tombstones returns nil if the nodes hold so many together.
func (c *cluster) tombstones(t *testing.T, want int) error {
	t.Helper()
	sum, counts := 0, []string{}
	for _, m := range c.nodes {
		n, err := strconv.Atoi(m.metric(t, "holdfast_tombstones"))
		if err != nil {
			t.Fatal(err)
		}
		sum, counts = sum+n, append(counts, fmt.Sprintf("%s %d", m.name, n))
	}
	if sum != want {
		return fmt.Errorf("tombstones: %s", strings.Join(counts, ", "))
	}
	return nil
}

// showsWhatIsThere asks each node for every key.
func (c *cluster) showsWhatIsThere(t *testing.T, stay, gone []string) {
	t.Helper()
	for _, m := range c.nodes {
		back := 0
		for _, reply := range fetch(t, m.client(t), "GET", gone) {
			if reply != nil {
				back++
			}
		}
		if back > 0 {
			t.Errorf("%s: %d of %d deleted keys are back", m.name, back, len(gone))
		}
		present(t, m, stay)
	}
}
