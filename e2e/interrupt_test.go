//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/holdfastdb/holdfast/protocol"
	"github.com/holdfastdb/holdfast/ring"
)

// What is transferred while nodes are killed: so much that it takes a moment, in partitions of several chunks.
const (
	bulkyValue      = 64 << 10
	bulkyPartitions = "16"
	chunkBytes      = 1<<20 + bulkyValue // at most in one answer of a transfer
	chunksUnderWay  = 2                  // as many partitions are taken over at once
	sketchBytes     = 64                 // a question and its answer may cost for each row that is there already, with all retries
)

// bulky is values that take a moment to transfer.
type bulky []string

func (b bulky) value(name string) string { return strings.Repeat(name+" ", bulkyValue/(len(name)+1)) }

// loadBulky fills the cluster with them.
func loadBulky(t *testing.T, c *cluster, keys int) (b bulky) {
	t.Helper()
	conn := c.nodes[0].client(t)
	for i := range keys {
		b = append(b, fmt.Sprint("bulky:", i))
		must(t, conn, "SET", b[i], b.value(b[i]))
	}
	return b
}

// verify reads all of them through a node, one copy each.
func (b bulky) verify(t *testing.T, m *member) {
	t.Helper()
	conn, missing := m.client(t), 0
	must(t, conn, "HOLDFAST", "QUORUM", "R", 1)
	for _, name := range b {
		if got, err := redis.String(conn.Do("GET", name)); err != nil || got != b.value(name) {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d values are missing through %s", missing, len(b), m.name)
	}
}

// gauge returns a metric as a number.
func (m *member) gauge(t *testing.T, name string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(m.metric(t, name), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// holdInTheMiddle returns when a node has taken so many bytes from others, and stops one of those, so that the transfer stays under way
// however long what comes next takes. The owner goes on at release.
func holdInTheMiddle(t *testing.T, joiner, owner *member, bytes float64) (release func()) {
	t.Helper()
	await(t, joiner.name+" answers", joiner.ready)
	await(t, joiner.name+" takes over", func() error {
		if got := joiner.gauge(t, transferBytes); got < bytes {
			return fmt.Errorf("%.0f bytes", got)
		}
		return nil
	})
	owner.signal(t, syscall.SIGSTOP)
	var s protocol.Status
	if err := joiner.ask(&s, "STATUS"); err != nil || s.Change == nil {
		t.Fatalf("the transfer to %s is over before its middle: %v", joiner.name, err)
	}
	return func() { owner.signal(t, syscall.SIGCONT) }
}

const transferBytes = "holdfast_transfer_bytes_total"

// TestATransferGoesOnWhereAKillStoppedIt kills the joining node, and then the others, while data moves to it, and starts each
// again: nothing that had arrived is sent again but what was on its way.
func TestATransferGoesOnWhereAKillStoppedIt(t *testing.T) {
	c := found(t, 4, "--partitions", bulkyPartitions)
	values := loadBulky(t, c, sized(400, 3_000))
	joiner := c.newcomer(t, "node-5")
	joiner.start(t)
	release := holdInTheMiddle(t, joiner, c.nodes[3], 2<<20)
	before := joiner.gauge(t, transferBytes)
	for _, victim := range []*member{joiner, c.nodes[0], c.nodes[1]} {
		victim.kill(t)
		victim.start(t)
		await(t, victim.name+" serves again", victim.ready)
	}
	release()
	took := c.awaitRest(t)
	sent := before + joiner.gauge(t, transferBytes)
	fair(t, joiner.ring(t), len(c.nodes))
	c.holdOnlyTheirOwn(t, values)
	for _, m := range c.nodes {
		values.verify(t, m)
	}
	owned := 0
	for _, name := range values {
		if c.owns(t, joiner, name) {
			owned++
		}
	}
	least := float64(owned * bulkyValue)
	most := least + chunksUnderWay*chunkBytes + float64(owned*sketchBytes*c.nodes[0].ring(t).N)
	t.Logf("at rest %v after the last kill; %.0f bytes sent, %.0f were due, %.0f are allowed; %.0f were sent before the first", took, sent, least, most, before)
	if sent > most {
		t.Errorf("%.0f bytes were sent to take %.0f over", sent, least)
	}
	c.allRun(t)
}

// owns reports whether the node is an owner of the key.
func (c *cluster) owns(t *testing.T, m *member, key string) bool {
	t.Helper()
	r := m.ring(t)
	for _, name := range r.Preference[ring.PartitionOf(ring.Slot([]byte(key)), r.Partitions)] {
		if name == m.name {
			return true
		}
	}
	return false
}

// TestStatusNamesWhoATransferWaitsForAndRemoveFreesIt kills a sender, and then the joining node, in the middle of a transfer, and starts
// neither again.
func TestStatusNamesWhoATransferWaitsForAndRemoveFreesIt(t *testing.T) {
	c := found(t, 4, "--partitions", bulkyPartitions)
	values := loadBulky(t, c, 400)
	first := c.nodes[0]
	for _, victim := range []int{2, 4} { // a sender, and the second joining node: the first has taken the sender's place by then
		joiner := c.newcomer(t, fmt.Sprint("joiner-", victim))
		joiner.start(t)
		release := holdInTheMiddle(t, joiner, c.nodes[1], 1<<20)
		dead := c.nodes[victim]
		dead.kill(t)
		release()
		wants := "which is down: start it again, or give it up with `holdfast remove " + dead.name + "`"
		took := await(t, "status names "+dead.name, func() error { return statusSays(t, first, "waits for "+dead.name+" to ", wants) })
		t.Logf("status named %s %v after its death", dead.name, took)
		await(t, "a dead node can be removed", func() error { _, err := asked(t, first, "REMOVE", dead.name); return err })
		c.part(t, dead)
		t.Logf("at rest %v after the removal", c.awaitRest(t))
		fair(t, first.ring(t), len(c.nodes))
		c.holdOnlyTheirOwn(t, values)
		for _, m := range c.nodes {
			values.verify(t, m)
		}
	}
	c.allRun(t)
}

// asked sends a command of HOLDFAST to a node.
func asked(t *testing.T, m *member, words ...any) (any, error) {
	t.Helper()
	conn, err := m.dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.Do("HOLDFAST", words...)
}

// statusSays returns nil if a line of `holdfast status` has all these words.
func statusSays(t *testing.T, m *member, words ...string) error {
	t.Helper()
	text := holdfast(t, "status", "--addr", m.resp())
	for line := range strings.Lines(text) {
		has := 0
		for _, w := range words {
			if strings.Contains(line, w) {
				has++
			}
		}
		if has == len(words) {
			return nil
		}
	}
	return errors.New("no line with " + strings.Join(words, " and ") + " in\n" + text)
}
