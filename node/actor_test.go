package node_test

import (
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node/nodetest"
)

// actors counts the actors in what a machine holds of a key.
func actors(t *testing.T, m *nodetest.Machine, key string) (n int) {
	t.Helper()
	state, err := m.Node.Held(key)
	if err != nil {
		t.Fatal(err)
	}
	state.Seen.Each(func(causal.Actor, uint64) bool {
		n++
		return true
	})
	return n
}

// stampChars is what one remembered stamp, 16 bytes, adds to a token at most.
const stampChars = 22

func TestCleanRestartsKeepTheActor(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		const key = "k"
		must(t, c.Machines[0], "SET", key, "v")
		before, _ := getv(t, c.Machines[0], key)
		bits := map[*nodetest.Machine]uint64{}
		for _, m := range c.Machines {
			bits[m] = m.Node.Store().Boot().Bits
		}
		for range 5 {
			for _, m := range c.Machines {
				m.Stop()
				m.MustStart()
				c.AwaitReady(c.Machines...)
				c.Eventually(10*time.Second, "a clean restart takes up its bits", func() bool { return m.Node.Store().Boot().Bits == bits[m] })
				must(t, m, "SET", key, "v")
			}
		}
		after, _ := getv(t, c.Machines[0], key)
		t.Logf("after 5 clean rolling restarts %d actor, context of %d bytes for %d", actors(t, c.Machines[0], key), len(after), len(before))
		if len(after) > len(before)+stampChars {
			t.Errorf("the context grew to %d bytes from %d: more than the stamp of the last write is remembered", len(after), len(before))
		}
		for _, m := range c.Machines {
			if n := actors(t, m, key); n != 1 {
				t.Errorf("%s has %d actors of a key that one node coordinates", m.Config.Name, n)
			}
		}
	})
}

func TestUncleanRestartDrawsANewActor(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		m := c.Machines[1]
		before := m.Node.Store().Boot().Bits
		m.Kill()
		m.MustStart()
		c.AwaitReady(c.Machines...)
		time.Sleep(2 * time.Minute)
		if now := m.Node.Store().Boot().Bits; now == before {
			t.Errorf("minting under %x again after kill -9", now)
		}
	})
}
