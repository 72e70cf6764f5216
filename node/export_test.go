package node

import (
	"context"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// Store shows tests what a node holds.
func (n *Node) Store() *replica.Store { return n.store }

// Held returns what a node's own replica holds of a key of the first keyspace.
func (n *Node) Held(key string) (causal.State, error) {
	name := []byte(key)
	r := &request.Read{Key: request.Key{Name: name, Partition: n.coord.View().Partition(name)}}
	n.store.Read([]*request.Read{r})
	return r.State, r.Err
}

// ClockCorrection is by how much the node corrects its machine's clock.
func (n *Node) ClockCorrection() time.Duration { return n.wall.correction() }

// ClockSure reports whether the node removes what expired.
func (n *Node) ClockSure() bool { return n.wall.sure() }

// Median is the correction that a node draws from the offsets of the others.
func Median(offsets []time.Duration) time.Duration { return median(offsets) }

// Transfer pulls a partition as its new owner, and returns how many rows travelled.
func (n *Node) Transfer(ctx context.Context, p ring.Partition, from ring.NodeID) (rows int, err error) {
	got, err := n.pull(ctx, p, from, forTransfer)
	return got.Rows, err
}

// PulledRows is how many rows the node took from others.
func (n *Node) PulledRows() int64 { return n.pulls.rows.Load() }

// uncounted is what a store says of its rows before it has counted any.
type uncounted struct{}

func (uncounted) Counted() bool                               { return false }
func (uncounted) Counts(uint8, ring.Partition) replica.Counts { return replica.Counts{} }

// Uncount has the changes of the ring know no more of the node's rows than right after an unclean stop, until count is called.
func (n *Node) Uncount() (count func()) {
	set := func(rows tally) {
		n.changer.mu.Lock()
		defer n.changer.mu.Unlock()
		n.changer.mu.rows = rows
	}
	set(uncounted{})
	return func() { set(n.store) }
}

// Ruling is the version of the layout that the node may acknowledge.
func (n *Node) Ruling() uint64 {
	if s := n.ruling.Load(); s != nil {
		return s.Layout.Version
	}
	return 0
}

// Viewed is the version of the layout by which the node's requests go.
func (n *Node) Viewed() uint64 { return n.coord.View().Version }

// BeforeRuling has f called, from now on, with the version of each new document's layout before it rules.
func (n *Node) BeforeRuling(f func(version uint64)) {
	n.members.turn.Lock()
	defer n.members.turn.Unlock()
	rule := n.members.changed
	n.members.changed = func(s ring.State) {
		f(s.Layout.Version)
		rule(s)
	}
}

// Ask sends a control request of any kind to another node, over the small connection and over the bulk one.
func (n *Node) Ask(ctx context.Context, to ring.NodeID, kind uint8) (small, bulk error) {
	_, small = n.control(ctx, to, kind, nil)
	_, bulk = n.fetch(ctx, to, kind, nil)
	return small, bulk
}
