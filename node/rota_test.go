package node

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/ring"
)

func partitionsTo(n int) (ps []ring.Partition) {
	for p := range ring.Partition(n) {
		ps = append(ps, p)
	}
	return ps
}

// compared runs the rota for some steps with one neighbour and returns how often each partition was due.
func compared(r *rota, now *time.Duration, steps int, n neighbour) map[ring.Partition]int {
	due := make(map[ring.Partition]int)
	for range steps {
		for _, v := range r.next(*now, []neighbour{n}) {
			for _, p := range v.partitions {
				due[p]++
			}
		}
		*now += r.every
	}
	return due
}

func TestARoundComparesEveryPartitionOnce(t *testing.T) {
	for _, q := range []int{1, 7, 60, 256, 4096} {
		r, now := newRota(10*time.Second, 10*time.Minute), time.Duration(0)
		b := neighbour{ring.NodeID{1}, partitionsTo(q)}
		for compared(r, &now, 1, b); len(r.peers[b.node].urgent) > 0; { // all of it at first
			compared(r, &now, 1, b)
		}
		for p, times := range compared(r, &now, r.steps, b) {
			if times != 1 {
				t.Errorf("of %d partitions, %d is compared %d times", q, p, times)
			}
		}
		if due := compared(r, &now, r.steps, b); len(due) != q {
			t.Errorf("%d of %d partitions are compared", len(due), q)
		}
	}
}

func TestANodeThatComesBackIsComparedSoon(t *testing.T) {
	r, now := newRota(10*time.Second, time.Hour), time.Duration(0)
	b := neighbour{ring.NodeID{1}, partitionsTo(100)}
	soon := func(what string) {
		t.Helper()
		from := now
		due := map[ring.Partition]int{}
		for len(due) < len(b.shared) && now < from+time.Minute {
			before, step := now, compared(r, &now, 1, b)
			for p := range step {
				due[p]++
			}
			if len(step) > 1 && before < from+urgentAfter {
				t.Errorf("%s: compared after %v, before its hints are home", what, before-from)
			}
		}
		if len(due) < len(b.shared) {
			t.Errorf("%s: %d partitions in a minute", what, len(due))
		}
	}
	soon("the first time")
	if due := compared(r, &now, 10, b); len(due) > 10 {
		t.Errorf("%d partitions are compared although nothing happened", len(due))
	}
	r.next(now, nil)
	now += r.every
	soon("when it was away")
}

func TestWhatCouldNotBeComparedIsComparedAgain(t *testing.T) {
	r, now := newRota(10*time.Second, time.Hour), time.Duration(0)
	b := neighbour{ring.NodeID{1}, partitionsTo(3)}
	compared(r, &now, 10, b)
	r.again(now, b.node, 2)
	r.again(now, b.node, 2)
	r.again(now, ring.NodeID{9}, 2) // it has gone
	if due := compared(r, &now, 3, b); due[2] != 1 {
		t.Errorf("compared %d times", due[2])
	}
}

func TestAStepIsBounded(t *testing.T) {
	r := newRota(10*time.Second, time.Hour)
	b := neighbour{ring.NodeID{1}, partitionsTo(PartitionsMax)}
	for now := time.Duration(0); now < time.Minute; now += r.every {
		for _, v := range r.next(now, []neighbour{b}) {
			if most := urgentMax + PartitionsMax/r.steps + 1; len(v.partitions) > most || !slices.IsSorted(v.partitions) {
				t.Errorf("%d partitions in one step, at most %d", len(v.partitions), most)
			}
		}
	}
}
