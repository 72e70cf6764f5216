package coordinator

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// A reign is the time of one view. Whatever writes to the node's own store for a request, and every round of read-modify-writes, is
// done within the reign by whose view it was decided, so that it can be known when nothing decided by an older one is under way.
type reign struct {
	view  *View
	held  atomic.Int64  // those within it, and one for as long as it lasts
	ended chan struct{} // closed when held is 0: for ever
}

func newReign(v *View) *reign {
	r := &reign{view: v, ended: make(chan struct{})}
	r.held.Store(1)
	return r
}

// enter counts the caller in, or reports false when the reign has ended.
func (r *reign) enter() bool {
	for {
		n := r.held.Load()
		if n == 0 {
			return false
		}
		if r.held.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (r *reign) leave() {
	if r.held.Add(-1) == 0 {
		close(r.ended)
	}
}

// within counts the caller into the present reign; it owes a leave.
func (c *Coordinator) within() *reign {
	for {
		if r := c.reign.Load(); r.enter() {
			return r
		}
	}
}

// Holding carries out act as something decided by the present view, for which Quiesce waits. It is request.ErrNotOwner, and act is
// not called, if this node holds the partition no more by then: what it stored would be left behind where nobody looks for it.
func (c *Coordinator) Holding(p ring.Partition, act func() error) error {
	r := c.within()
	defer r.leave()
	if !r.view.Place(p).IsPrimary(c.Self) {
		return request.ErrNotOwner
	}
	return act()
}

// SetView takes over a newer view of the ring.
func (c *Coordinator) SetView(v *View) {
	c.past.Lock()
	defer c.past.Unlock()
	c.view.Store(v)
	old := c.reign.Swap(newReign(v))
	c.past.reigns = slices.DeleteFunc(append(c.past.reigns, old), (*reign).over)
	old.leave()
}

func (r *reign) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// Quiesce returns when nothing that was decided by a view older than the present one is under way any more: no write to the node's
// own store, its own clients' or other nodes', and no round of read-modify-writes. After it a node may acknowledge the layout of the
// view: who takes over from it what it holds, or a first place, misses nothing. It lasts no longer than a client's budget,
// mostly no longer than a commit of the store. The error is ctx's.
func (c *Coordinator) Quiesce(ctx context.Context) error {
	c.past.Lock()
	reigns := slices.Clone(c.past.reigns)
	c.past.Unlock()
	for _, r := range slices.DeleteFunc(reigns, (*reign).over) {
		select {
		case <-r.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// behind tells the node that another knows a newer layout.
func (c *Coordinator) behind() {
	if c.Behind != nil {
		c.Behind()
	}
}
