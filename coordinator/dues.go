package coordinator

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// What a request leaves to be done after its reply, by one background worker: hints for those that missed a write,
// cancelled hints, read repairs.

type dueKind uint8

const (
	dueMarker dueKind = iota // keep a hint: the key alone
	dueData                  // keep a hint with the data (this node is a fallback)
	dueCancel                // a late acknowledgement: the marker is not needed
	dueRepair                // a stale replica
)

type due struct {
	kind   dueKind
	target ring.NodeID
	key    request.Key
	seen   causal.Context // dueMarker, dueCancel
	minted bool           // dueMarker: the write minted a dot
	state  causal.State   // dueData, dueRepair
	until  time.Time      // dueRepair: when what it carries is too old to be written anywhere
}

// dues is a bounded queue. When it is full repairs are dropped, for the next read finds them again; markers shrink to a
// mark that a whole partition owes its target something, which is bounded by partitions times nodes.
type dues struct {
	mu     sync.Mutex
	queue  []due
	paying []due // taken from the queue, and not done yet
	owed   map[owedPartition]struct{}
	marks  int           // taken from owed, and not done yet
	wake   chan struct{} // capacity 1; full means that the worker will look anyway
	last   chan struct{} // closed at Close, when nothing is added any more
}

type owedPartition struct {
	target    ring.NodeID
	space     uint8
	partition ring.Partition
}

func (d *dues) init() {
	d.owed = make(map[owedPartition]struct{})
	d.wake = make(chan struct{}, 1)
	d.last = make(chan struct{})
}

// add never blocks.
func (d *dues) add(one due, counters *Counters) {
	d.mu.Lock()
	switch {
	case len(d.queue) < duesMax || one.kind == dueData:
		// A fallback's data is nowhere else here; there is never more of it than copies of operations in flight.
		d.queue = append(d.queue, one)
	case one.kind == dueMarker:
		d.owed[owedPartition{one.target, one.key.Space, one.key.Partition}] = struct{}{}
	default:
		counters.DuesDropped.Add(1)
	}
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// take returns what is due, at most duesBatch of the queue.
func (d *dues) take() ([]due, []owedPartition) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(len(d.queue), duesBatch)
	batch := d.queue[:n:n]
	if d.queue = d.queue[n:]; len(d.queue) == 0 {
		d.queue = nil
	}
	d.paying = batch
	var owed []owedPartition
	for o := range d.owed {
		owed = append(owed, o)
	}
	clear(d.owed)
	d.marks = len(owed)
	return batch, owed
}

// have reports whether anything of a partition waits to be stored: it would be missed by who looks into the store. Repairs are
// not counted: they end by their deadlines.
func (d *dues) have(p ring.Partition) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	of := func(one due) bool { return one.key.Partition == p && one.kind != dueRepair }
	return len(d.owed)+d.marks > 0 || slices.ContainsFunc(d.queue, of) || slices.ContainsFunc(d.paying, of)
}

// Owes reports whether hints for a partition, or for any as a whole, wait to be stored. It may say so a moment too long.
func (c *Coordinator) Owes(p ring.Partition) bool { return c.dues.have(p) }

// payDues is the background worker. At Close it pays what is due before it ends.
func (c *Coordinator) payDues() {
	for {
		select {
		case <-c.dues.wake:
		case <-c.dues.last:
			c.payAll()
			return
		}
		c.payAll()
	}
}

func (c *Coordinator) payAll() {
	for {
		batch, owed := c.dues.take()
		if len(batch)+len(owed) == 0 {
			return
		}
		for _, o := range owed {
			c.told("partition mark", c.Store.OwePartition(o.target, o.space, o.partition))
		}
		c.pay(batch)
	}
}

func (c *Coordinator) pay(batch []due) {
	repairs := make(map[ring.NodeID]*repairing)
	now := time.Now()
	for _, d := range batch {
		switch d.kind {
		case dueMarker:
			c.told("hint", c.Store.Owe(d.target, d.key, d.seen, d.minted))
		case dueData:
			w := &request.Write{Key: d.key, Role: request.RoleFallback, Delta: d.state, For: d.target, Reserve: true}
			err := c.Store.Write(c.background(), []*request.Write{w})
			c.told("hint", firstError(err, w.Err))
		case dueCancel:
			c.told("cancelled hint", c.Store.CancelHint(d.target, d.key, d.seen))
		case dueRepair:
			if repairs[d.target] == nil {
				repairs[d.target] = &repairing{}
			}
			repairs[d.target].add(d, now)
		}
	}
	for target, r := range repairs {
		if len(r.writes) > 0 {
			c.repair(target, r)
		}
	}
}

// repairing is the repairs of one replica that are sent together.
type repairing struct {
	writes []*request.Write
	until  time.Time // the earliest of their ends
}

// add leaves out what waited too long: what a read found is written within a time of that read, wherever it waits, so that it is known
// when nothing of before some moment is on its way any more. The next read finds the replica again.
func (r *repairing) add(d due, now time.Time) {
	if !now.Before(d.until) {
		return
	}
	if len(r.writes) == 0 || d.until.Before(r.until) {
		r.until = d.until
	}
	r.writes = append(r.writes, &request.Write{Key: d.key, Delta: d.state})
}

// background is for work that outlives its request and must be done even while the node closes.
func (c *Coordinator) background() context.Context { return context.WithoutCancel(c.ctx) }

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Coordinator) told(what string, err error) {
	if err != nil {
		c.Logger.Warn("a replica that missed a write may stay behind until it is read: storing a "+what+" failed", "error", err)
	}
}

// repair syncs merged states into a stale replica. Nobody waits for it: a repair that is lost is found by the next read.
func (c *Coordinator) repair(target ring.NodeID, r *repairing) {
	c.Counters.ReadRepairs.Add(int64(len(r.writes)))
	view := c.view.Load()
	if target != view.Self {
		c.Peers.Write(target, r.writes, view.Version, r.until, func(error) {})
		return
	}
	if err := c.Store.Write(c.background(), r.writes); err != nil {
		c.Logger.Warn("read repair of the own replica failed", "error", err)
	}
}
