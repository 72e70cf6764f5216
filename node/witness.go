package node

import (
	"context"
	"errors"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/coordinator"
	"github.com/holdfastdb/holdfast/replica/merkle"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// A Witness records what a node does, for simulations that check whole histories. It is called from many goroutines and
// must neither block nor keep an operation that is not its own beyond the call.
type Witness interface {
	// Answered is told of the operations that clients asked of this node, with their stamps and results.
	Answered(ops []*request.Op)
	// Minted is told of each write that this node decided and stored; err is not nil when it was perhaps stored.
	Minted(key request.Key, m coordinator.Minted, delta causal.State, err error)
}

// A Foreseer is a Witness that is also told of each write when it is decided, before it is stored: whatever ends the process
// in between, no write is stored of which it was not told. Of a write that is refused after all there is no more than that.
type Foreseer interface {
	Witness
	// Deciding is called under the key's lock.
	Deciding(key request.Key, m coordinator.Minted, delta causal.State)
}

// foreseen is one write's decision, of which a Foreseer is told.
type foreseen struct {
	*coordinator.Minting
	key request.Key
	by  Foreseer
}

// Mint implements request.Minter.
func (f foreseen) Mint(cur causal.State, actor func() causal.Actor) (causal.State, bool) {
	delta, ok := f.Minting.Mint(cur, actor)
	if ok {
		f.by.Deciding(f.key, f.Minted(), delta)
	}
	return delta, ok
}

// foresee puts a Foreseer before the decisions of writes.
func foresee(by Foreseer, ws []*request.Write) {
	for _, w := range ws {
		if m, mints := w.Mint.(*coordinator.Minting); mints {
			w.Mint = foreseen{m, w.Key, by}
		}
	}
}

// mintingOf returns who decided a write here, if it was decided here.
func mintingOf(w *request.Write) (m *coordinator.Minting, mints bool) {
	if f, ok := w.Mint.(foreseen); ok {
		return f.Minting, true
	}
	m, mints = w.Mint.(*coordinator.Minting)
	return m, mints
}

// witnessed is the store as the coordinator sees it, under a Witness's eyes.
type witnessed struct {
	hints
	witness Witness
}

// Write implements coordinator.Store.
func (s witnessed) Write(ctx context.Context, ws []*request.Write) error {
	if by, ok := s.witness.(Foreseer); ok {
		foresee(by, ws)
	}
	err := s.hints.Write(ctx, ws)
	for _, w := range ws {
		m, mints := mintingOf(w)
		if !mints || w.Err != nil && !errors.Is(w.Err, request.ErrInternal) || len(w.Delta.Siblings) == 0 && w.Delta.Seen.IsZero() {
			continue
		}
		s.witness.Minted(w.Key, m.Minted(), w.Delta, w.Err)
	}
	return err
}

// ownStore is the node's own replica as its coordinator sees it.
func (n *Node) ownStore() coordinator.Store {
	switch {
	case n.store == nil:
		return noReplica{}
	case n.cfg.Witness == nil:
		return hints{n.store}
	}
	return witnessed{hints{n.store}, n.cfg.Witness}
}

// Copy returns what this node's own replica holds of a key of the first keyspace, hints for others included, and whether
// the node is a primary of it.
func (n *Node) Copy(name []byte) (state causal.State, primary bool, err error) {
	view := n.coord.View()
	if !view.Formed() {
		return causal.State{}, false, request.ErrNotOwner
	}
	r := &request.Read{Key: request.Key{Name: name, Partition: view.Partition(name)}}
	n.ownStore().Read([]*request.Read{r})
	return r.State, view.Place(r.Key.Partition).IsPrimary(n.id), r.Err
}

// Roots returns the roots of the hash trees of the partitions of which the node is a primary; depth 0 where a tree is not complete.
func (n *Node) Roots() map[ring.Partition]merkle.Root {
	roots := make(map[ring.Partition]merkle.Root)
	view := n.coord.View()
	for p := range ring.Partition(view.Q) {
		if view.Place(p).IsPrimary(n.id) {
			roots[p] = n.store.Root(p)
		}
	}
	return roots
}

// ID returns the node's id, drawn when its directory was founded; a proxy's when it started.
func (n *Node) ID() ring.NodeID { return n.id }

// Hints returns how many hints this node keeps for each other, partition marks counted as one each.
func (n *Node) Hints() map[ring.NodeID]int {
	left := make(map[ring.NodeID]int)
	for id, t := range n.held.HintStats().Targets {
		left[id] = t.Pending()
	}
	return left
}

// Tombstones returns how many deleted keys this node still has a row of.
func (n *Node) Tombstones() int64 {
	total := n.store.Total()
	return max(total.Rows-total.Keys, 0)
}
