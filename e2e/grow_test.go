//go:build linux

package e2e

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/holdfastdb/holdfast/faults/history"
)

const (
	growConnections = 30
	deletedEvery    = 10 // of the keys loaded before, one in so many is deleted before anything changes
)

// phase is a stretch of a test, by the workload's clock.
type phase struct {
	name        string
	began, took time.Duration
}

// TestTheRingGrowsShrinksAndHealsUnderLoad has two nodes join, one of them leave, and the other die and be replaced, while clients of
// the nodes that stay check every answer.
func TestTheRingGrowsShrinksAndHealsUnderLoad(t *testing.T) {
	c := found(t, 3)
	stay := c.nodes
	kept := loaded(t, c.nodes, sized(10_000, 300_000))
	l := load(t, growConnections, sized(20*time.Millisecond, 2*time.Millisecond), stay...)
	l.during(sized(2*time.Second, 10*time.Second))
	phases := []phase{{"before", 0, l.now()}}
	sloppy := history.Never // from when on a fallback has perhaps stood in: nodes that are slow for a moment have one, too
	change := func(name string, act func()) {
		before, began := c.nodes[0].ring(t), l.now()
		if n := c.fallbacks(t); n > 0 && sloppy == history.Never {
			t.Logf("%d copies went to fallbacks before %q", n, name)
			sloppy = 0
		}
		act()
		c.awaitRest(t)
		p := phase{name, began, l.now() - began}
		phases = append(phases, p)
		after := c.nodes[0].ring(t)
		fair(t, after, len(c.nodes))
		moved, least := movedFew(t, before, after)
		t.Logf("%s: %d copies moved, %d had to, in %v; pulled so far: %s", name, moved, least, p.took.Round(time.Millisecond), c.pulled(t))
	}
	change("grow to 5", func() {
		c.newcomer(t, "node-4").start(t)
		c.newcomer(t, "node-5").start(t)
	})
	change("shrink to 4", func() { c.leave(t, c.nodes[4]) })
	change("replace", func() {
		dead := c.nodes[3]
		sloppy = min(sloppy, l.now())
		dead.kill(t)
		c.newcomer(t, "node-6", "--replace", dead.name).start(t)
		c.part(t, dead)
	})
	r := l.stop()
	for _, p := range phases {
		r.tell(t, p)
	}
	r.answered(t)
	if n := r.forks(); n > 0 {
		t.Errorf("%d increments answered what another had answered, though first places are handed over", n)
	}
	c.awaitAlive(t)
	c.awaitNoHints(t)
	r.verifySloppy(t, l, 1, sloppy, c.nodes...)
	kept.verify(t, c)
	c.holdOnlyTheirOwn(t, append(kept.there, r.present(t, c.nodes[0])...))
	c.allRun(t)
}

// fallbacks returns how many copies the nodes have sent to fallbacks.
func (c *cluster) fallbacks(t *testing.T) (sum int) {
	t.Helper()
	for _, m := range c.nodes {
		n, err := strconv.Atoi(m.metric(t, "holdfast_fallbacks_total"))
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// leave has a node leave by the operator's command while a client of it goes on: it is served until it has closed its connection, and
// only then does the process end, well.
func (c *cluster) leave(t *testing.T, m *member) {
	t.Helper()
	conn, counted := m.client(t), 0
	serves := func() error {
		counted++
		n, err := redis.Int(conn.Do("INCR", "counted-by-the-last-client"))
		if err != nil || n != counted {
			return fmt.Errorf("INCR %d: %d, %v", counted, n, err)
		}
		return nil
	}
	holdfast(t, "leave", "--addr", m.resp())
	awaitWithin(t, sized(patience, restMax), "all but the client has left "+m.name, func() error {
		if err := serves(); err != nil {
			t.Fatalf("the client of the node that leaves: %v", err)
		}
		return c.handedOn(m)
	})
	for range 10 {
		if err := serves(); err != nil || !m.running() {
			t.Errorf("when all else has left: %v; it runs: %v", err, m.running())
		}
	}
	_ = conn.Close()
	c.leaves(t, m)
}

// pulled says how many rows and bytes each node took from others.
func (c *cluster) pulled(t *testing.T) (text string) {
	t.Helper()
	for _, m := range c.nodes {
		bytes, err := strconv.ParseFloat(m.metric(t, "holdfast_transfer_bytes_total"), 64)
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf(" %s %s rows %d KiB,", m.name, m.metric(t, "holdfast_pulled_rows_total"), int(bytes)>>10)
	}
	return text
}

// tell prints how long the commands of a phase took.
func (r *record) tell(t *testing.T, p phase) {
	t.Helper()
	var within []sample
	for _, s := range r.samples {
		if s.at >= p.began && s.at < p.began+p.took {
			within = append(within, s)
		}
	}
	t.Logf("%-12s %8v: %s; MAYBE in all %d, failed %d", p.name, p.took.Round(time.Millisecond), latencies(within), r.unsure, r.failed)
}

// keeping is what was loaded before: keys that must stay, and deleted ones that must stay away.
type keeping struct{ there, gone []string }

// loaded fills the cluster through these nodes with keys, each with its name as value, and deletes some of them.
func loaded(t *testing.T, nodes []*member, keys int) (k keeping) {
	t.Helper()
	for i, name := range fill(t, nodes, keys) {
		if i%deletedEvery == 0 {
			k.gone = append(k.gone, name)
		} else {
			k.there = append(k.there, name)
		}
	}
	fetch(t, nodes[0].client(t), "DEL", k.gone)
	return k
}

// verify reads all keys through every node, one copy each.
func (k keeping) verify(t *testing.T, c *cluster) {
	t.Helper()
	for _, m := range c.nodes {
		conn := m.client(t)
		must(t, conn, "HOLDFAST", "QUORUM", "R", 1)
		lost, back := 0, 0
		for name, reply := range fetch(t, conn, "GET", k.there) {
			if got := valuesOf(reply); len(got) != 1 || got[0] != name {
				lost++
			}
		}
		for _, reply := range fetch(t, conn, "GET", k.gone) {
			if reply != nil {
				back++
			}
		}
		if lost+back > 0 {
			t.Errorf("through %s, of %d keys %d are lost, and of %d deleted ones %d are back", m.name, len(k.there), lost, len(k.gone), back)
		}
	}
}

// present returns the keys of the load that are there now.
func (r *record) present(t *testing.T, m *member) (keys []string) {
	t.Helper()
	all := append(append(keysOf(r.registers), keysOf(r.versions)...), append(keysOf(r.counters), keysOf(r.appends)...)...)
	for key, reply := range fetch(t, m.client(t), "GET", append(all, "counted-by-the-last-client")) {
		if reply != nil {
			keys = append(keys, key)
		}
	}
	return keys
}
