package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// ready reports whether what is owed to a node in a partition can be delivered now. What is owed to one that does not hold the
// partition any more waits neither for it nor for its removal: others are to have it.
func (n *Node) ready(target ring.NodeID, p ring.Partition) bool {
	to, _ := n.recipients(n.members.State(), target, p)
	return len(to) > 0
}

// deliver sends hints home. What is owed to a node that does not hold its partition any more goes to all that hold it now: to those
// in reach, at least one, and for the others it is kept. A write may have been acknowledged for this very copy, and the holder in
// reach be the one that was counted beside it.
func (n *Node) deliver(ctx context.Context, target ring.NodeID, items []replica.HandoffItem) ([]replica.Outcome, error) {
	s := n.members.State()
	if err := n.keepOwn(ctx, s, items); err != nil {
		return nil, err
	}
	routes := make(map[ring.NodeID][]int)
	outcomes := make([]replica.Outcome, len(items))
	absent := make([][]ring.NodeID, len(items))
	for i, item := range items {
		var to []ring.NodeID
		to, absent[i] = n.recipients(s, target, item.Key.Partition)
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
	return outcomes, n.keepForAbsent(ctx, s, items, absent, outcomes)
}

// keepForAbsent keeps what was delivered for those holders that are out of reach: the data where this node is none itself and has
// it in a hint alone, else the key. Only then may the hint go that it was delivered from.
func (n *Node) keepForAbsent(ctx context.Context, s ring.State, items []replica.HandoffItem, absent [][]ring.NodeID, outcomes []replica.Outcome) error {
	var data []*request.Write
	var at []int
	var keys []replica.Owed
	for i, item := range items {
		for _, id := range absent[i] {
			switch {
			case outcomes[i] != replica.OutcomeStored:
			case item.Data && !s.Layout.Holds(n.id, item.Key.Partition):
				data, at = append(data, &request.Write{Key: item.Key, Role: request.RoleFallback, Delta: item.State, For: id, Reserve: true}), append(at, i)
			default:
				keys = append(keys, replica.Owed{Target: id, Key: item.Key, Seen: item.State.Seen})
			}
		}
	}
	if len(data) > 0 {
		if err := n.store.Write(ctx, data); err != nil {
			return err
		}
	}
	for j, w := range data {
		if w.Err != nil {
			outcomes[at[j]] = replica.OutcomeRefused
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return n.store.AddHints(ctx, keys)
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

// recipients returns who is to have what is owed to the target in a partition: the target itself while it holds that, or else those
// who do; in reach or not.
func (n *Node) recipients(s ring.State, target ring.NodeID, p ring.Partition) (to, absent []ring.NodeID) {
	heirs := slices.DeleteFunc(s.Layout.Holders(p), s.Removed)
	if slices.Contains(heirs, target) {
		heirs = []ring.NodeID{target}
	}
	for _, id := range heirs {
		if n.up(id) {
			to = append(to, id)
		} else {
			absent = append(absent, id)
		}
	}
	return to, absent
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
