//go:build linux

package e2e

import (
	"testing"
	"time"
)

// A node that is killed and at once started at another address, with other ports, is found by the others, and they deliver what it
// missed; no command of their clients fails.
func TestANodeThatMovesIsTheSameNode(t *testing.T) {
	c := found(t, 3)
	moved := c.nodes[2]
	l := load(t, connections, pause(), c.nodes[0], c.nodes[1])
	l.during(sized(time.Second, 10*time.Second))
	killed := l.now()
	moved.kill(t)
	moved.host = freeNetwork(t) + "77"
	moved.flags = append(moved.flags, "--peer", moved.host+":20013", "--gossip", moved.host+":20014")
	moved.start(t)
	began := time.Now()
	await(t, "it serves at its new address", moved.ready)
	c.awaitAlive(t)
	t.Logf("all see it alive %v after its start", time.Since(began).Round(time.Millisecond))
	l.during(sized(3*time.Second, 10*time.Second))
	r := l.stop()
	c.settle(t, l, r, killed)
}
