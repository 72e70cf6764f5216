package node

import (
	"context"
	"fmt"

	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// successor returns who takes what is owed to a node: that node, or, when it is no member any more, whoever holds its partitions
// now, which is found out hint by hint (see deliver).
func (n *Node) successor(target ring.NodeID) ring.NodeID {
	if m, known := n.members.member(target); known && m.Status != ring.Removed {
		return target
	}
	return n.id
}

// deliver sends hints home. What is owed to a node that does not hold its partition any more goes to all that hold it now: as many
// as are in reach, at least one. Those out of reach get it from these by anti-entropy.
func (n *Node) deliver(ctx context.Context, target ring.NodeID, items []replica.HandoffItem) ([]replica.Outcome, error) {
	s := n.members.State()
	if err := n.keepOwn(ctx, s, items); err != nil {
		return nil, err
	}
	routes := make(map[ring.NodeID][]int)
	outcomes := make([]replica.Outcome, len(items))
	for i, item := range items {
		to := n.recipients(s, target, item.Key.Partition)
		for _, id := range to {
			routes[id] = append(routes[id], i)
		}
		if len(to) > 0 {
			outcomes[i] = replica.OutcomeStored
		}
	}
	var failed error
	for id, at := range routes {
		stored, err := n.deliverTo(ctx, id, items, at)
		if err != nil {
			failed = fmt.Errorf("%s: %w", n.nameOf(id), err)
		}
		for j, i := range at {
			if err != nil || !stored[j] {
				outcomes[i] = replica.OutcomeRefused
			}
		}
	}
	if len(routes) == 1 && failed != nil {
		return nil, failed
	}
	return outcomes, nil
}

// keepOwn puts what this node kept as a fallback into its own rows where it has become an owner since: with the hint the last that it
// has of it may go.
func (n *Node) keepOwn(ctx context.Context, s ring.State, items []replica.HandoffItem) error {
	var writes []*request.Write
	for _, item := range items {
		if item.Data && s.Layout.Holds(n.id, item.Key.Partition) {
			writes = append(writes, &request.Write{Key: item.Key, Delta: item.State, Reserve: true})
		}
	}
	if len(writes) == 0 {
		return nil
	}
	if err := n.coord.ServeWrites(ctx, n.coord.View().Version, writes); err != nil {
		return err
	}
	for _, w := range writes {
		if w.Err != nil {
			return fmt.Errorf("keep a hint as an owner: %w", w.Err)
		}
	}
	return nil
}

// recipients returns who is to have what was owed to the target in a partition.
func (n *Node) recipients(s ring.State, target ring.NodeID, p ring.Partition) (to []ring.NodeID) {
	if target != n.id && s.Layout.Holds(target, p) {
		return []ring.NodeID{target}
	}
	for _, id := range s.Layout.Holders(p) {
		if n.up(id) {
			to = append(to, id)
		}
	}
	return to
}

// deliverTo sends one node its items, and returns which of them it has on disk.
func (n *Node) deliverTo(ctx context.Context, to ring.NodeID, items []replica.HandoffItem, at []int) (stored []bool, err error) {
	writes := make([]*request.Write, len(at))
	for j, i := range at {
		writes[j] = &request.Write{Key: items[i].Key, Delta: items[i].State, Reserve: true}
	}
	version := n.coord.View().Version
	if to == n.id {
		err = server{n}.ServeHandoff(ctx, to, version, writes)
	} else {
		err = n.wire.peers.Load().Deliver(ctx, to, writes, version)
	}
	stored = make([]bool, len(at))
	for j, w := range writes {
		stored[j] = err == nil && w.Err == nil
	}
	return stored, err
}

// nameOf returns a node's name, for people.
func (n *Node) nameOf(id ring.NodeID) string {
	if m, known := n.members.member(id); known && m.Name != "" {
		return m.Name
	}
	return id.String()
}
