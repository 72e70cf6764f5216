package node

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/replica/merkle"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// giveUp removes what this node holds of partitions that are no longer its own, once every owner has taken it over and has it on
// disk. A few partitions a look.
func (c *changer) giveUp(ctx context.Context, s ring.State) {
	if len(s.Unacknowledged()) > 0 || time.Since(c.since) < giveUpAfter {
		return // somebody may still go by a layout in which this node has a role, or the next step comes in a moment
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.giving(s.Edition(), cancel)
	defer c.giving(ring.Edition{}, nil)
	ps, more := c.toGiveUp(s)
	errs := make([]error, len(ps))
	var wg sync.WaitGroup
	for i, p := range ps {
		wg.Go(func() { errs[i] = c.giveUpOne(ctx, s, p) })
	}
	wg.Wait()
	var stays []string
	for i, p := range ps {
		if errs[i] != nil {
			c.retry[p] = time.Now().Add(takeOverRetry)
			stays = append(stays, fmt.Sprintf("the owners of partition %d to take it over from %s: %v", p, c.n.cfg.Name, errs[i]))
		}
	}
	c.stay(stays)
	if more || ctx.Err() != nil {
		wake(c.poke)
	}
}

// toGiveUp returns what is to be given up now, giveUpsMax partitions at most, and whether there is more.
func (c *changer) toGiveUp(s ring.State) (ps []ring.Partition, more bool) {
	rows := c.rows()
	for p := range ring.Partition(s.Layout.Q) {
		if s.Layout.Holds(c.n.id, p) || !stores(rows, p) || time.Now().Before(c.retry[p]) {
			continue
		}
		if len(ps) == giveUpsMax {
			return ps, true
		}
		ps = append(ps, p)
	}
	return ps, false
}

// giving notes under which edition partitions are being given up, and how to stop that: another edition may make this node an
// owner again, and is not acknowledged before.
func (c *changer) giving(by ring.Edition, stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.givingBy, c.mu.stopGiving = by, stop
}

// stay notes why partitions are not given up yet.
func (c *changer) stay(why []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.stays = why
}

// tally says how many rows the store has. After an unclean stop it says too few, until it has counted them.
type tally interface {
	Counted() bool
	Counts(space uint8, p ring.Partition) replica.Counts
}

// rows returns what tells this node's rows.
func (c *changer) rows() tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.rows
}

// stores reports whether there are rows of a partition.
func stores(rows tally, p ring.Partition) bool {
	for space := range uint8(request.SpacesMax) {
		if rows.Counts(space, p).Rows > 0 {
			return true
		}
	}
	return false
}

// giveUpOne has every owner take the partition over from this node, and removes it. That nothing was added meanwhile the tree tells:
// nothing may be, for requests under older layouts are refused, and under this one nobody writes here.
func (c *changer) giveUpOne(ctx context.Context, s ring.State, p ring.Partition) error {
	before := c.n.store.Root(p)
	if before == (merkle.Root{}) {
		return fmt.Errorf("its rows are still being counted after an unclean stop")
	}
	if err := c.askOwners(ctx, s, p); err != nil {
		return err
	}
	if now := c.n.members.State(); c.n.store.Root(p) != before || now.Edition() != s.Edition() {
		return fmt.Errorf("it changed meanwhile")
	}
	_, err := c.n.store.GiveUp(ctx, p)
	if errors.Is(err, request.ErrCorrupt) {
		err = fmt.Errorf("%w; its disk is to be replaced: stop it, and give it up with `holdfast remove %s`", err, c.n.cfg.Name)
	}
	return err
}

// askOwners has every owner take the partition from this node, all at once.
func (c *changer) askOwners(ctx context.Context, s ring.State, p ring.Partition) error {
	if fault.On(fault.DeleteUnconfirmed) {
		return nil
	}
	owners := s.Layout.Owners[p]
	errs := make([]error, len(owners))
	var wg sync.WaitGroup
	for i, id := range owners {
		wg.Go(func() {
			if err := c.n.askToTake(ctx, id, p, s.Layout.Version); err != nil {
				errs[i] = fmt.Errorf("%s has not taken it over: %w", c.n.nameOf(id), err)
			}
		})
	}
	wg.Wait()
	return cmp.Or(errs...)
}

// askToTake asks an owner to take from this node what it lacks of a partition; it returns nil when the owner has it on disk.
func (n *Node) askToTake(ctx context.Context, owner ring.NodeID, p ring.Partition, version uint64) error {
	ctx, cancel := context.WithTimeout(ctx, askToTakeMax)
	defer cancel()
	payload := binary.BigEndian.AppendUint64(nil, version)
	_, err := n.control(ctx, owner, controlTake, binary.BigEndian.AppendUint16(payload, uint16(p)))
	return err
}

// serveTake is what an owner is asked: to take a partition over from a node that is about to give it up.
func (n *Node) serveTake(ctx context.Context, from ring.NodeID, payload []byte) ([]byte, error) {
	if len(payload) != 10 {
		return nil, request.ErrMalformed
	}
	version, p := binary.BigEndian.Uint64(payload), ring.Partition(binary.BigEndian.Uint16(payload[8:]))
	s := n.members.State()
	if s.IsZero() || int(p) >= s.Layout.Q || s.Layout.Version != version || !s.Layout.Holds(n.id, p) {
		return nil, fmt.Errorf("this node goes by layout %d: %w", s.Layout.Version, request.ErrStaleLayout)
	}
	_, err := n.pull(ctx, p, from, forTransfer)
	return nil, err
}

// empty reports whether this node, which leaves, has nothing left to do for anybody: no role, no data, no hint, no client.
func (c *changer) empty(s ring.State) bool {
	n := c.n
	me, _ := s.Member(n.id)
	rows := c.rows()
	if me.Status != ring.Leaving || !rows.Counted() { // asked first: what is counted meanwhile is seen below
		return false
	}
	for p := range ring.Partition(s.Layout.Q) {
		if s.Layout.Holds(me.ID, p) || stores(rows, p) {
			return false
		}
	}
	return n.store.HintStats().Pending() == 0 && (n.resp.Connections() == 0 || n.draining.Load())
}
