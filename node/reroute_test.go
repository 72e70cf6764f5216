package node_test

import (
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/node/nodetest"
	"github.com/holdfastdb/holdfast/request"
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
