package coordinator

import (
	"errors"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// attempt is one operation of a batch on its way to a coordinator.
type attempt struct {
	at    int            // its place in the batch
	op    *request.Op    // what is sent; a fresh copy for each attempt, since a late reply may still touch the last one
	tried []ring.NodeID  // coordinators asked so far, the present one included
	lost  bool           // an earlier attempt was perhaps executed
	mint  time.Time      // from then on the present attempt, if it is forwarded, is not executed
	quiet time.Time      // none of the lost attempts is executed from then on; zero: none was lost on its way
	first request.Op     // what is sent first
	room  [2]ring.NodeID // where tried begins
	alone struct {       // what stands for a batch of this attempt alone
		self [1]*attempt
		sent [1]*request.Op
	}
}

// way is what one forwarded frame has in common: operations that may be run again are not waited for as long as those
// that may not, so they travel apart.
type way struct {
	to   ring.NodeID
	once bool
}

func wayOf(to ring.NodeID, op *request.Op) way { return way{to, !op.Verb.Idempotent()} }

// attempts copies operations for attempts that may outlive the batch, in one piece of memory.
func (b *batch) attempts(at []int) []*attempt {
	made := make([]attempt, len(at))
	out := made[0].alone.self[:]
	if len(at) > 1 {
		out = make([]*attempt, len(at))
	}
	for j, i := range at {
		a := &made[j]
		a.at, a.first = i, freshOp(b.ops[i])
		a.op, a.tried = &a.first, a.room[:0]
		out[j] = a
	}
	return out
}

// sent returns the operations that attempts send now. The slice is of an attempt alone when it sends its first, which it does once.
func sent(as []*attempt) []*request.Op {
	if len(as) == 1 && as[0].op == &as[0].first {
		as[0].alone.sent[0] = as[0].op
		return as[0].alone.sent[:]
	}
	ops := make([]*request.Op, len(as))
	for j, a := range as {
		ops[j] = a.op
	}
	return ops
}

// forward sends operations to another node to coordinate, and goes on to the next node with those that it did not
// carry out.
func (b *batch) forward(to ring.NodeID, as []*attempt) {
	for _, a := range as {
		a.tried = append(a.tried, to)
	}
	b.c.Counters.Forwards.Add(int64(len(as)))
	t := b.attemptTerm(to, as)
	for _, a := range as {
		a.mint = t.mint
	}
	b.c.Peers.Coordinate(to, sent(as), b.c.view.Load().Version, b.c.Settlement.Notice(), t.until, t.mint, func(err error) {
		b.returned(as, err)
	})
}

// term is how long an operation has.
type term struct {
	until time.Time // who asked for it waits no longer
	mint  time.Time // nothing is minted for it from then on: it is answered ErrExpired
}

// mintTakes is how long a coordinator may take to mint all of the operations.
func mintTakes(as []*attempt) time.Duration {
	for _, a := range as {
		if a.op.Verb == request.Delete {
			return readMintPatience
		}
	}
	return mintPatience
}

// whole is the term of operations that have all the time of their batch.
func (b *batch) whole() term { return term{b.deadline, b.deadline} }

// attemptTerm leaves time for another coordinator, if there is one left to ask and the operations may be run again:
// to give up early on one that may not would only turn its answer into MAYBE. The last to be asked has all the time that is
// left, so that a cluster that is slow everywhere still carries out what it is asked.
func (b *batch) attemptTerm(to ring.NodeID, as []*attempt) term {
	now := time.Now()
	t := term{now.Add(attemptPatience), now.Add(min(mintTakes(as)+termTrips*b.c.Peers.RTT(to), attemptPatience))}
	if t.until.After(b.deadline) {
		return b.whole()
	}
	for _, a := range as {
		if _, ok := b.next(a); !ok || !a.op.Verb.Idempotent() {
			return b.whole()
		}
	}
	return t
}

// next finds the best coordinator in reach that was not tried yet, by the view of this moment.
func (b *batch) next(a *attempt) (ring.NodeID, bool) {
	if len(a.tried) >= attemptsMax {
		return ring.NodeID{}, false
	}
	pl := b.c.view.Load().Place(a.op.Key.Partition)
	for n := 0; ; n++ {
		id, ok := pl.coordinator(n)
		if !ok || !slices.Contains(a.tried, id) {
			return id, ok
		}
	}
}

// returned sorts the operations of one forwarded frame: answered, or to be tried at another node. It runs on the
// connection's goroutine and must not block.
func (b *batch) returned(as []*attempt, err error) {
	again := make(map[way][]*attempt)
	for _, a := range as {
		r := a.op.Result
		if err != nil {
			r = request.Result{Err: err}
		}
		if to, ok := b.settle(a, r); ok {
			w := wayOf(to, a.op)
			again[w] = append(again[w], a)
		}
	}
	for w, as := range again {
		if w.to != b.view.Self {
			b.forward(w.to, as)
			continue
		}
		b.retryHere(as)
	}
}

// settle answers an attempt, or names the node to try next.
func (b *batch) settle(a *attempt, r request.Result) (ring.NodeID, bool) {
	lost := isMaybe(r.Err)
	if !lost && !retryElsewhere(r.Err) {
		b.conclude(a, b.afterLoss(a, r))
		return ring.NodeID{}, false
	}
	a.lost = a.lost || lost
	if errors.Is(r.Err, request.ErrLost) && a.mint.After(a.quiet) {
		a.quiet = a.mint
	}
	to, ok := b.next(a)
	if stale(r.Err) { // this node must learn of the newer layout first: by the old one nobody else will do it either
		b.c.behind()
		ok = false
	}
	again := !ok && (lost || broke(r.Err)) && time.Until(b.deadline) > 2*againAfter
	if !ok && !again || !b.running(a.at) || a.lost && !a.op.Verb.Idempotent() && !fault.On(fault.RetryModify) || lost && !b.c.Settlement.Retry(a.op.Stamp) {
		b.conclude(a, request.Result{Err: b.final(a, r.Err)})
		return ring.NodeID{}, false
	}
	cp := new(request.Op)
	*cp = freshOp(a.op)
	if lost {
		b.c.Counters.Retries.Add(1)
		cp.Attempt++
		if fault.On(fault.StampOnRetry) {
			cp.Stamp = b.c.Settlement.Begin()
		}
	}
	a.op = cp
	if again {
		b.startOverLater(a, r.Err)
		return ring.NodeID{}, false
	}
	return to, true
}

func (b *batch) startOverLater(a *attempt, err error) {
	time.AfterFunc(pause(stale(err)), func() { b.startOver(a, err) })
}

// startOver tries all coordinators once more, after the connections to those tried had a moment to come back.
func (b *batch) startOver(a *attempt, err error) {
	if !b.c.enter() {
		b.conclude(a, request.Result{Err: b.final(a, request.ErrClosed)})
		return
	}
	defer b.c.wg.Done()
	a.tried = nil
	to, ok := b.next(a)
	switch {
	case !b.running(a.at):
	case !ok:
		b.conclude(a, request.Result{Err: b.final(a, err)})
	case to == b.view.Self:
		b.retryHere([]*attempt{a})
	default:
		b.forward(to, []*attempt{a})
	}
}

// conclude answers an attempt, but not while an earlier one whose connection broke may still be executed: a SET or DEL that
// arrives late removes what it meets, and that must not be what its client wrote next. When its term for minting is over, so is a lost attempt.
func (b *batch) conclude(a *attempt, r request.Result) {
	if !removesWhatItMeets(a.op.Verb) || time.Until(a.quiet) <= 0 || fault.On(fault.AnswerEarly) {
		b.answer(a.at, r)
		return
	}
	b.concludeLater(a.at, r, a.quiet)
}

func (b *batch) concludeLater(at int, r request.Result, quiet time.Time) {
	b.keep(at, r)
	time.AfterFunc(time.Until(quiet), func() { b.answer(at, r) })
}

// removesWhatItMeets reports whether an operation removes what its coordinator holds, rather than what its client names. A
// read-modify-write does too, but is never sent again.
func removesWhatItMeets(v request.Verb) bool { return v == request.Put || v == request.Delete }

// afterLoss is the true answer of an operation whose earlier attempt was perhaps executed: a later attempt's success, but
// not its refusal, which speaks for itself alone.
func (b *batch) afterLoss(a *attempt, r request.Result) request.Result {
	if r.Err == nil || !a.lost {
		return r
	}
	return request.Result{Err: b.final(a, r.Err)}
}

// retryElsewhere reports whether another coordinator may do what this one refused unexecuted.
func retryElsewhere(err error) bool {
	return request.NotExecuted(err) && !errors.Is(err, request.ErrOverloaded)
}

// full reports whether a node refused for want of room: its trouble alone, not the cluster's.
func full(err error) bool {
	return errors.Is(err, request.ErrDiskLow) || errors.Is(err, request.ErrHintsFull)
}

// final is the true answer of an operation that nobody is left to carry out.
func (b *batch) final(a *attempt, err error) error {
	pl := b.view.Place(a.op.Key.Partition)
	need := b.view.write(pl, a.op.W)
	switch {
	case a.lost:
		return maybe("put", need, 0)
	case errors.Is(err, request.ErrNoQuorum), errors.Is(err, request.ErrOverloaded), errors.Is(err, request.ErrClosed):
		return err
	case full(err):
		return err
	}
	return noQuorum("put", need, 0)
}

// mayGoOn reports whether what this node refused unexecuted may be done by another, as if another had asked: a full disk must not
// fail writes that W others have room for, and a layout may have changed since the operation came here.
func mayGoOn(err error) bool {
	return full(err) || stale(err) || errors.Is(err, request.ErrNotOwner)
}

// retryHere coordinates attempts on this node after others failed them. They may be all that is left of their batch.
func (b *batch) retryHere(as []*attempt) {
	if b.c.enter() {
		go func() {
			defer b.c.wg.Done()
			b.coordinateHere(b.c.view.Load(), as)
		}()
		return
	}
	for _, a := range as {
		b.conclude(a, request.Result{Err: b.final(a, request.ErrClosed)})
	}
}

// coordinateHere carries out this node's own share of its clients' operations.
func (b *batch) coordinateHere(view *View, as []*attempt) {
	for _, a := range as {
		a.tried = append(a.tried, b.view.Self)
	}
	b.c.coordinate(view, sent(as), b.whole(), func(j int, r request.Result) {
		if !mayGoOn(r.Err) {
			b.conclude(as[j], b.afterLoss(as[j], r))
			return
		}
		if to, ok := b.settle(as[j], r); ok {
			b.forward(to, as[j:j+1])
		}
	})
}
