package node_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/node/nodetest"
)

// tombstones counts those of all machines, but some.
func tombstones(c *nodetest.Cluster, but ...*nodetest.Machine) (n int64) {
	for _, m := range c.Machines {
		if !slices.Contains(but, m) {
			n += m.Node.Tombstones()
		}
	}
	return n
}

// reapedWithin is longer than two rounds, and a pause between them.
const reapedWithin = 8 * time.Minute

func TestTombstonesAreReapedWhenANodeIsBackAndNothingReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 5, nil)
		defer c.Close()
		c.Start()
		first, away := c.Machines[0], c.Machines[4]
		for i := range 30 {
			must(t, first, "SET", fmt.Sprint("k", i), "old")
		}
		away.Kill()
		c.Eventually(time.Minute, "the others go on", func() bool { return !first.Sees(away) })
		for i := range 20 { // the first ten stay deleted
			must(t, first, "DEL", fmt.Sprint("k", i))
			if i >= 10 {
				must(t, first, "SET", fmt.Sprint("k", i), "new")
			}
		}
		made := tombstones(c, away)
		time.Sleep(reapedWithin / 2)
		if waits, left := metric(t, c, first, "holdfast_reap_waits"), tombstones(c, away); waits != "1" || left != made || left < 20 {
			t.Fatalf("with a member down: it waits %s, and of %d tombstones %d are left", waits, made, left)
		}
		away.MustStart()
		c.AwaitReady(c.Machines...)
		c.AwaitQuiet()
		took := c.Eventually(reapedWithin, "all tombstones are reaped", func() bool { return tombstones(c) == 0 })
		t.Logf("reaped %v after the return", took)
		for i := range 30 {
			want := any("old")
			if i < 10 {
				want = nil
			} else if i < 20 {
				want = "new"
			}
			for _, m := range c.Machines {
				if got := must(t, m, "GET", fmt.Sprint("k", i)); got != want {
					t.Errorf("%s: k%d is %v, want %v", m.Config.Name, i, got, want)
				}
			}
		}
		if metric(t, c, first, "holdfast_reap_waits") != "0" {
			t.Error("it still waits")
		}
	})
}
