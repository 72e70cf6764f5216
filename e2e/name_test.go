//go:build linux

package e2e

import (
	"errors"
	"testing"
)

// TestANewDirectoryUnderAMembersNameWaitsOutside starts a node under the name of a member, dead or alive, without --replace: it says why it does
// not join, and the ring stays as it is.
func TestANewDirectoryUnderAMembersNameWaitsOutside(t *testing.T) {
	c := found(t, 3)
	c.nodes[2].kill(t)
	for _, name := range []string{"node-2", "node-3"} {
		before := c.nodes[0].ring(t)
		twin := c.newcomer(t, name)
		c.part(t, twin)
		twin.start(t)
		await(t, "it says why it waits", func() error {
			if twin.said("the cluster has a member called "+name) == 0 || twin.said("start with --replace "+name) == 0 {
				return errors.New(twin.tail())
			}
			return nil
		})
		if err := twin.ready(); err == nil {
			t.Errorf("a second %s serves", name)
		}
		if after := c.nodes[0].ring(t); after.Version != before.Version || len(after.Nodes) != 3 {
			t.Errorf("the ring changed: %+v", after.Nodes)
		}
		twin.terminate(t)
	}
}
