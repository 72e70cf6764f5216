//go:build linux

package e2e

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// siblingKeys are written blindly twice before all nodes are killed, and once after.
const siblingKeys = 100

func TestKillingAllNodesLosesNothingAcknowledged(t *testing.T) {
	for _, level := range []string{"os", "always"} {
		t.Run("sync "+level, func(t *testing.T) {
			c := found(t, 3, "--sync", level)
			siblings := c.putSiblings(t)
			l := load(t, connections, pause(), c.nodes...)
			l.during(sized(time.Second, 15*time.Second))
			last := l.now()
			l.broken.Store(true) // from now on a lost connection is the kill's doing
			c.killAll(t)
			r := l.join()
			for _, m := range c.nodes {
				m.start(t)
			}
			began := time.Now()
			c.awaitAlive(t)
			c.awaitNoHints(t)
			t.Logf("whole again %v after the restart", time.Since(began).Round(time.Millisecond))
			r.report(t, last, faultWindow)
			r.answered(t)
			// At R=2: the third copy of a write that was under way has no hint, since who would have kept it is gone, too.
			r.verify(t, l, 2, c.nodes...)
			c.addSiblings(t, siblings)
		})
	}
}

// killAll kills all nodes before any of them can notice that another is gone.
func (c *cluster) killAll(t *testing.T) {
	t.Helper()
	for _, m := range c.nodes {
		m.signal(t, syscall.SIGKILL)
	}
	for _, m := range c.nodes {
		<-m.done
	}
}

// putSiblings makes two concurrent values of each sibling key, through two nodes.
func (c *cluster) putSiblings(t *testing.T) []string {
	t.Helper()
	keys := make([]string, siblingKeys)
	for i := range keys {
		keys[i] = fmt.Sprint("siblings:", i)
	}
	for i, value := range []string{"first", "second"} {
		conn := c.nodes[i].client(t)
		for _, key := range keys {
			must(t, conn, "PUTCTX", key, "", value)
		}
	}
	return keys
}

// addSiblings adds a third value to each sibling key, and wants all three to be seen by every node.
func (c *cluster) addSiblings(t *testing.T, keys []string) {
	t.Helper()
	for i, key := range keys {
		must(t, c.nodes[i%len(c.nodes)].client(t), "PUTCTX", key, "", "third")
	}
	want := []string{"first", "second", "third"}
	for _, m := range c.nodes {
		for key, reply := range fetch(t, m.client(t), "GETV", keys) {
			_, values := contextOf(reply)
			if slices.Sort(values); !slices.Equal(values, want) {
				t.Errorf("%s on %s: %q, want %q", key, m.name, values, want)
			}
		}
	}
}

func TestANodeEndsWellOnSIGTERMAndIsBackAtOnce(t *testing.T) {
	c := found(t, 3)
	conn := c.nodes[0].client(t)
	must(t, conn, "SET", "k", "v")
	c.nodes[1].terminate(t)
	must(t, conn, "SET", "k", "w")
	c.nodes[1].start(t)
	c.awaitAlive(t)
	if got, err := redis.String(c.nodes[1].client(t).Do("GET", "k")); got != "w" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
