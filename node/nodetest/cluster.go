// Package nodetest runs clusters of whole nodes inside a testing/synctest bubble: real nodes, from the RESP front-end to Pebble, over a
// network and on disks in memory, whose machines a test stops, kills, power cuts, restores and sets the clocks of.
package nodetest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/nettest"
	"github.com/holdfastdb/holdfast/replica/replicatest"
)

const (
	partitions = 16               // enough for every machine to own some; fewer than the default keep a cluster cheap
	readyMax   = 30 * time.Second // for a cluster to form and for all to see each other
	quietMax   = time.Minute      // for hints to come home after all machines see each other
	lingerMax  = 3 * time.Minute  // until memberlist's last goroutines have ended
	pollEvery  = 10 * time.Millisecond
	clientIP   = "127.0.1.1" // the host of clients that stand beside the cluster
)

// Cluster is machines on one network. Create it inside the bubble that uses it.
type Cluster struct {
	Net      *nettest.Network
	Machines []*Machine
	t        testing.TB
}

// New returns n machines, not started. Each configuration is a founding member's; change, which may be nil, may alter it.
func New(t testing.TB, n int, change func(i int, cfg *node.Config)) *Cluster {
	c := &Cluster{Net: nettest.New(1), t: t}
	var seeds []string
	for i := range n {
		seeds = append(seeds, fmt.Sprintf("127.0.0.%d:7946", i+1))
	}
	for i := range n {
		m := c.Add(node.Config{Join: seeds, Expect: n})
		if change != nil {
			change(i, &m.Config)
		}
	}
	return c
}

// Add adds a machine, not started: what the configuration leaves out of names and addresses is made up.
func (c *Cluster) Add(cfg node.Config) *Machine {
	i := len(c.Machines) + 1
	m := &Machine{IP: fmt.Sprintf("127.0.0.%d", i), Disk: replicatest.NewDisk(), Log: &Log{}, c: c}
	cfg.Memory, cfg.Partitions = node.MemoryMin, partitions
	if !cfg.Proxy {
		cfg.Dir = "data"
	}
	cfg.Name = fmt.Sprint("node-", i)
	cfg.RESP, cfg.HTTP, cfg.Peer, cfg.Gossip = m.IP+":6379", m.IP+":8379", m.IP+":7379", m.IP+":7946"
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(m.ahead.Load())) }
	m.Config = cfg
	c.Machines = append(c.Machines, m)
	return m
}

// Start starts every machine and waits until all are ready and see each other.
func (c *Cluster) Start() {
	c.t.Helper()
	for _, m := range c.Machines {
		m.MustStart()
	}
	c.AwaitReady(c.Machines...)
}

// AwaitReady waits until the machines are ready, and each sees all of them alive.
func (c *Cluster) AwaitReady(machines ...*Machine) {
	c.t.Helper()
	c.Eventually(readyMax, "machines are ready and see each other", func() bool {
		for _, m := range machines {
			if !m.Node.Ready() || !m.Sees(machines...) {
				return false
			}
		}
		return true
	})
}

// AwaitQuiet waits until no machine that runs holds a hint: what one side of a cut wrote for the other is home.
func (c *Cluster) AwaitQuiet() {
	c.t.Helper()
	c.Eventually(quietMax, "all hints are delivered", func() bool {
		for _, m := range c.Machines {
			if m.Node != nil && m.Hints() != 0 {
				return false
			}
		}
		return true
	})
}

// Eventually waits until ok says so, and fails the test when it does not within the limit. It returns how long that took.
func (c *Cluster) Eventually(limit time.Duration, what string, ok func() bool) time.Duration {
	c.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > limit {
			for _, m := range c.Machines {
				c.t.Logf("%s:\n%s", m.Config.Name, m.Log)
			}
			c.t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(pollEvery)
	}
	return time.Since(began)
}

// Split cuts the machines of one side from those of the other; Join undoes it.
func (c *Cluster) Split(one, other []*Machine) { c.Net.Split(ips(one), ips(other)) }

// Join undoes Split.
func (c *Cluster) Join(one, other []*Machine) { c.Net.Join(ips(one), ips(other)) }

func ips(machines []*Machine) (out []string) {
	for _, m := range machines {
		out = append(out, m.IP)
	}
	return out
}

// Close stops every machine that runs, and waits until nothing of them is left in the bubble.
func (c *Cluster) Close() {
	c.Net.HealAll()
	for _, m := range c.Machines {
		if m.Node != nil {
			m.Stop()
		}
	}
	time.Sleep(lingerMax)
}

func (c *Cluster) logger(m *Machine) *slog.Logger {
	var handler slog.Handler = slog.NewTextHandler(m.Log, nil)
	if os.Getenv("HOLDFAST_TEST_LOG") != "" {
		handler = slog.NewMultiHandler(handler, slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(handler).With("on", m.Config.Name)
}

// canceled is a context for a shutdown that waits for nobody.
func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
