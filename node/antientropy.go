package node

import (
	"context"
	"slices"
	"time"

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

// compare asks for the roots of a visit's partitions in one frame, and pulls those that differ. It returns the partitions that could not
// be compared. A node that does not know the question, of an older version, shares nothing.
func (n *Node) compare(ctx context.Context, v visit) (failed []ring.Partition) {
	x := &puller{n: n, from: v.node, why: forAntiEntropy}
	ps := make([]uint16, len(v.partitions))
	for i, p := range v.partitions {
		ps[i] = uint16(p)
	}
	roots, err := x.roots(ctx, ps)
	if err != nil {
		return v.partitions
	}
	for i, p := range v.partitions {
		ours := n.store.Root(p)
		switch {
		case ours.Depth == 0 || roots[i].Depth == 0:
			failed = append(failed, p)
		case ours.Sum != roots[i].Sum:
			if err := n.pullDiffering(ctx, p, v.node); err != nil {
				failed = append(failed, p)
			}
		}
	}
	return failed
}

// pullDiffering pulls one partition and says what was found.
func (n *Node) pullDiffering(ctx context.Context, p ring.Partition, from ring.NodeID) error {
	got, err := n.pull(ctx, p, from, forAntiEntropy)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && n.pulls.log.ok(time.Now()) {
		n.cfg.Logger.Warn("anti-entropy failed, and is tried again", "node", from, "partition", p, "error", err)
	}
	if got.Changed > 0 {
		n.cfg.Logger.Info("anti-entropy took rows that were missing here", "node", from, "partition", p, "rows", got.Changed, "bytes", got.Bytes)
	}
	return err
}
