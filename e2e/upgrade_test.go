//go:build linux

package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// previous builds the program as it speaks the version of the protocol before, and returns its path.
func previous(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(bench.dir, "previous")
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = goBuild(dir, nil, "-tags", "previous", "./cmd/holdfast")
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "holdfast")
}

// TestUpgradeByTheBook upgrades nodes of the previous version one after the other, as docs/operations.md says, while clients
// of an older and of a newer proxy go on. No command fails, and nothing is lost.
func TestUpgradeByTheBook(t *testing.T) {
	c := plan(t, 3, t.TempDir())
	m := openManual(t, c, "Upgrade")
	older := previous(t)
	for _, n := range c.nodes {
		n.program = older
		n.start(t)
	}
	c.awaitAlive(t)
	nodes, seeds := c.nodes[:3:3], []string{"--join", c.nodes[0].gossip()}
	for i, name := range []string{"older-proxy", "newer-proxy"} {
		p := m.more(name, 30+i)
		if p.dir, p.flags = "", seeds; name == "newer-proxy" {
			p.program = program("holdfast")
		}
		p.start(t)
	}
	c.awaitAlive(t)
	l := load(t, connections, pause(), c.nodes[3:]...)
	for _, n := range nodes {
		l.during(sized(time.Second, 20*time.Second))
		m.on(n, "On each node in turn")
		<-n.done
		if n.err != nil {
			t.Errorf("%s: %v", n.name, n.err)
		}
		n.program = program("holdfast")
		n.start(t)
		m.on(n, "There, when it is started again")
	}
	l.during(sized(time.Second, 20*time.Second))
	r := l.stop()
	c.wantFarewells(t, nodes)
	c.settle(t, l, r, 0)
	m.complete()
}

// wantFarewells checks that the nodes were what they were meant to be: those of the version before ended without a goodbye, which
// those of this one say and understand.
func (c *cluster) wantFarewells(t *testing.T, upgraded []*member) {
	t.Helper()
	const goodbye = "it said goodbye"
	said := func() (n int) {
		for _, m := range upgraded {
			n += m.said(goodbye)
		}
		return n
	}
	if n := said(); n > 0 {
		t.Errorf("nodes of the version before said goodbye: %d lines", n)
	}
	upgraded[0].terminate(t)
	await(t, "a node of this version says goodbye", func() error {
		if said() == 0 {
			return errors.New("nobody heard it")
		}
		return nil
	})
	upgraded[0].start(t)
}
