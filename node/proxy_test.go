package node_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/nodetest"
)

// addProxy starts a proxy beside a cluster and waits until it serves.
func addProxy(c *nodetest.Cluster) *nodetest.Machine {
	m := c.Add(node.Config{Proxy: true, Join: []string{c.Machines[1].Config.Gossip}})
	m.MustStart()
	c.Eventually(20*time.Second, "the proxy serves and sees the nodes", func() bool { return m.Node.Ready() && m.Sees(c.Machines[:3]...) })
	return m
}

// line returns what one node's status says of another.
func lineOf(t *testing.T, at, of *nodetest.Machine) map[string]any {
	t.Helper()
	for _, n := range object(t, at, "STATUS")["nodes"].([]any) {
		if node := n.(map[string]any); node["name"] == of.Config.Name {
			return node
		}
	}
	return nil
}

func TestProxyServesAnyCommandAndHoldsNothing(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		p := addProxy(c)
		for i := range 30 {
			key := fmt.Sprint("key", i)
			must(t, p, "SET", key, i)
			if got := must(t, c.Machines[i%3], "GET", key); got != fmt.Sprint(i) {
				t.Errorf("GET at a node: %v", got)
			}
			must(t, p, "INCR", key)
			if got := must(t, p, "GET", key); got != fmt.Sprint(i+1) {
				t.Errorf("GET at the proxy: %v", got)
			}
		}
		if size := must(t, p, "DBSIZE"); size != int64(30) {
			t.Errorf("DBSIZE %v", size)
		}
		first := must(t, p, "PUTCTX", "k", "", "one")
		must(t, p, "PUTCTX", "k", "", "two")
		time.Sleep(10 * time.Millisecond) // within one millisecond the clocks of two nodes have no order
		must(t, c.Machines[0], "PUTCTX", "k", first, "three")
		versions := must(t, p, "GETV", "k").([]any)
		if got := fmt.Sprint(versions[1]); got != "[three two]" {
			t.Errorf("GETV %s", got)
		}
		must(t, p, "DELCTX", "k", versions[0])
		if got := must(t, c.Machines[2], "GET", "k"); got != nil {
			t.Errorf("after DELCTX: %v", got)
		}
		_, metrics := fetch(t, c, p, "/metrics")
		for _, want := range []string{"holdfast_keys 0", "holdfast_members_alive 3", `holdfast_coordinated_seconds_count{op="write"} 0`} {
			if !strings.Contains(metrics, "\n"+want+"\n") {
				t.Errorf("/metrics lacks %q", want)
			}
		}
	})
}

func TestProxyIsInTheStatusAndNotInTheRing(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		p := addProxy(c)
		id := p.Node.ID()
		for _, at := range c.Machines {
			c.Eventually(10*time.Second, "each node shows the proxy", func() bool { return lineOf(t, at, p) != nil })
			line := lineOf(t, at, p)
			if line == nil || line["status"] != "proxy" || line["alive"] != true || line["keys"] != float64(0) {
				t.Errorf("status at %s: %v", at.Config.Name, line)
			}
			if nodes := at.Ring().Nodes; len(nodes) != 3 {
				t.Errorf("the ring at %s has %d nodes", at.Config.Name, len(nodes))
			}
		}
		p.Kill()
		c.Eventually(20*time.Second, "it is forgotten", func() bool { return lineOf(t, c.Machines[0], p) == nil })
		p.MustStart()
		c.Eventually(20*time.Second, "it is back", func() bool { return lineOf(t, c.Machines[0], p) != nil })
		if p.Node.ID() == id {
			t.Error("it came back under its old id")
		}
		p.Stop()
		c.Eventually(5*time.Second, "it took its leave", func() bool { return lineOf(t, c.Machines[0], p) == nil })
	})
}

// No replica is the proxy's, so each may die, and no reply may fail for it.
func TestProxyFailsNothingWhileANodeDies(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		p := addProxy(c)
		c.Machines[2].Kill()
		for i := range 60 {
			key := fmt.Sprint("key", i%7)
			must(t, p, "SET", key, i)
			if got := must(t, p, "GET", key); got != fmt.Sprint(i) {
				t.Errorf("GET: %v", got)
			}
			must(t, p, "PUTCTX", "versions", "", i)
			time.Sleep(50 * time.Millisecond)
		}
		c.Machines[2].MustStart()
		c.AwaitReady(c.Machines[:3]...)
		c.AwaitQuiet()
	})
}

func TestProxyDoesNotCountAmongFounders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 3, nil)
		defer c.Close()
		seeds := c.Machines[0].Config.Join
		p := c.Add(node.Config{Proxy: true, Join: seeds})
		self := c.Add(node.Config{Proxy: true, Join: []string{"127.0.0.5:7946", seeds[0]}})
		for _, m := range []*nodetest.Machine{p, self, c.Machines[0], c.Machines[1]} {
			m.MustStart()
		}
		time.Sleep(20 * time.Second)
		if wait := c.Machines[0].Node.Waiting(); !strings.Contains(wait, "2 of 3 nodes have met") {
			t.Errorf("with two nodes and two proxies: %q", wait)
		}
		if status, body := fetch(t, c, p, "/readyz"); status != 503 || !strings.Contains(body, "--join") {
			t.Errorf("/readyz of a proxy without a cluster: %d %s", status, body)
		}
		if wait := self.Node.Waiting(); !strings.Contains(wait, "this proxy itself") {
			t.Errorf("a proxy that is its own first seed waits for %q", wait)
		}
		if got, _ := p.Do("SET", "k", "v").(nodetest.Error); !strings.HasPrefix(string(got), "NOQUORUM") {
			t.Errorf("SET without a cluster: %v", got)
		}
		c.Machines[2].MustStart()
		c.AwaitReady(c.Machines[:3]...)
		c.Eventually(20*time.Second, "the proxies serve", func() bool { return p.Node.Ready() && self.Node.Ready() })
		if nodes := p.Ring().Nodes; len(nodes) != 3 {
			t.Errorf("founded with %d members", len(nodes))
		}
	})
}

// A proxy hears which operations of the nodes are settled, or each context that it hands out would remember their stamps.
func TestProxyHearsWhatIsSettled(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		p := addProxy(c)
		for _, m := range c.Machines[:3] {
			must(t, m, "SET", "k", "v")
			c.Eventually(10*time.Second, "the proxy's context is as short as the node's own", func() bool {
				own, ours := must(t, m, "GETV", "k").([]any), must(t, p, "GETV", "k").([]any)
				return len(own[0].(string)) == len(ours[0].(string))
			})
		}
	})
}

// A proxy remembers no boot, so it must not be counted among those that confirm one: a restored directory would be believed.
func TestProxyConfirmsNoBoot(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		addProxy(c)
		m := c.Machines[0]
		bits := m.Node.Store().Boot().Bits
		m.Stop()
		c.Split([]*nodetest.Machine{m}, c.Machines[1:3]) // only the proxy is in reach
		m.MustStart()
		time.Sleep(20 * time.Second)
		if m.Node.Store().Boot().Bits == bits {
			t.Error("took its bits up again on a proxy's word")
		}
		c.Join([]*nodetest.Machine{m}, c.Machines[1:3])
		c.Eventually(20*time.Second, "the nodes confirm the boot", func() bool { return m.Node.Store().Boot().Bits == bits })
	})
}

func TestProxyRefusals(t *testing.T) {
	whole := node.Config{Name: "p", Proxy: true, Join: []string{"127.0.0.1:7946"}}
	if err := whole.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*node.Config)
		says   string
	}{
		"a directory":    {func(c *node.Config) { c.Dir = "data" }, "--dir"},
		"nobody to join": {func(c *node.Config) { c.Join = nil }, "--proxy needs --join"},
		"to be expected": {func(c *node.Config) { c.Expect = 3 }, "--expect 3: a proxy founds nothing"},
	} {
		cfg := whole
		cfg.Join = slices.Clone(whole.Join)
		c.change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
