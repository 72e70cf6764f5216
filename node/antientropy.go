package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/replica/merkle"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// antiEntropy compares this node's partitions with the other primaries' until ctx ends, by the rota, and takes what it
// lacks. Each node takes for itself, so that two that compare with each other agree in the end.
func (n *Node) antiEntropy(ctx context.Context) {
	period := n.cfg.AntiEntropy
	if period < 0 {
		return
	}
	if period == 0 {
		period = DefaultAntiEntropy
	}
	r := newRota(min(rotaEvery, period), period)
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, v := range r.next(time.Since(n.opened), n.neighbours()) {
			for _, p := range n.compare(ctx, v) {
				r.again(time.Since(n.opened), v.node, p)
			}
		}
	}
}

// neighbours returns the nodes in reach with which this one shares partitions as a primary, by id.
func (n *Node) neighbours() (all []neighbour) {
	view := n.coord.View()
	self := n.id
	at := make(map[ring.NodeID]int)
	for p := range view.Q {
		pl := view.Place(ring.Partition(p))
		if !pl.IsPrimary(self) {
			continue
		}
		for i, id := range pl.Primaries {
			if id == self || !pl.Up[i] {
				continue
			}
			if _, known := at[id]; !known {
				at[id] = len(all)
				all = append(all, neighbour{node: id})
			}
			all[at[id]].shared = append(all[at[id]].shared, ring.Partition(p))
		}
	}
	slices.SortFunc(all, func(a, b neighbour) int { return a.node.Compare(b.node) })
	return all
}

// compare takes what this node lacks of a visit's partitions, and returns those that could not be compared. All roots travel in
// one frame. What differs is looked at a second time a moment later: what differs only once was a write on its way.
func (n *Node) compare(ctx context.Context, v visit) (failed []ring.Partition) {
	differ, failed := n.differing(ctx, v)
	if len(differ) == 0 {
		return failed
	}
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(settleWait):
	}
	for _, d := range differ {
		if err := d.settle(ctx); err != nil {
			failed = append(failed, d.x.partition)
		}
	}
	return failed
}

// difference is a partition in which two nodes differ.
type difference struct {
	x      *puller
	leaves *merkle.Leaves
}

// differing compares the trees of a visit's partitions. A node that does not know the question, of an older version,
// fails for all.
func (n *Node) differing(ctx context.Context, v visit) (differ []difference, failed []ring.Partition) {
	ps := make([]uint16, len(v.partitions))
	for i, p := range v.partitions {
		ps[i] = uint16(p)
	}
	roots, err := (&puller{n: n, from: v.node}).roots(ctx, ps)
	if err != nil {
		return nil, v.partitions
	}
	for i, p := range v.partitions {
		ours := n.store.Root(p)
		if ours.Depth != 0 && ours.Sum == roots[i].Sum && roots[i].Depth != 0 {
			continue
		}
		x := &puller{n: n, partition: p, from: v.node}
		leaves, err := x.differing(ctx)
		switch {
		case err != nil:
			failed = append(failed, p)
		case leaves.Len() > 0:
			differ = append(differ, difference{x, leaves})
		}
	}
	return differ, failed
}

// settle takes the rows of what still differs, and says what was found.
func (d difference) settle(ctx context.Context) error {
	x, log := d.x, d.x.n.cfg.Logger
	still, err := x.differing(ctx)
	if err == nil {
		d.leaves.Intersect(still)
		err = x.take(ctx, d.leaves)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, request.ErrNotOwner) {
		return nil // the ring has changed, and there is nothing to compare any more
	}
	if err != nil && x.n.pulls.log.ok(time.Now()) {
		log.Warn("anti-entropy failed, and is tried again", "node", x.from, "partition", x.partition, "error", err)
	}
	if x.got.Changed > 0 {
		log.Info("anti-entropy took rows that were missing here", "node", x.from, "partition", x.partition, "rows", x.got.Changed, "bytes", x.got.Bytes)
	}
	return err
}
