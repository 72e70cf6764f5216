package node

import (
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/ring"
)

// rota decides which partitions this node compares with which other when: each with each other primary once in a period,
// spread over it; and all that are shared with a node some time after that has come into reach, this node's own start
// included. Until then hints come home, which is cheaper. It is a value of its own steps and of the times it is
// given.
type rota struct {
	every time.Duration // between two steps
	steps int           // that make a period
	step  int
	peers map[ring.NodeID]*acquaintance
}

// acquaintance is another node as the rota knows it.
type acquaintance struct {
	seen   int              // the step in which it was last in reach
	after  time.Duration    // when its urgent partitions may be compared
	urgent []ring.Partition // still to be compared
}

// neighbour is a node in reach, and the partitions of which it and this node are primaries, ascending.
type neighbour struct {
	node   ring.NodeID
	shared []ring.Partition
}

// visit is a comparison that is due.
type visit struct {
	node       ring.NodeID
	partitions []ring.Partition // ascending, at least one
}

func newRota(every, period time.Duration) *rota {
	return &rota{every: every, steps: max(int(period/every), 1), peers: make(map[ring.NodeID]*acquaintance)}
}

// next returns what is due in this step, and ends the step. now is a monotonic clock's.
func (r *rota) next(now time.Duration, inReach []neighbour) (due []visit) {
	for _, b := range inReach {
		a := r.meet(now, b)
		ps := a.take(now)
		for _, p := range b.shared {
			if int(p)%r.steps == r.step%r.steps && !slices.Contains(ps, p) {
				ps = append(ps, p)
			}
		}
		if slices.Sort(ps); len(ps) > 0 {
			due = append(due, visit{b.node, ps})
		}
	}
	r.step++
	return due
}

// meet notes that a node is in reach. One that was not in the last step is new.
func (r *rota) meet(now time.Duration, b neighbour) *acquaintance {
	a := r.peers[b.node]
	if a == nil || a.seen != r.step-1 {
		a = &acquaintance{after: now + urgentAfter, urgent: slices.Clone(b.shared)}
		r.peers[b.node] = a
	}
	a.seen = r.step
	return a
}

// take returns urgent partitions, a bounded number a step.
func (a *acquaintance) take(now time.Duration) []ring.Partition {
	if now < a.after {
		return nil
	}
	n := min(len(a.urgent), urgentMax)
	ps := slices.Clone(a.urgent[:n])
	a.urgent = a.urgent[n:]
	return ps
}

// again makes a partition urgent that could not be compared.
func (r *rota) again(now time.Duration, id ring.NodeID, p ring.Partition) {
	if a := r.peers[id]; a != nil && !slices.Contains(a.urgent, p) {
		a.urgent, a.after = append(a.urgent, p), max(a.after, now+urgentAfter)
	}
}
