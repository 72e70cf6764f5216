package peer

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// Read asks a node for the state of some keys. done is called once, by another goroutine, and must not wait: with nil when
// every element is answered in place, else with an error for all: ErrUnreachable, ErrExpired, ErrOverloaded, ErrClosed
// (not executed) or ErrLost (perhaps executed), by errors.Is. The elements belong to the call until then. A deadline more
// than DeadlineMax away is brought forward.
//
// A batch above request.BatchMax elements or ChunkBytesMax travels in pieces; where a piece fails, its elements' Err say
// so, and done gets nil.
func (p *Peers) Read(to ring.NodeID, rs []*request.Read, layout uint64, deadline time.Time, done func(error)) {
	pieces(rs, (*request.Read).Size, func(r *request.Read, err error) { r.Err = err }, done, func(rs []*request.Read, done func(error)) {
		p.send(to, small, deadline, &call{kind: kindRead, layout: layout, reads: rs, done: done})
	})
}

// Write asks a node to store; else as Read. The writes must not mint.
func (p *Peers) Write(to ring.NodeID, ws []*request.Write, layout uint64, deadline time.Time, done func(error)) {
	p.write(to, small, kindWrite, ws, layout, deadline, done, nil)
}

func (p *Peers) write(to ring.NodeID, c class, kind uint8, ws []*request.Write, layout uint64, deadline time.Time, done func(error), sent func(*call)) {
	pieces(ws, (*request.Write).Size, func(w *request.Write, err error) { w.Err = err }, done, func(ws []*request.Write, done func(error)) {
		call := &call{kind: kind, layout: layout, writes: ws, done: done}
		if sent != nil {
			sent(call)
		}
		p.send(to, c, deadline, call)
	})
}

// Coordinate asks a node to carry out operations, and to mint nothing for them from mint on, which is not after deadline; else as
// Read. n must respect NoticeRetriedMax.
func (p *Peers) Coordinate(to ring.NodeID, ops []*request.Op, layout uint64, n request.Notice, deadline, mint time.Time, done func(error)) {
	spare := min(max(deadline.Sub(mint), 0), DeadlineMax)
	pieces(ops, (*request.Op).Size, func(o *request.Op, err error) { o.Result = request.Result{Err: err} }, done, func(ops []*request.Op, done func(error)) {
		p.send(to, small, deadline, &call{kind: kindCoord, layout: layout, spare: spare, notice: n, ops: ops, done: done})
	})
}

// Deliver brings hints home over the bulk connection and waits for the answers, at most until ctx ends or DeadlineMax. An
// element without Err is on the receiver's disk, fsynced. Errors for the whole batch are as Read's.
func (p *Peers) Deliver(ctx context.Context, to ring.NodeID, items []*request.Write, layout uint64) error {
	var calls []*call
	return p.await(ctx, func(deadline time.Time, done func(error)) {
		p.write(to, bulk, kindHandoff, items, layout, deadline, done, func(c *call) { calls = append(calls, c) })
	}, func() []*call { return calls })
}

// Control sends a small administrative request, of at most ControlBytesMax, and waits for its answer, at most until ctx
// ends or DeadlineMax. The answer is the caller's. Errors are Read's or the handler's, by errors.Is where request knows
// them.
func (p *Peers) Control(ctx context.Context, to ring.NodeID, kind uint8, payload []byte) ([]byte, error) {
	return p.control(ctx, to, small, kind, payload)
}

// Fetch is Control over the bulk connection, for background work: the answer may have FetchBytesMax, and stands before no
// client's request.
func (p *Peers) Fetch(ctx context.Context, to ring.NodeID, kind uint8, payload []byte) ([]byte, error) {
	return p.control(ctx, to, bulk, kind, payload)
}

func (p *Peers) control(ctx context.Context, to ring.NodeID, class class, kind uint8, payload []byte) ([]byte, error) {
	if len(payload) > ControlBytesMax {
		return nil, request.ErrTooBig
	}
	c := &call{kind: kindControl, control: kind, payload: payload}
	err := p.await(ctx, func(deadline time.Time, done func(error)) {
		c.done = done
		p.send(to, class, deadline, c)
	}, func() []*call { return []*call{c} })
	if err != nil {
		return nil, err
	}
	return c.payload, nil
}

// await starts calls and waits for their end, which comes at once when ctx ends.
func (p *Peers) await(ctx context.Context, start func(time.Time, func(error)), calls func() []*call) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(DeadlineMax)
	}
	result := make(chan error, 1)
	start(deadline, func(err error) { result <- err })
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	for _, c := range calls() {
		c.abandon()
	}
	return <-result // a call without a link waits for the first connection, at most ConnectWait
}

// send puts a call on its way, or has it end with the reason why not.
func (p *Peers) send(to ring.NodeID, class class, deadline time.Time, c *call) {
	c.deadline = p.cfg.Now() + min(time.Until(deadline), DeadlineMax)
	err := request.ErrUnreachable
	if r := p.remote(to); r != nil {
		err = r.send(class, c)
	}
	if err != nil {
		p.refuse(c, err)
	}
}

// refuse ends a call that was not sent, on another goroutine, since its caller may hold a lock that done takes.
func (p *Peers) refuse(c *call, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.mu.open {
		p.wg.Go(func() { c.done(err) })
		return
	}
	go c.done(request.ErrClosed) // Close waits no more
}

// pieces cuts a batch that is too long or too large for one frame, and has each piece sent; done is told once all have
// ended. The common batch is one piece, sent as it is.
func pieces[T any](items []T, size func(T) int, fail func(T, error), done func(error), send func([]T, func(error))) {
	cut := cutBatch(items, size)
	if len(cut) == 0 {
		send(items, done)
		return
	}
	var left atomic.Int64
	left.Store(int64(len(cut)))
	for _, piece := range cut {
		send(piece, func(err error) {
			failAll(piece, fail, err)
			if left.Add(-1) == 0 {
				done(nil)
			}
		})
	}
}

// cutBatch returns the pieces of a batch that needs more than one frame, else nil.
func cutBatch[T any](items []T, size func(T) int) (cut [][]T) {
	for n := pieceLength(items, size); n < len(items); n = pieceLength(items, size) {
		cut = append(cut, items[:n])
		items = items[n:]
	}
	if cut != nil {
		cut = append(cut, items)
	}
	return cut
}

func failAll[T any](items []T, fail func(T, error), err error) {
	for i := 0; err != nil && i < len(items); i++ {
		fail(items[i], err)
	}
}

// pieceLength returns how many of the first items fit into one frame: at least one, if there is any.
func pieceLength[T any](items []T, size func(T) int) int {
	bytes := 0
	for i, item := range items[:min(len(items), request.BatchMax)] {
		bytes += size(item)
		if bytes > ChunkBytesMax && i > 0 {
			return i
		}
	}
	return min(len(items), request.BatchMax)
}
