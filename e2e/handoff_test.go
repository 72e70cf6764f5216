//go:build linux

package e2e

import (
	"fmt"
	"testing"
	"time"
)

// TestHintedHandoffAloneBringsEveryKeyBack writes while a node is dead, and lets nobody read until the node itself counts all
// keys. Then it is the only one left alive, so that a read by it can show nothing but its own copies.
func TestHintedHandoffAloneBringsEveryKeyBack(t *testing.T) {
	c := found(t, 3)
	victim, others := c.nodes[2], c.nodes[:2]
	victim.kill(t)
	keys := sized(5_000, 100_000)
	began := time.Now()
	names := fill(t, others, keys)
	t.Logf("%d keys written in %v while the node was dead", keys, time.Since(began).Round(time.Millisecond))
	if *full {
		<-time.After(max(0, time.Minute-time.Since(began)))
	}
	victim.start(t)
	ready := await(t, "the node serves again", victim.ready)
	took := await(t, "all keys are handed off", func() error {
		if own, err := victim.own(); err != nil || own.Keys != int64(keys) {
			return fmt.Errorf("it counts %d of %d keys, %v", own.Keys, keys, err)
		}
		return nil
	})
	c.awaitNoHints(t)
	t.Logf("ready after %v, all keys on it %v later; no hints left; read repairs so far: %s %s %s", ready.Round(time.Millisecond),
		took.Round(time.Millisecond), repairs(t, c.nodes[0]), repairs(t, c.nodes[1]), repairs(t, victim))
	for _, m := range others {
		m.kill(t)
	}
	holdsAlone(t, victim, names)
}

// repairs returns how many read repairs the node has sent.
func repairs(t *testing.T, m *member) string {
	t.Helper()
	return m.metric(t, "holdfast_read_repairs_total")
}

// fill writes n keys, each with its own name as value, through the nodes by turns, and returns the names.
func fill(t *testing.T, nodes []*member, n int) []string {
	t.Helper()
	return fillNamed(t, nodes, "key:", n)
}

// fillNamed is fill for keys that begin otherwise.
func fillNamed(t *testing.T, nodes []*member, front string, n int) []string {
	t.Helper()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint(front, i)
	}
	conns := len(nodes)
	for i, m := range nodes {
		conn := m.client(t)
		for from := i * n / conns; from < (i+1)*n/conns; from += pipelined {
			chunk := names[from:min(from+pipelined, (i+1)*n/conns)]
			for _, name := range chunk {
				if err := conn.Send("SET", name, name); err != nil {
					t.Fatal(err)
				}
			}
			if err := conn.Flush(); err != nil {
				t.Fatal(err)
			}
			for _, name := range chunk {
				if _, err := conn.Receive(); err != nil {
					t.Fatalf("SET %s: %v", name, err)
				}
			}
		}
	}
	return names
}

// holdsAlone reads all keys at R=1 from the only node that is alive.
func holdsAlone(t *testing.T, m *member, names []string) {
	t.Helper()
	conn := m.client(t)
	must(t, conn, "HOLDFAST", "QUORUM", "R", "1")
	missing := 0
	for name, reply := range fetch(t, conn, "GET", names) {
		if got := valuesOf(reply); len(got) != 1 || got[0] != name {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d keys are missing on %s alone", missing, len(names), m.name)
	}
}
