//go:build linux

package e2e

import (
	"syscall"
	"testing"
	"time"
)

// Two nodes in each of three zones, and one zone killed at one moment: no command of the others' clients fails, and when
// the zone is back nothing is missing.
func TestKillingAZoneFailsNoCommandOfTheOthersClients(t *testing.T) {
	c := plan(t, 6, t.TempDir())
	for i, m := range c.nodes {
		m.flags = append(m.flags, "--zone", []string{"a", "b", "c"}[i%3])
		m.start(t)
	}
	c.awaitAlive(t)
	zone, rest := []*member{c.nodes[2], c.nodes[5]}, []*member{c.nodes[0], c.nodes[1], c.nodes[3], c.nodes[4]}
	l := load(t, connections, sized(40*time.Millisecond, 0), rest...)
	l.during(sized(time.Second, 10*time.Second))
	killed := l.now()
	for _, m := range zone {
		m.signal(t, syscall.SIGKILL)
	}
	for _, m := range zone {
		<-m.done
	}
	l.during(sized(4*time.Second, 20*time.Second))
	r := l.stop()
	for _, m := range zone {
		m.start(t)
	}
	c.settle(t, l, r, killed)
}
