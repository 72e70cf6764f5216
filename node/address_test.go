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

// move gives a machine another address and other ports, as a container that is started elsewhere has. Its disk goes with it.
func move(m *nodetest.Machine, ip string) {
	m.IP = ip
	m.Config.RESP, m.Config.HTTP, m.Config.Peer, m.Config.Gossip = ip+":16379", ip+":18379", ip+":17379", ip+":17946"
}

// A node that comes back elsewhere is the same node: it is found, its hints find it, and what it held it holds.
func TestNodeThatMovesIsTheSameNode(t *testing.T) {
	for _, tt := range []struct {
		proves string
		end    func(*nodetest.Machine)
		away   time.Duration
	}{
		{"after it ended well", (*nodetest.Machine).Stop, 5 * time.Second},
		{"after it was killed", (*nodetest.Machine).Kill, 5 * time.Second},
		{"before anybody noticed that it was gone", (*nodetest.Machine).Kill, 0},
	} {
		t.Run(tt.proves, func(t *testing.T) {
			inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
				rest, moved := c.Machines[:2], c.Machines[2]
				was := moved.Ring()
				must(t, moved, "SET", "before", "v")
				load := startTraffic(t, false, rest...)
				tt.end(moved)
				time.Sleep(tt.away)
				must(t, rest[0], "SET", "meanwhile", "v")
				move(moved, "127.0.0.99")
				moved.MustStart()
				took := seenFrom(c, 15*time.Second)
				load.stop()
				c.AwaitQuiet()
				if took > 5*time.Second {
					t.Errorf("all see it for good only after %v", took)
				}
				sameCluster(t, c, fmt.Sprint(was))
				holds(t, moved, "before", "meanwhile")
				t.Logf("all see it for good after %v", took)
			})
		})
	}
}

// seenFrom watches for some time and returns when it was that all machines saw all for good.
func seenFrom(c *nodetest.Cluster, watch time.Duration) (since time.Duration) {
	for began := time.Now(); time.Since(began) < watch; time.Sleep(50 * time.Millisecond) {
		for _, m := range c.Machines {
			if !m.Sees(c.Machines...) {
				since = time.Since(began)
			}
		}
	}
	return since
}

// sameCluster wants every machine to show the ring as it was, and the machines where they are now.
func sameCluster(t *testing.T, c *nodetest.Cluster, ring string) {
	t.Helper()
	for _, m := range c.Machines {
		if got := fmt.Sprint(m.Ring()); got != ring {
			t.Errorf("the ring at %s is\n%s\nand was\n%s", m.Config.Name, got, ring)
		}
		shown := must(t, m, "CLUSTER", "NODES").(string)
		for _, other := range c.Machines {
			if !strings.Contains(shown, other.Config.RESP+"@") {
				t.Errorf("%s does not show %s at %s:\n%s", m.Config.Name, other.Config.Name, other.Config.RESP, shown)
			}
		}
	}
}

// holds wants a machine to have these keys: with one copy asked, it is its own that answers.
func holds(t *testing.T, m *nodetest.Machine, keys ...string) {
	t.Helper()
	client := m.Client()
	defer client.Close()
	client.Do("HOLDFAST", "QUORUM", "R", "1")
	for _, key := range keys {
		if got := client.Do("GET", key); got != "v" {
			t.Errorf("%s at R=1 on %s: %v", key, m.Config.Name, got)
		}
	}
}

// Every node is started elsewhere at once, as after a new deployment: the seeds alone know where, and no address that anybody
// remembers is right.
func TestClusterThatMovesWholeIsOneAgain(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		must(t, c.Machines[0], "SET", "before", "v")
		was := c.Machines[0].Ring()
		for _, m := range c.Machines {
			m.Stop()
		}
		for i, m := range c.Machines {
			move(m, fmt.Sprintf("127.0.0.%d", 91+i))
			m.Config.Join = []string{"127.0.0.91:17946"}
		}
		for _, m := range c.Machines {
			m.MustStart()
		}
		c.AwaitReady(c.Machines...)
		sameCluster(t, c, fmt.Sprint(was))
		if got := must(t, c.Machines[2], "GET", "before"); got != "v" {
			t.Errorf("GET: %v", got)
		}
	})
}

// A member, and one that would join, start while nobody else is there: they go on trying, and say so once a minute.
func TestNodesWhoseSeedsAreDownKeepTryingAndSaySo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 3, nil)
		defer c.Close()
		c.Start()
		for _, m := range c.Machines {
			m.Stop()
		}
		member, joiner := c.Machines[2], c.Add(node.Config{Join: []string{c.Machines[0].Config.Gossip}})
		founders := c.Machines[:2]
		member.Log, joiner.Log = &nodetest.Log{}, &nodetest.Log{}
		member.MustStart()
		joiner.MustStart()
		time.Sleep(5 * time.Minute)
		for m, says := range map[*nodetest.Machine]string{member: "waiting for other nodes", joiner: "waiting for a cluster"} {
			if lines := m.Log.Lines(says); len(lines) < 5 || len(lines) > 7 {
				t.Errorf("%s has %d lines in five minutes, want one a minute:\n%s", m.Config.Name, len(lines), m.Log)
			}
		}
		if lines := member.Log.Lines("waiting for other nodes"); len(lines) > 0 && !strings.Contains(lines[0], "node-1") {
			t.Errorf("it does not say for whom: %s", lines[0])
		}
		for _, m := range founders {
			m.MustStart()
		}
		c.AwaitReady(c.Machines[:3]...)
		said := len(member.Log.Lines("waiting for other nodes"))
		time.Sleep(3 * time.Minute)
		if n := len(member.Log.Lines("waiting for other nodes")); n != said {
			t.Error("it still waits")
		}
		if wait := joiner.Node.Waiting(); wait != "" {
			t.Errorf("the joiner still waits: %s", wait)
		}
	})
}

// A cut that lasts far longer than gossip remembers the dead for.
func TestClusterCutInTwoForMinutesBecomesOneByItself(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, c *nodetest.Cluster) {
		one, other := c.Machines[:2], c.Machines[2:]
		c.Split(one, other)
		awaitSplit(c, one, other)
		for minute := range 5 {
			must(t, other[minute%3], "SET", fmt.Sprint("minute", minute), "v")
			time.Sleep(time.Minute)
		}
		c.Join(one, other)
		began := time.Now()
		c.AwaitReady(c.Machines...)
		took := time.Since(began)
		c.AwaitQuiet()
		if took > 10*time.Second {
			t.Errorf("one again only after %v", took)
		}
		for minute := range 5 {
			for _, m := range c.Machines {
				if got := must(t, m, "GET", fmt.Sprint("minute", minute)); got != "v" {
					t.Errorf("minute %d at %s: %v", minute, m.Config.Name, got)
				}
			}
		}
		t.Logf("one again %v after the cut was mended", took)
	})
}
