package node_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/nodetest"
)

func TestThreeEmptyNodesFoundOneClusterInAnyOrder(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := nodetest.New(t, 3, nil)
				defer c.Close()
				last := c.Machines[order[2]]
				for _, i := range order[:2] {
					c.Machines[i].MustStart()
				}
				time.Sleep(20 * time.Second)
				for _, i := range order[:2] {
					if m := c.Machines[i]; m.Node.Ready() || m.Node.Waiting() == "" {
						t.Errorf("%s with one missing: ready %v, waiting %q", m.Config.Name, m.Node.Ready(), m.Node.Waiting())
					}
				}
				last.MustStart()
				began := time.Now()
				c.AwaitReady(c.Machines...)
				t.Logf("one cluster %v after the last had started", time.Since(began))
				want := fmt.Sprint(c.Machines[0].Ring())
				for _, m := range c.Machines {
					if got := fmt.Sprint(m.Ring()); got != want || len(m.Ring().Nodes) != 3 {
						t.Errorf("the ring at %s: %s\nwant %s", m.Config.Name, got, want)
					}
				}
			})
		})
	}
}

func TestSeedsThatAreDownAreTriedUntilTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 3, nil)
		defer c.Close()
		founder, alone := c.Machines[0], c.Machines[2]
		alone.MustStart()
		time.Sleep(2 * time.Minute)
		if wait := alone.Node.Waiting(); !strings.Contains(wait, founder.Config.Gossip) {
			t.Errorf("waiting %q does not name the founder", wait)
		}
		lines := alone.Log.Lines("waiting for a cluster")
		if len(lines) < 2 || len(lines) > 3 {
			t.Errorf("%d lines in two minutes say what it waits for, want one a minute", len(lines))
		}
		founder.MustStart()
		c.Eventually(20*time.Second, "the founder says who is missing", func() bool {
			return strings.Contains(founder.Node.Waiting(), "2 of 3 nodes have met (node-1, node-3)")
		})
		c.Machines[1].MustStart()
		c.AwaitReady(c.Machines...)
	})
}

func TestDifferentFlagsAreNamed(t *testing.T) {
	for _, tt := range []struct {
		proves, says string
		odd          func(*node.Config)
	}{
		{"another number of copies", "n=2", func(cfg *node.Config) { cfg.N = 2 }},
		{"another quorum", "w=3", func(cfg *node.Config) { cfg.W = 3 }},
		{"another number of partitions", "partitions 32", func(cfg *node.Config) { cfg.Partitions = 32 }},
		{"another number of founders", "expect 2", func(cfg *node.Config) { cfg.Expect = 2 }},
		{"two that would both found", "node-2 would found a cluster too", func(cfg *node.Config) { cfg.Join = []string{cfg.Gossip, cfg.Join[0]} }},
	} {
		t.Run(tt.proves, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := nodetest.New(t, 3, func(i int, cfg *node.Config) {
					if i == 1 {
						tt.odd(cfg)
					}
				})
				defer c.Close()
				for _, m := range c.Machines {
					m.MustStart()
				}
				c.Eventually(20*time.Second, "the founder names the odd one", func() bool {
					wait := c.Machines[0].Node.Waiting()
					return strings.Contains(wait, "node-2") && strings.Contains(wait, tt.says)
				})
				time.Sleep(20 * time.Second)
				for _, m := range c.Machines {
					if m.Node.Ready() {
						t.Errorf("%s is ready", m.Config.Name)
					}
				}
				if len(c.Machines[0].Log.Lines(tt.says)) == 0 {
					t.Errorf("the founder's log does not say %q:\n%s", tt.says, c.Machines[0].Log)
				}
			})
		})
	}
}

func TestJoinerWithOtherFlagsIsRefusedWithTheReason(t *testing.T) {
	for _, tt := range []struct {
		proves, says string
		odd          func(*node.Config)
	}{
		{"another number of copies", "--n 2: cluster", func(cfg *node.Config) { cfg.N = 2 }},
		{"another number of partitions", "--partitions 64", func(cfg *node.Config) { cfg.Partitions = 64 }},
	} {
		t.Run(tt.proves, func(t *testing.T) {
			inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
				m := c.Add(node.Config{Join: c.Machines[0].Config.Join})
				tt.odd(&m.Config)
				m.MustStart()
				time.Sleep(20 * time.Second)
				if m.Node.Ready() || len(m.Log.Lines(tt.says)) == 0 {
					t.Errorf("ready %v; log:\n%s", m.Node.Ready(), m.Log)
				}
				if got := len(c.Machines[0].Ring().Nodes); got != 3 {
					t.Errorf("the ring has %d nodes", got)
				}
				if wait := m.Node.Waiting(); !strings.Contains(wait, tt.says) {
					t.Errorf("waiting: %q, want what keeps it out", wait)
				}
			})
		})
	}
}

func TestDirectoryOfAnotherClusterIsRefused(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		m := c.Machines[2]
		m.Stop()
		m.Config.Cluster = "other"
		err := m.Start()
		if err == nil || !strings.Contains(err.Error(), `belongs to cluster "holdfast"`) {
			t.Fatalf("Open: %v", err)
		}
		t.Log(err)
		m.Config.Cluster = ""
		m.MustStart()
		c.AwaitReady(c.Machines...)
	})
}
