package node_test

import (
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/node/nodetest"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

func TestAFallbackThatBecameAnOwnerKeepsWhatItDelivers(t *testing.T) {
	withoutAntiEntropy(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		from, target := c.Machines[0].Node, c.Machines[1].Node
		hint := rowNumber(0, 16, "value")
		hint.For = target.ID() // as if this node had stood in before it became an owner
		if err := from.Store().Write(t.Context(), []*request.Write{hint}); err != nil || hint.Err != nil {
			t.Fatal(err, hint.Err)
		}
		c.AwaitQuiet()
		c.Eventually(time.Minute, "both have it", func() bool {
			return from.Store().Total().Keys == 1 && target.Store().Total().Keys == 1
		})
		if keys := c.Machines[2].Node.Store().Total().Keys; keys != 0 {
			t.Errorf("it went to %d others", keys)
		}
	})
}

// The copy of a fallback may be one of the W that a write was acknowledged for. It must not go because the node that it is for went,
// as long as one of the heirs has none.
func TestWhatIsForARemovedNodeIsKeptForTheHeirThatIsDown(t *testing.T) {
	withoutAntiEntropy(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		hint := rowNumber(0, 16, "value")
		hint.For = ring.NodeID{0xee} // no member
		name := string(hint.Key.Name)
		holds := func(m *nodetest.Machine) bool {
			got, err := m.Node.Held(name)
			return err == nil && len(got.Siblings) > 0
		}
		var keeper *nodetest.Machine
		var heirs []*nodetest.Machine
		for _, m := range c.Machines {
			if _, primary, err := m.Node.Copy(hint.Key.Name); err != nil {
				t.Fatal(err)
			} else if primary {
				heirs = append(heirs, m)
			} else {
				keeper = m
			}
		}
		late := heirs[0]
		lateID := late.Node.ID()
		late.Kill()
		c.Eventually(time.Minute, "the death is noticed", func() bool { return !keeper.Sees(heirs[0]) })
		if err := keeper.Node.Store().Write(t.Context(), []*request.Write{hint}); err != nil || hint.Err != nil {
			t.Fatal(err, hint.Err)
		}
		c.Eventually(time.Minute, "the heirs in reach have it", func() bool { return holds(heirs[1]) && holds(heirs[2]) })
		c.Eventually(time.Minute, "it is owed to the heir that is down", func() bool {
			owed := keeper.Node.Hints()
			return owed[lateID] == 1 && owed[hint.For] == 0
		})
		late.MustStart()
		c.Eventually(time.Minute, "the last heir has it", func() bool { return holds(late) })
		c.AwaitQuiet()
	})
}
