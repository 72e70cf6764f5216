//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// cluster is a few nodes that found themselves.
type cluster struct{ nodes []*member }

// found starts n empty nodes with these flags, and returns when each sees all alive.
func found(t *testing.T, n int, flags ...string) *cluster {
	t.Helper()
	c := plan(t, n, t.TempDir(), flags...)
	for _, m := range c.nodes {
		m.start(t)
	}
	c.awaitAlive(t)
	return c
}

// plan returns nodes that have not been started. One alone founds a cluster of its own.
func plan(t *testing.T, n int, dir string, flags ...string) *cluster {
	t.Helper()
	c, network := &cluster{}, freeNetwork(t)
	var seeds []string
	for i := range n {
		name := fmt.Sprintf("node-%d", i+1)
		m := &member{name: name, host: fmt.Sprintf("%s%d", network, 10+i), dir: filepath.Join(dir, name), program: program("holdfast"),
			log: filepath.Join(t.TempDir(), name+".log")}
		c.nodes, seeds = append(c.nodes, m), append(seeds, m.gossip())
	}
	for _, m := range c.nodes {
		if n > 1 {
			m.flags = append(m.flags, "--join", strings.Join(seeds, ","), "--expect", fmt.Sprint(n))
		}
		m.flags = append(m.flags, flags...)
	}
	t.Cleanup(func() { c.end(t) })
	return c
}

// freeNetwork returns the front of an IPv4 address in 127/8, the last number missing, that nobody seems to use.
func freeNetwork(t *testing.T) string {
	t.Helper()
	for range 100 {
		network := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(254), rand.IntN(256))
		if l, err := net.Listen("tcp", network+"10:"+gossipPort); err == nil {
			_ = l.Close()
			return network
		}
	}
	t.Fatal("no loopback network is free")
	return ""
}

// end ends all processes and, if the test failed, shows the ends of their logs.
func (c *cluster) end(t *testing.T) {
	for _, m := range c.nodes {
		m.end()
		if t.Failed() {
			t.Logf("log of %s:\n%s", m.name, m.tail())
		}
	}
}

// awaitAlive returns when every node that runs serves and sees all that run alive.
func (c *cluster) awaitAlive(t *testing.T) {
	t.Helper()
	for _, m := range c.nodes {
		if m.running() {
			await(t, m.name+" serves and sees the others", func() error { return c.sees(m) })
		}
	}
}

// sees returns nil if the node serves and sees alive which are, and only those.
func (c *cluster) sees(m *member) error {
	if !m.running() {
		return fmt.Errorf("it ended: %v", m.err)
	}
	if err := m.ready(); err != nil {
		return err
	}
	lines, err := m.status()
	if err != nil {
		return err
	}
	if len(lines) != len(c.nodes) {
		return fmt.Errorf("its status has %d nodes", len(lines))
	}
	for i, l := range lines {
		if other := c.named(l.Name); other == nil || l.Alive != other.running() {
			return fmt.Errorf("line %d of its status: %+v", i, l)
		}
	}
	return nil
}

func (c *cluster) named(name string) *member {
	for _, m := range c.nodes {
		if m.name == name {
			return m
		}
	}
	return nil
}

// awaitNoHints returns when no node that runs has hints left.
func (c *cluster) awaitNoHints(t *testing.T) {
	t.Helper()
	await(t, "all hints are delivered", func() error {
		var errs []error
		for _, m := range c.nodes {
			if own, err := m.own(); m.running() && (err != nil || own.Hints != 0) {
				errs = append(errs, fmt.Errorf("%s: %d hints, %v", m.name, own.Hints, err))
			}
		}
		return errors.Join(errs...)
	})
}

// allRun fails the test if a process ended by itself.
func (c *cluster) allRun(t *testing.T) {
	t.Helper()
	for _, m := range c.nodes {
		if !m.running() {
			t.Errorf("%s ended: %v", m.name, m.err)
		}
	}
}
