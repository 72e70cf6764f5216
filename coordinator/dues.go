package coordinator

import (
	"context"
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
	state  causal.State   // dueData, dueRepair
}

// dues is a bounded queue. When it is full repairs are dropped, for the next read finds them again; markers shrink to a
// mark that a whole partition owes its target something, which is bounded by partitions times nodes.
type dues struct {
	mu    sync.Mutex
	queue []due
	owed  map[owedPartition]struct{}
	wake  chan struct{} // capacity 1; full means that the worker will look anyway
	last  chan struct{} // closed at Close, when nothing is added any more
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
	var owed []owedPartition
	for o := range d.owed {
		owed = append(owed, o)
	}
	clear(d.owed)
	return batch, owed
}

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
	repairs := make(map[ring.NodeID][]*request.Write)
	for _, d := range batch {
		switch d.kind {
		case dueMarker:
			c.told("hint", c.Store.Owe(d.target, d.key, d.seen))
		case dueData:
			w := &request.Write{Key: d.key, Role: request.RoleFallback, Delta: d.state, For: d.target, Reserve: true}
			err := c.Store.Write(c.background(), []*request.Write{w})
			c.told("hint", firstError(err, w.Err))
		case dueCancel:
			c.told("cancelled hint", c.Store.CancelHint(d.target, d.key, d.seen))
		case dueRepair:
			repairs[d.target] = append(repairs[d.target], &request.Write{Key: d.key, Delta: d.state})
		}
	}
	for target, ws := range repairs {
		c.repair(target, ws)
	}
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
func (c *Coordinator) repair(target ring.NodeID, ws []*request.Write) {
	c.Counters.ReadRepairs.Add(int64(len(ws)))
	view := c.view.Load()
	if target != view.Self {
		c.Peers.Write(target, ws, view.Version, time.Now().Add(copyDeadline), func(error) {})
		return
	}
	if err := c.Store.Write(c.background(), ws); err != nil {
		c.Logger.Warn("read repair of the own replica failed", "error", err)
	}
}
