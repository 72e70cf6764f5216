package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// Store is the node's own replica.
type Store interface {
	// Read answers in place from what is stored here.
	Read(rs []*request.Read)
	// Write commits the batch as one and answers in place. An error means that the commit failed: perhaps written.
	Write(ctx context.Context, ws []*request.Write) error
	// Owe stores that target misses a write of the key, whose context owed is: a marker hint. The write minted a dot, or else only removes:
	// then no acknowledgement of dots tells that the target has it.
	Owe(target ring.NodeID, key request.Key, owed causal.Context, minted bool) error
	// OwePartition stores that target may miss anything in the keyspace's partition: what is left when Owe cannot keep up.
	OwePartition(target ring.NodeID, space uint8, p ring.Partition) error
	// CancelHint drops the marker hint of a key if seen covers what it owes, and all of that minted a dot.
	CancelHint(target ring.NodeID, key request.Key, seen causal.Context) error
}

// Peers reaches the other nodes. Each call sends one batch to one node and calls done exactly once, from another
// goroutine, with the elements answered in place, or with an error for the whole batch: request.ErrUnreachable (never
// sent), ErrLost (perhaps executed), or a refusal. done does not block. layout is the sender's version.
type Peers interface {
	Read(to ring.NodeID, rs []*request.Read, layout uint64, deadline time.Time, done func(error))
	Write(to ring.NodeID, ws []*request.Write, layout uint64, deadline time.Time, done func(error))
	Coordinate(to ring.NodeID, ops []*request.Op, layout uint64, n request.Notice, deadline, mint time.Time, done func(error))
	// RTT is about how long a message to the node and back takes; 0 when it is not known.
	RTT(to ring.NodeID) time.Duration
}

// Config is what a Coordinator stands on.
type Config struct {
	Self       ring.NodeID
	Store      Store
	Peers      Peers
	Settlement *Settlement
	Now        func() time.Time // wall clock, for expiry
	Budget     time.Duration    // how long a client waits; 0: BudgetDefault
	Logger     *slog.Logger
	// Observe, if set, is told how long each coordinated batch took: op is "read", "write" or "modify".
	Observe func(op string, seconds float64)
	// Behind, if set, is called when another node's word shows that it knows a newer layout than the view's: a hint to fetch the
	// newer document. It must not block; it is called for every such frame.
	Behind func()
}

// Coordinator carries operations through the ring. Its methods are safe for concurrent use.
type Coordinator struct {
	Config
	Counters Counters

	view  atomic.Pointer[View]
	reign atomic.Pointer[reign] // of view
	past  struct {
		sync.Mutex
		reigns []*reign // those that have not ended, the present one apart
	}
	settled  func(causal.Stamp) bool // Settlement.Settled, made once
	waiters  waiters
	alarms   alarms
	turn     atomic.Uint32 // rotates the replica asked first
	hedges   atomic.Int64  // hedges that may still be sent
	inFlight struct{ ops, bytes atomic.Int64 }
	queues   queues
	dues     dues

	ctx    context.Context
	cancel context.CancelFunc
	entry  sync.RWMutex // held for reading to pass closed and count oneself into wg, for writing to set closed
	closed atomic.Bool
	wg     sync.WaitGroup // operations, and the copies of writes on their way
	worker sync.WaitGroup // payDues, which outlives all of those
}

// Counters counts what the coordinator did since it started.
type Counters struct {
	Forwards    atomic.Int64 // operations sent to another coordinator
	Retries     atomic.Int64 // of those, sent again to the next one after a lost reply
	Fallbacks   atomic.Int64 // copies sent to a fallback
	Hedges      atomic.Int64 // reads that asked one more replica
	ReadRepairs atomic.Int64 // stale replicas repaired after a read
	Folds       atomic.Int64 // writes done once more because another value outstamped them
	Overloaded  atomic.Int64 // operations refused because too many are in flight, or wait for their key
	DuesDropped atomic.Int64 // repairs dropped because the background queue was full; hints never are
}

// New makes a Coordinator; it refuses everything until SetView and Open.
func New(cfg Config) *Coordinator {
	if cfg.Budget == 0 {
		cfg.Budget = BudgetDefault
	}
	cfg.Budget = min(cfg.Budget, BudgetMax)
	c := &Coordinator{Config: cfg}
	if cfg.Settlement != nil {
		c.settled = cfg.Settlement.Settled
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.queues.m = make(map[string]*queue)
	c.dues.init()
	c.hedges.Store(hedgeBurst * hedgeShare)
	c.view.Store(&View{Self: cfg.Self})
	c.reign.Store(newReign(c.view.Load()))
	return c
}

// Open starts the background worker.
func (c *Coordinator) Open() { c.worker.Go(c.payDues) }

// Close refuses new operations, waits for what runs, at most for a client's budget and a copy's deadline, and then stores
// the hints that are due. It is quick when Peers was closed first, for then no copy is waited for.
func (c *Coordinator) Close() error {
	c.entry.Lock()
	closed := c.closed.Swap(true)
	c.entry.Unlock()
	if closed {
		return nil
	}
	c.cancel()
	c.wg.Wait() // whatever still runs may leave hints due
	close(c.dues.last)
	c.worker.Wait()
	return nil
}

// enter counts the caller into wg, and reports false once the coordinator is closed. Whoever is inside may add to wg
// without asking: it is not zero then.
func (c *Coordinator) enter() bool {
	c.entry.RLock()
	defer c.entry.RUnlock()
	if c.closed.Load() {
		return false
	}
	c.wg.Add(1)
	return true
}

// View returns the view in force.
func (c *Coordinator) View() *View { return c.view.Load() }

// Do carries out a batch of operations and answers every one of them in place, within the budget. Operations of a batch
// run concurrently: two on one key only if both are Get, both Put or both Modify; those run in order.
//
// Stamps are drawn here for whatever has none: this is where the client's bytes arrived.
func (c *Coordinator) Do(ctx context.Context, ops []*request.Op) {
	if !c.enter() {
		refuseAll(ops, request.ErrClosed)
		return
	}
	defer c.wg.Done()
	view := c.view.Load()
	size, err := c.admit(view, ops)
	if err != nil {
		refuseAll(ops, err)
		return
	}
	defer c.discharge(ops, size)
	b := newBatch(c, view, ops, c.deadline(ctx))
	b.start()
	b.wait(ctx)
}

func refuseAll(ops []*request.Op, err error) {
	for _, op := range ops {
		op.Result = request.Result{Err: err}
	}
}

func (c *Coordinator) deadline(ctx context.Context) time.Time {
	d := time.Now().Add(c.Budget)
	if limit, ok := ctx.Deadline(); ok && limit.Before(d) {
		return limit
	}
	return d
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// admit counts the batch in, stamps its writes and finds its partitions.
func (c *Coordinator) admit(view *View, ops []*request.Op) (size int64, err error) {
	if !view.Formed() {
		return 0, &request.QuorumError{Op: "start", Need: 1, Cause: request.ErrNoQuorum}
	}
	for _, op := range ops {
		size += int64(len(op.Key.Name) + len(op.Value))
	}
	opsNow, bytesNow := c.inFlight.ops.Add(int64(len(ops))), c.inFlight.bytes.Add(size)
	if opsNow > opsInFlightMax || bytesNow > bytesInFlightMax {
		c.inFlight.ops.Add(-int64(len(ops)))
		c.inFlight.bytes.Add(-size)
		c.Counters.Overloaded.Add(int64(len(ops)))
		return 0, request.ErrOverloaded
	}
	for _, op := range ops {
		op.Key.Partition = view.Partition(op.Key.Name)
		op.Result = request.Result{}
		if op.Verb.Writes() {
			op.Stamp = c.Settlement.Begin()
		}
	}
	return size, nil
}

func (c *Coordinator) discharge(ops []*request.Op, size int64) {
	c.inFlight.ops.Add(-int64(len(ops)))
	c.inFlight.bytes.Add(-size)
	for _, op := range ops {
		if op.Verb.Writes() {
			c.Settlement.Done(op.Stamp)
		}
	}
}

// near picks the replica that a batch's reads ask first besides the node itself: all of a batch ask the same one, so
// that they share a frame, and batches take turns.
func (c *Coordinator) near(view *View, pl *Place) ring.NodeID {
	turn := int(c.turn.Add(1))
	for i := range pl.Readers() {
		at := (turn + i) % pl.readers()
		if pl.Up[at] && pl.Primaries[at] != view.Self {
			return pl.Primaries[at]
		}
	}
	return ring.NodeID{}
}

func (c *Coordinator) observe(op string, began time.Time) {
	if c.Observe != nil {
		c.Observe(op, time.Since(began).Seconds())
	}
}

func noQuorum(op string, need, have int) error {
	return &request.QuorumError{Op: op, Need: need, Have: have, Cause: request.ErrNoQuorum}
}

func maybe(op string, need, have int) error {
	return &request.QuorumError{Op: op, Need: need, Have: have, Cause: request.ErrMaybe}
}

// broke reports whether something failed on its way, or for want of room, so that the same may succeed in a moment.
func broke(err error) bool {
	return errors.Is(err, request.ErrUnreachable) || errors.Is(err, request.ErrLost) || errors.Is(err, request.ErrExpired) || errors.Is(err, request.ErrOverloaded) || stale(err)
}

// pause returns how long to wait before what broke, or was refused by a newer layout, is tried again.
func pause(stale bool) time.Duration {
	if stale {
		return newsAfter
	}
	return againAfter
}

// stale reports whether a node refused because it knows a newer layout.
func stale(err error) bool { return errors.Is(err, request.ErrStaleLayout) }

func isMaybe(err error) bool {
	return errors.Is(err, request.ErrMaybe) || errors.Is(err, request.ErrLost) || errors.Is(err, request.ErrInternal)
}
