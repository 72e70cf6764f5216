//go:build linux

package e2e

import (
	"syscall"
	"testing"
	"time"
)

const (
	connections = 50
	answerMax   = time.Second     // of an answer around a fault, in the full size
	faultWindow = 3 * time.Second // what counts as around a fault
)

// pause is the time between two commands of a connection in everyday runs, so that the machine is not the thing tested.
func pause() time.Duration { return sized(10*time.Millisecond, 0) }

func TestKillingOneOfThreeFailsNoCommandOfTheOthersClients(t *testing.T) {
	c := found(t, 3)
	victim := c.nodes[2]
	l := load(t, connections, pause(), c.nodes[0], c.nodes[1])
	l.during(sized(time.Second, 10*time.Second))
	killed := l.now()
	victim.kill(t)
	l.during(sized(4*time.Second, 20*time.Second))
	r := l.stop()
	victim.start(t)
	if n := r.forks(); n > 0 {
		t.Errorf("%d increments answered what another had answered, though a node that dies leaves no doubt who coordinates", n)
	}
	c.settle(t, l, r, killed)
}

func TestStoppingOneOfThreeFailsNoCommandAndBringsNothingBack(t *testing.T) {
	c := found(t, 3)
	victim := c.nodes[2]
	l := load(t, connections, pause(), c.nodes[0], c.nodes[1])
	l.during(sized(time.Second, 10*time.Second))
	stopped := l.now()
	victim.signal(t, syscall.SIGSTOP)
	l.during(sized(4*time.Second, 20*time.Second))
	victim.signal(t, syscall.SIGCONT)
	l.during(sized(2*time.Second, 10*time.Second))
	r := l.stop()
	// While the nodes do not agree yet that it is back, two may coordinate one key: increments stand beside each other.
	t.Logf("%d increments answered what another had answered", r.forks())
	c.settle(t, l, r, stopped)
}

func TestTerminatingOneOfThreeLeavesNoAnswerOpen(t *testing.T) {
	c := found(t, 3)
	leaver := c.nodes[2]
	l := load(t, connections, pause(), c.nodes[0], c.nodes[1])
	l.during(sized(time.Second, 10*time.Second))
	left := l.now()
	leaver.terminate(t)
	l.during(sized(time.Second, 10*time.Second))
	r := l.stop()
	leaver.start(t)
	if r.unsure > 0 {
		t.Errorf("%d answers were MAYBE, though a node that leaves in good order owes none", r.unsure)
	}
	if n := r.forks(); n > 0 {
		t.Errorf("%d increments answered what another had answered, though a node hands its counters over", n)
	}
	c.settle(t, l, r, left)
}

// forks counts the increments of all counters that two nodes carried out at once.
func (r *record) forks() (n int) {
	for _, c := range r.counters {
		n += c.Forks()
	}
	return n
}

// settle waits until the cluster is whole and quiet, and checks what the load saw.
func (c *cluster) settle(t *testing.T, l *workload, r record, fault time.Duration) {
	t.Helper()
	c.awaitAlive(t)
	c.awaitNoHints(t)
	c.allRun(t)
	slowest := r.report(t, fault, faultWindow)
	if *full && slowest > answerMax {
		t.Errorf("the slowest answer around the fault took %v, want %v at most", slowest, answerMax)
	}
	r.answered(t)
	r.verify(t, l, 1, c.nodes...)
}
