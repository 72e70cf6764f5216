package node_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/nodetest"
)

// zones puts machines into zones by turns.
func zones(names ...string) func(int, *node.Config) {
	return func(i int, cfg *node.Config) { cfg.Zone = names[i%len(names)] }
}

// Two nodes in each of three zones: when one zone is lost whole, however it is lost, no command on the others fails.
func TestLossOfAZoneIsNotNoticed(t *testing.T) {
	for _, tt := range []struct {
		proves string
		lose   func(c *nodetest.Cluster, zone, rest []*nodetest.Machine)
		regain func(c *nodetest.Cluster, zone, rest []*nodetest.Machine)
	}{
		{"killed", func(_ *nodetest.Cluster, zone, _ []*nodetest.Machine) {
			for _, m := range zone {
				m.Kill()
			}
		}, func(_ *nodetest.Cluster, zone, _ []*nodetest.Machine) {
			for _, m := range zone {
				m.MustStart()
			}
		}},
		{"cut off", func(c *nodetest.Cluster, zone, rest []*nodetest.Machine) { c.Split(zone, rest) },
			func(c *nodetest.Cluster, zone, rest []*nodetest.Machine) { c.Join(zone, rest) }},
	} {
		t.Run(tt.proves, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := nodetest.New(t, 6, zones("a", "b", "c"))
				defer c.Close()
				c.Start()
				spread(t, c.Machines[0], 3)
				zone, rest := []*nodetest.Machine{c.Machines[2], c.Machines[5]}, []*nodetest.Machine{c.Machines[0], c.Machines[1], c.Machines[3], c.Machines[4]}
				load := startTraffic(t, false, slices.Repeat(rest, 5)...)
				time.Sleep(2 * time.Second)
				tt.lose(c, zone, rest)
				time.Sleep(10 * time.Second)
				asked := load.stop() // a zone that is back and does not see the others yet reads by itself, which may show less: sloppy quorums
				tt.regain(c, zone, rest)
				c.AwaitReady(c.Machines...)
				c.AwaitQuiet()
				t.Logf("%d commands", asked)
			})
		})
	}
}

// spread wants the copies of every partition in so many zones.
func spread(t *testing.T, m *nodetest.Machine, want int) {
	t.Helper()
	ring, zoneOf := m.Ring(), map[string]string{}
	for _, n := range ring.Nodes {
		zoneOf[n.Name] = n.Zone
	}
	for p, names := range ring.Preference {
		met := map[string]bool{}
		for _, name := range names {
			met[zoneOf[name]] = true
		}
		if len(names) != 3 || len(met) != want {
			t.Errorf("partition %d is on %v, in %d zones, want %d", p, names, len(met), want)
		}
	}
}

// Three nodes of weight 1 and three of 2: copies and first places are 1 to 2, within one partition, and HOLDFAST RING says so.
func TestNodesHoldSharesByWeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 6, func(i int, cfg *node.Config) { cfg.Weight = 1 + i%2 })
		defer c.Close()
		c.Start()
		ring := c.Machines[0].Ring()
		for _, n := range ring.Nodes {
			copies, firsts := float64(n.Weight*ring.Partitions*ring.N)/9, float64(n.Weight*ring.Partitions)/9
			if n.Weight < 1 || n.Weight > 2 || !within(n.Primaries, copies) || !within(n.Coordinates, firsts) {
				t.Errorf("%s of weight %d: %d copies and %d first places, want %.1f and %.1f within one", n.Name, n.Weight, n.Primaries, n.Coordinates, copies, firsts)
			}
		}
		t.Log(fmt.Sprint(ring.Nodes))
	})
}

// within reports whether a count is less than one from what it should be.
func within(got int, want float64) bool { return float64(got) > want-1 && float64(got) < want+1 }
