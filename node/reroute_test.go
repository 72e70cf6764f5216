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

// A node that is down and does not hold the partition any more is nobody's to wait for: its hints go to those that do, while it is down.
func TestWhatIsForAFormerOwnerThatIsDownGoesToTheOwners(t *testing.T) {
	withoutAntiEntropy(t, 5, func(t *testing.T, c *nodetest.Cluster) {
		hint := rowNumber(0, 16, "value")
		var owners, others []*nodetest.Machine
		for _, m := range c.Machines {
			if _, primary, err := m.Node.Copy(hint.Key.Name); err != nil {
				t.Fatal(err)
			} else if primary {
				owners = append(owners, m)
			} else {
				others = append(others, m)
			}
		}
		keeper, former := others[0], others[1]
		hint.For = former.Node.ID()
		owed := rowOwnedBy(t, former)
		owed.For = former.Node.ID()
		former.Kill()
		c.Eventually(time.Minute, "the death is noticed", func() bool { return !keeper.Sees(former) })
		for _, w := range []*request.Write{owed, hint} {
			if err := keeper.Node.Store().Write(t.Context(), []*request.Write{w}); err != nil || w.Err != nil {
				t.Fatal(err, w.Err)
			}
		}
		c.Eventually(time.Minute, "the owners have it", func() bool {
			for _, m := range owners {
				if got, err := m.Node.Held(string(hint.Key.Name)); err != nil || len(got.Siblings) == 0 {
					return false
				}
			}
			return keeper.Node.Hints()[hint.For] == 1
		})
		former.MustStart()
		c.Eventually(time.Minute, "what is its own comes home", func() bool {
			got, err := former.Node.Held(string(owed.Key.Name))
			return err == nil && len(got.Siblings) == 1
		})
		c.AwaitQuiet()
	})
}

// rowOwnedBy returns a row of a partition that the machine owns.
func rowOwnedBy(t *testing.T, m *nodetest.Machine) *request.Write {
	t.Helper()
	for i := 1; i < 1000; i++ {
		w := rowNumber(i, 16, "value")
		if _, primary, err := m.Node.Copy(w.Key.Name); err != nil {
			t.Fatal(err)
		} else if primary {
			return w
		}
	}
	t.Fatal("it owns nothing")
	return nil
}
