package node_test

import (
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/node/nodetest"
	"github.com/holdfastdb/holdfast/request"
)

// What a leaving node kept for others and cannot read may be nowhere else. It does not leave, and every node's status says why.
func TestALeavingNodeWithAHintThatItCannotReadStaysAndSaysSo(t *testing.T) {
	withoutAntiEntropy(t, 2, func(t *testing.T, c *nodetest.Cluster) {
		stays, leaves := c.Machines[0], c.Machines[1]
		hint := rowNumber(0, 16, "value")
		hint.For = stays.Node.ID()
		stays.Kill()
		c.Eventually(time.Minute, "the death is noticed", func() bool { return !leaves.Sees(stays) })
		if err := leaves.Node.Store().Write(t.Context(), []*request.Write{hint}); err != nil || hint.Err != nil {
			t.Fatal(err, hint.Err)
		}
		leaves.Stop()
		if damaged, err := leaves.Disk.DamageHints("data"); err != nil || damaged != 1 {
			t.Fatalf("%d hints damaged, %v", damaged, err)
		}
		leaves.MustStart()
		stays.MustStart()
		c.AwaitReady()
		if err := leaves.Node.Leave(); err != nil {
			t.Fatal(err)
		}
		told := func() bool {
			st, err := stays.Node.Status()
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range st.Nodes {
				if n.UnreadableHints > 0 {
					return n.Name == leaves.Config.Name && n.Status == "leaving" && n.UnreadableHints == 1 && n.Hints == 1
				}
			}
			return false
		}
		c.Eventually(ringChangeMax, "the other node's status tells of the hint", told)
		select {
		case <-leaves.Node.Wait():
			t.Errorf("it left: %v", leaves.Node.Err())
		case <-time.After(ringChangeMax):
		}
		if lines := leaves.Log.Lines("a hint cannot be delivered"); !told() || len(lines) != 1 {
			t.Errorf("later: told %v, lines %q", told(), lines)
		}
	})
}
