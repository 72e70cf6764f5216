package coordinator

import (
	"context"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// batch is one Do: its operations, and which of them are still open. Answers may come from any goroutine, late ones
// too; after the batch has ended they are dropped, for the operations are the caller's again.
type batch struct {
	c        *Coordinator
	view     *View
	deadline time.Time
	began    time.Time // the reads

	mu       sync.Mutex
	ops      []*request.Op
	answered []bool
	one      [1]bool                // where answered is, of a single operation
	kept     map[int]request.Result // answers that wait for a moment not after the deadline
	open     int
	ended    bool
	waiter   *waiter // until wait returns; see there
}

func newBatch(c *Coordinator, view *View, ops []*request.Op, deadline time.Time) *batch {
	b := &batch{c: c, view: view, deadline: deadline, ops: ops, open: len(ops), waiter: c.waiters.take()}
	if b.answered = b.one[:]; len(ops) != 1 {
		b.answered = make([]bool, len(ops))
	}
	return b
}

// answer records the result of operation i; the first one counts.
func (b *batch) answer(i int, r request.Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended || b.answered[i] {
		return
	}
	b.answered[i] = true
	b.ops[i].Result = r
	if b.open--; b.open == 0 {
		b.waiter.done <- struct{}{} // which has room: nobody else does this
	}
}

// keep has operation i end with r if it has no other answer by the deadline.
func (b *batch) keep(i int, r request.Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kept == nil {
		b.kept = make(map[int]request.Result)
	}
	b.kept[i] = r
}

// running reports whether an operation still waits for its answer.
func (b *batch) running(i int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.ended && !b.answered[i]
}

// start sends out everything: first what other nodes do, so that they work while this one does its own.
func (b *batch) start() {
	gets, own := make([]int, 0, batchUsual), make([]int, 0, batchUsual)
	away := make(map[way][]int)
	for i, op := range b.ops {
		if !op.Verb.Writes() {
			gets = append(gets, i)
			continue
		}
		to, ok := b.view.Place(op.Key.Partition).coordinator(0)
		switch {
		case !ok:
			b.answer(i, request.Result{Err: noQuorum("put", b.view.write(b.view.Place(op.Key.Partition), op.W), 0)})
		case to == b.view.Self:
			own = append(own, i)
		default:
			w := wayOf(to, op)
			away[w] = append(away[w], i)
		}
	}
	for w, at := range away {
		b.forward(w.to, b.attempts(at))
	}
	if len(gets) > 0 {
		b.read(gets)
	}
	if len(own) > 0 {
		b.coordinateHere(b.view, b.attempts(own))
	}
}

// wait returns when every operation is answered, or at the deadline with a true answer for those that are not. It is called once, at
// the batch's end; no late answer touches the waiter after it.
func (b *batch) wait(ctx context.Context) {
	if !b.waiter.wait(ctx, b.deadline) {
		b.end()
	}
	b.c.waiters.free(b.waiter)
}

func (b *batch) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	late := !time.Now().Before(b.deadline)
	for i, op := range b.ops {
		if b.answered[i] {
			continue
		}
		if r, ok := b.kept[i]; ok && late {
			op.Result = r
		} else if op.Verb.Writes() {
			op.Result = request.Result{Err: maybe("put", b.view.W, 0)}
		} else {
			op.Result = request.Result{Err: noQuorum("get", b.view.R, 0)}
		}
	}
}

func (b *batch) read(gets []int) {
	b.began = time.Now()
	r := &reading{}
	r.begin(b.c, b.view, len(gets), b.deadline, b)
	r.repair = true
	for j, i := range gets {
		r.gets[j].want, r.gets[j].at = asking{key: b.ops[i].Key, r: b.ops[i].R}, i
	}
	r.start()
}

// found implements finder.
func (b *batch) found(g *getting, s causal.State, err error, last bool) {
	b.answer(g.at, request.Result{State: s, Err: err})
	if last {
		b.c.observe("read", b.began)
	}
}

// coordinate carries out writes whose coordinator is this node.
func (b *batch) coordinate(own []int, t term) {
	as := b.attempts(own)
	b.c.coordinate(b.view, sent(as), t, func(j int, r request.Result) { b.answer(as[j].at, r) })
}

// freshOp copies an operation, without its result, for an attempt that may outlive the batch.
func freshOp(op *request.Op) request.Op {
	cp := *op
	cp.Result = request.Result{}
	return cp
}
