//go:build linux

package e2e

import (
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// growthMax is by how many bytes a proxy's memory may grow under load: what the collector leaves for later, and no data.
const growthMax = 24 << 20

// proxyOf starts a proxy of the cluster and waits until it serves.
func proxyOf(t *testing.T, c *cluster) *member {
	t.Helper()
	first := c.nodes[0]
	p := &member{name: "proxy", host: first.host[:len(first.host)-2] + "30", program: program("holdfast"),
		log: filepath.Join(t.TempDir(), "proxy.log"), flags: []string{"--join", first.gossip()}}
	t.Cleanup(func() {
		p.end()
		if t.Failed() {
			t.Logf("log of the proxy:\n%s", p.tail())
		}
	})
	p.start(t)
	await(t, "the proxy serves", p.ready)
	return p
}

func (m *member) memory(t *testing.T) int {
	t.Helper()
	n, err := strconv.ParseFloat(m.metric(t, "process_resident_memory_bytes"), 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// All clients of a proxy are served while a node behind it is killed and comes back, and it grows no larger for it.
func TestProxyUnderLoadFailsNoCommandWhileANodeDies(t *testing.T) {
	c := found(t, 3)
	p := proxyOf(t, c)
	l := load(t, connections, pause(), p)
	l.during(sized(2*time.Second, 20*time.Second))
	before := p.memory(t)
	killed := l.now()
	victim := c.nodes[2]
	victim.kill(t)
	l.during(sized(3*time.Second, 20*time.Second))
	victim.start(t)
	l.during(sized(3*time.Second, 60*time.Second))
	after := p.memory(t)
	r := l.stop()
	t.Logf("memory of the proxy: %d MiB under load, %d MiB at the end, after %d commands", before>>20, after>>20, len(r.samples))
	if after > before+growthMax {
		t.Errorf("the proxy grew by %d MiB", (after-before)>>20)
	}
	if keys := p.metric(t, "holdfast_keys"); keys != "0" {
		t.Errorf("the proxy holds %s keys", keys)
	}
	p.terminate(t)
	await(t, "nobody speaks of the proxy any more", func() error { return c.sees(c.nodes[0]) })
	c.settle(t, l, r, killed)
}
