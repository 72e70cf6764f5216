package node_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/nodetest"
	"github.com/holdfastdb/holdfast/replica/replicatest"
)

var powerCuts = flag.Int("powercuts", 10, "how many seeds TestPowerCut runs; with -short a quarter")

// ledger is what was acknowledged: values put blindly, so that each has to stay for ever, and every dot seen with its value.
type ledger struct {
	t     *testing.T
	keys  map[string][]string
	dots  map[string][]byte // key and dot
	asked int
	// refused is what the others were answered.
	refused []error
}

func newLedger(t *testing.T) *ledger {
	return &ledger{t: t, keys: map[string][]string{}, dots: map[string][]byte{}}
}

// put adds siblings to a few keys through the machine; what it acknowledges is noted. It reports whether it did.
func (l *ledger) put(m *nodetest.Machine) bool {
	key, value := fmt.Sprint("key", l.asked%7), fmt.Sprint("value", l.asked)
	l.asked++
	err, failed := m.Do("PUTCTX", key, "", value).(error)
	if failed {
		l.refused = append(l.refused, err)
		return false
	}
	l.keys[key] = append(l.keys[key], value)
	return true
}

// collect notes every dot that the machines hold, and fails where one has two values.
func (l *ledger) collect(machines ...*nodetest.Machine) {
	l.t.Helper()
	for _, m := range machines {
		for key := range l.keys {
			state, err := m.Node.Held(key)
			if err != nil {
				l.t.Fatal(err)
			}
			for _, s := range state.Siblings {
				l.note(m, key, s)
			}
		}
	}
}

func (l *ledger) note(m *nodetest.Machine, key string, s causal.Sibling) {
	l.t.Helper()
	id := fmt.Sprint(key, " ", s.Dot)
	if known, ok := l.dots[id]; ok && !bytes.Equal(known, s.Value) {
		l.t.Errorf("%s: dot %s was minted for %q and for %q", m.Config.Name, id, known, s.Value)
	}
	l.dots[id] = s.Value
}

// check reads every key at every machine, and fails where an acknowledged value is missing.
func (l *ledger) check(machines ...*nodetest.Machine) {
	l.t.Helper()
	for _, m := range machines {
		for key, want := range l.keys {
			_, got := getv(l.t, m, key)
			for _, v := range want {
				if _, found := slices.BinarySearch(got, v); !found {
					l.t.Errorf("%s at %s has lost %s", key, m.Config.Name, v)
				}
			}
		}
	}
}

func (l *ledger) String() string {
	n := 0
	for _, values := range l.keys {
		n += len(values)
	}
	return fmt.Sprintf("%d of %d puts acknowledged, %d dots; else %v", n, l.asked, len(l.dots), l.refused)
}

func TestDirectoryRestoredFromACopyLosesNothing(t *testing.T) {
	for _, tt := range []struct {
		proves string
		atOnce bool // it is written to before the others may have heard of it
		copied func(m *nodetest.Machine) *replicatest.Disk
	}{
		{"a copy of the running node's directory", true, func(m *nodetest.Machine) *replicatest.Disk { return m.Disk.Kill() }},
		{"the same, written to when it has settled", false, func(m *nodetest.Machine) *replicatest.Disk { return m.Disk.Kill() }},
		{"a copy made while it was shut down", true, copyCleanly},
		{"the same, written to when it might have taken up its former identity", false, copyCleanly},
	} {
		t.Run(tt.proves, func(t *testing.T) {
			inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
				l, m := newLedger(t), c.Machines[1]
				putAll(c, l, 40)
				disk := tt.copied(m)
				c.AwaitReady(c.Machines...)
				time.Sleep(5 * time.Second) // what comes now is minted under the identity that the copy has too
				putAll(c, l, 40)
				l.collect(c.Machines...)
				m.Stop()
				m.Disk = disk
				m.MustStart()
				if tt.atOnce {
					putAll(c, l, 20)
				}
				c.AwaitReady(c.Machines...)
				time.Sleep(5 * time.Second) // until it has asked the others about its boot
				putAll(c, l, 40)
				time.Sleep(time.Minute)
				putAll(c, l, 20)
				l.check(c.Machines...)
				time.Sleep(time.Minute)
				l.collect(c.Machines...)
				t.Log(l)
			})
		})
	}
}

// copyCleanly shuts the node down, copies its directory, and starts it again.
func copyCleanly(m *nodetest.Machine) *replicatest.Disk {
	m.Stop()
	disk := m.Disk.Copy(m.Config.Dir)
	m.MustStart()
	return disk
}

// putAll puts through every running machine in turn.
func putAll(c *nodetest.Cluster, l *ledger, n int) {
	for i := range n {
		if m := c.Machines[i%len(c.Machines)]; m.Node != nil {
			l.put(m)
		}
	}
}

func TestNodeWithAnEmptyDirectoryIsItsOwnReplacementAndNothingIsLost(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		l, m := newLedger(t), c.Machines[2]
		putAll(c, l, 60)
		m.Kill()
		putAll(c, l, 30)
		m.Disk = replicatest.NewDisk()
		m.MustStart()
		c.Eventually(30*time.Second, "it is told that its name is taken", func() bool { return strings.Contains(m.Node.Waiting(), "--replace node-3") })
		m.Stop()
		m.Config.Replace = m.Config.Name
		m.MustStart()
		c.Eventually(30*time.Second, "the new node serves", func() bool { return m.Node.Ready() })
		for range 30 {
			if !l.put(m) {
				t.Error("a put through the new node failed")
			}
		}
		resting(t, c, c.Machines...)
		l.check(c.Machines...)
		l.collect(c.Machines...)
		for key, want := range l.keys {
			if state, err := m.Node.Held(key); err != nil || len(state.Siblings) != len(want) {
				t.Errorf("the replacement holds %d siblings of %s, want %d (%v)", len(state.Siblings), key, len(want), err)
			}
		}
		t.Log(l)
	})
}

func TestPowerCut(t *testing.T) {
	for seed := range cuts() {
		for _, level := range []string{"os", "always"} {
			t.Run(fmt.Sprint(level, "/", seed), func(t *testing.T) { powerCut(t, uint64(seed), level) })
		}
	}
}

// powerCut cuts one node's power at a random point under load, twice.
func powerCut(t *testing.T, seed uint64, level string) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 0))
		c := nodetest.New(t, 3, func(_ int, cfg *node.Config) { cfg.Sync = level })
		defer c.Close()
		c.Start()
		l := newLedger(t)
		for range 2 {
			putAll(c, l, 10+rng.IntN(30))
			time.Sleep(time.Duration(rng.Int64N(int64(3 * time.Second))))
			putAll(c, l, rng.IntN(10))
			l.collect(c.Machines...)
			victim := c.Machines[rng.IntN(3)]
			victim.PowerCut(rng.IntN(101), rng)
			putAll(c, l, rng.IntN(10))
			time.Sleep(time.Duration(rng.Int64N(int64(3 * time.Second))))
			victim.MustStart()
			putAll(c, l, rng.IntN(10))
			c.AwaitReady(c.Machines...)
			putAll(c, l, 10)
			l.check(c.Machines...)
			l.collect(c.Machines...)
		}
		time.Sleep(time.Minute)
		l.check(c.Machines...)
		l.collect(c.Machines...)
		t.Log(l)
	})
}

// cuts is how many seeds TestPowerCut runs.
func cuts() int {
	if testing.Short() {
		return (*powerCuts + 3) / 4
	}
	return *powerCuts
}
