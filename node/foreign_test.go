package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/nodetest"
)

func TestNodeOfAnotherClusterIsRefusedAndDoesNoHarm(t *testing.T) {
	for _, tt := range []struct {
		proves string
		name   string
		q      int
	}{
		{"a cluster of the same name founded apart", "", 0},
		{"a cluster of the same name with other partitions", "", 32},
		{"a cluster of another name", "other", 0},
	} {
		t.Run(tt.proves, func(t *testing.T) {
			inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
				stranger := c.Add(node.Config{Cluster: tt.name})
				if tt.q != 0 {
					stranger.Config.Partitions = tt.q
				}
				stranger.MustStart() // founds a cluster of its own
				must(t, stranger, "SET", "k", "strange")
				stranger.Stop()
				stranger.Config.Join = c.Machines[0].Config.Join
				stranger.MustStart()
				for i := range 100 {
					must(t, c.Machines[i%3], "SET", fmt.Sprint("key", i), "v")
					time.Sleep(100 * time.Millisecond)
				}
				if got := must(t, c.Machines[0], "GET", "k"); got != nil {
					t.Errorf("a stranger's value is seen: %v", got)
				}
				if got := must(t, stranger, "GET", "k"); got != "strange" {
					t.Errorf("the stranger's own value: %v", got)
				}
				for _, m := range c.Machines[:3] {
					if n := len(m.Ring().Nodes); n != 3 {
						t.Errorf("%s has %d nodes in its ring", m.Config.Name, n)
					}
				}
				lines := len(stranger.Log.Lines("luster"))
				for _, m := range c.Machines[:3] {
					lines += len(m.Log.Lines("another cluster"))
				}
				t.Logf("%d lines in ten seconds; %q", lines, append(c.Machines[0].Log.Lines("another cluster"), stranger.Log.Lines("another cluster")...))
				if tt.name == "" && lines == 0 || lines > 8 {
					t.Errorf("%d lines", lines)
				}
			})
		})
	}
}
