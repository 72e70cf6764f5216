package node_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/node/nodetest"
)

// A load is one client that asks one command after the other.
type load struct {
	answered int
	last     error // how the connection ended
	bad      []string
}

// run asks until stop is closed or the connection ends. An error reply is bad; so is a connection that ends within a reply.
func (l *load) run(m *nodetest.Machine, name string, stop <-chan struct{}) {
	c := m.Client()
	defer c.Close()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		key, value := fmt.Sprint(name, i%20), fmt.Sprint(i)
		for _, command := range [][]any{{"SET", key, value}, {"GET", key}, {"INCR", name}, {"PUTCTX", key, "", value}, {"DEL", key}} {
			switch answer := c.Do(command...).(type) {
			case nodetest.Error:
				l.bad = append(l.bad, fmt.Sprint(command, ": ", answer))
			case error:
				l.last = answer
				return
			default:
				l.answered++
			}
		}
	}
}

func TestGracefulShutdownUnderLoadIsNotNoticed(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		const each = 4
		loads := make([]load, each*len(c.Machines))
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range loads {
			wg.Go(func() { loads[i].run(c.Machines[i/each], fmt.Sprint("client", i, "-"), stop) })
		}
		time.Sleep(300 * time.Millisecond)
		c.Machines[0].Stop()
		time.Sleep(700 * time.Millisecond)
		close(stop)
		wg.Wait()
		var answered int
		for i, l := range loads {
			answered += l.answered
			if len(l.bad) > 0 {
				t.Errorf("client %d of %s: %d errors, first %s", i, c.Machines[i/each].Config.Name, len(l.bad), l.bad[0])
			}
			if own := i < each; own != (l.last != nil) {
				t.Errorf("client %d of %s: connection ended with %v", i, c.Machines[i/each].Config.Name, l.last)
			}
		}
		t.Logf("%d commands answered", answered)
	})
}

// Whoever takes over a counter's place begins after the last round of the node that leaves: two of them at once would make
// siblings of their results, and the counter would fall behind what was answered.
func TestGracefulShutdownLosesNoIncrement(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		const each, counters = 4, 8
		answered := make([][counters]int, each*len(c.Machines))
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range answered {
			wg.Go(func() { count(t, c.Machines[i/each], answered[i][:], stop) })
		}
		time.Sleep(300 * time.Millisecond)
		c.Machines[0].Stop()
		time.Sleep(300 * time.Millisecond)
		close(stop)
		wg.Wait()
		for k := range counters {
			var sum int
			for i := range answered {
				sum += answered[i][k]
			}
			if got := must(t, c.Machines[1], "GET", fmt.Sprint("counter", k)); got != fmt.Sprint(sum) {
				t.Errorf("counter %d is %v after %d increments", k, got, sum)
			}
		}
	})
}

// count increments counters in turn until stop is closed or the connection ends, and notes what was answered.
func count(t *testing.T, m *nodetest.Machine, answered []int, stop <-chan struct{}) {
	c := m.Client()
	defer c.Close()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		k := i % len(answered)
		switch answer := c.Do("INCR", fmt.Sprint("counter", k)).(type) {
		case nodetest.Error:
			t.Errorf("INCR at %s: %v", m.Config.Name, answer)
		case error:
			return
		default:
			answered[k]++
		}
	}
}

// Two nodes that stop at once leave some partitions without a quorum, and that may be said. None of their answers may be lost.
func TestTwoGracefulShutdownsAtOnceLeaveNoAnswerOpen(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		const each = 3
		loads := make([]load, each*len(c.Machines))
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range loads {
			wg.Go(func() { loads[i].run(c.Machines[i/each], fmt.Sprint("client", i, "-"), stop) })
		}
		time.Sleep(200 * time.Millisecond)
		var stops sync.WaitGroup
		stops.Go(c.Machines[0].Stop)
		time.Sleep(time.Millisecond)
		stops.Go(c.Machines[1].Stop)
		stops.Wait()
		time.Sleep(100 * time.Millisecond)
		close(stop)
		wg.Wait()
		for i, l := range loads {
			for _, bad := range l.bad {
				if !strings.Contains(bad, "NOQUORUM") {
					t.Errorf("client %d of %s: %s", i, c.Machines[i/each].Config.Name, bad)
				}
			}
		}
	})
}

// Stop fails the test when a node does not end within ten seconds; in this time it cannot wait for the dead.
func TestGracefulShutdownBesideADeadNodeIsQuick(t *testing.T) {
	for _, c := range []struct {
		name string
		max  time.Duration
		lose func(c *nodetest.Cluster)
	}{
		{"killed", 2 * time.Second, func(c *nodetest.Cluster) { c.Machines[2].Kill() }},
		{"cut off", 5 * time.Second, func(c *nodetest.Cluster) { c.Split(c.Machines[:2], c.Machines[2:]) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, 3, func(t *testing.T, cluster *nodetest.Cluster) {
				c.lose(cluster)
				began := time.Now()
				cluster.Machines[0].Stop()
				if took := time.Since(began); took > c.max {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}
