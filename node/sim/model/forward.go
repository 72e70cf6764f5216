package model

import (
	"errors"
	"slices"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/coordinator"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// attempt is one operation where its client brought it. Twin of coordinator's batch and attempt.
type attempt struct {
	n        *node
	task     *task
	deadline check.Moment
	tried    []ring.NodeID
	lost     bool
	mint     check.Moment // from then on the present attempt, if it is forwarded, is not executed
	quiet    check.Moment // none of the lost attempts is executed from then on
	kept     *request.Result
	answered bool
	answer   func(request.Result)
}

// do is Coordinator.Do for one operation: it is answered once, by the deadline.
func (n *node) do(t *task, r int, answer func(request.Result)) {
	a := &attempt{n: n, task: t, deadline: n.now() + budget}
	if t.Verb.Writes() {
		t.Stamp = n.settlement.Begin()
	}
	stamp := t.Stamp
	a.answer = func(res request.Result) {
		if !a.answered {
			a.answered = true
			if t.Verb.Writes() {
				n.settlement.Done(stamp)
			}
			answer(res)
		}
	}
	n.at(a.deadline, func() {
		if a.kept != nil {
			a.answer(*a.kept)
		}
		a.answer(request.Result{Err: a.late()})
	})
	if !t.Verb.Writes() {
		n.startRead(t.key, r, false, true, a.deadline, func(s causal.State, err error) { a.answer(request.Result{State: s, Err: err}) })
		return
	}
	switch to, ok := a.next(); {
	case !ok:
		a.answer(request.Result{Err: a.noQuorum()})
	case to == n.view.Self:
		a.here(t.again())
	default:
		a.forward(to)
	}
}

// here is batch.coordinateHere: what this node has no room for goes to the next.
func (a *attempt) here(t *task) {
	a.tried = append(a.tried, a.n.view.Self)
	a.n.coordinate(t, a.whole(), func(r request.Result) {
		if full(r.Err) || stale(r.Err) || errors.Is(r.Err, request.ErrNotOwner) {
			a.returned(t, r)
			return
		}
		a.conclude(a.afterLoss(r))
	})
}

// conclude is batch.conclude: a lost attempt that may still be executed is waited for.
func (a *attempt) conclude(r request.Result) {
	v := a.task.Verb
	if v != request.Put && v != request.Delete || a.quiet <= a.n.now() || fault.On(fault.AnswerEarly) {
		a.answer(r)
		return
	}
	a.kept = &r
	a.n.at(a.quiet, func() { a.answer(r) })
}

func full(err error) bool {
	return errors.Is(err, request.ErrDiskLow) || errors.Is(err, request.ErrHintsFull)
}

// afterLoss is batch.afterLoss: a refusal after a lost attempt speaks for itself alone.
func (a *attempt) afterLoss(r request.Result) request.Result {
	if r.Err == nil || !a.lost {
		return r
	}
	return request.Result{Err: a.final(r.Err)}
}

func (a *attempt) late() error {
	if a.task.Verb.Writes() {
		return &request.QuorumError{Op: "put", Need: quorumSize, Cause: request.ErrMaybe}
	}
	return a.noQuorum()
}

func (a *attempt) noQuorum() error {
	return &request.QuorumError{Op: "put", Need: quorumSize, Cause: request.ErrNoQuorum}
}

func (a *attempt) forward(to ring.NodeID) {
	n := a.n
	a.tried = append(a.tried, to)
	t := a.task.again()
	peer, notice, term := n.w.nodes[n.w.index(to)], n.settlement.Notice(), a.term()
	n.w.count.forwards++
	var result request.Result
	a.mint = term.mint
	version := n.view.Version
	n.callOnce(peer, term.until, func(answer func(error)) {
		peer.serveCoordinate(t, version, notice, term, func(r request.Result) {
			result = r
			answer(nil)
		})
	}, func(err error) {
		if err != nil {
			result = request.Result{Err: err}
		}
		a.returned(t, result)
	}, false)
}

// term is coordinator's.
type term struct{ until, mint check.Moment }

// mintTakes is coordinator's; nodes are a moment apart here.
func (a *attempt) mintTakes() check.Moment {
	if a.task.Verb == request.Delete {
		return readMintPatience
	}
	return mintPatience
}

// whole is batch.whole.
func (a *attempt) whole() term { return term{a.deadline, a.deadline} }

// term is batch.attemptTerm: it leaves time for another coordinator, if there is one left to ask and the operation may be run again.
func (a *attempt) term() term {
	now := a.n.now()
	if _, ok := a.next(); !ok || !a.task.Verb.Idempotent() || now+attemptPatience > a.deadline {
		return a.whole()
	}
	return term{now + attemptPatience, now + a.mintTakes()}
}

func (a *attempt) next() (ring.NodeID, bool) {
	if len(a.tried) >= attemptsMax {
		return ring.NodeID{}, false
	}
	pl, _ := a.n.w.place(a.n.view, a.task.key)
	for _, id := range pl.Coordinators() {
		if !slices.Contains(a.tried, id) {
			return id, true
		}
	}
	return ring.NodeID{}, false
}

// returned is batch.settle and what follows it.
func (a *attempt) returned(sent *task, r request.Result) {
	lost := lostReply(r.Err)
	if !lost && (!request.NotExecuted(r.Err) || errors.Is(r.Err, request.ErrOverloaded)) {
		a.conclude(a.afterLoss(r))
		return
	}
	a.lost = a.lost || lost
	if errors.Is(r.Err, request.ErrLost) {
		a.quiet = max(a.quiet, a.mint)
	}
	to, ok := a.next()
	if stale(r.Err) {
		a.n.behind()
		ok = false
	}
	over := !ok && (lost || broke(r.Err)) && a.deadline-a.n.now() > 2*againAfter
	again := sent.again()
	if !ok && !over || a.answered || a.lost && !a.task.Verb.Idempotent() && !fault.On(fault.RetryModify) || lost && !a.retry(again) {
		a.conclude(request.Result{Err: a.final(r.Err)})
		return
	}
	if lost {
		a.n.w.count.retries++
		again.Attempt++
	}
	a.task = again
	switch {
	case over:
		a.n.after(pause(stale(r.Err)), func() { a.startOver(r.Err) })
	case to == a.n.view.Self:
		a.here(again)
	default:
		a.forward(to)
	}
}

// startOver is batch.startOver: all coordinators are tried once more.
func (a *attempt) startOver(err error) {
	a.tried = nil
	to, ok := a.next()
	switch {
	case a.answered:
	case !ok:
		a.conclude(request.Result{Err: a.final(err)})
	case to == a.n.view.Self:
		a.here(a.task)
	default:
		a.forward(to)
	}
}

// retry says that twins may exist from here on.
func (a *attempt) retry(again *task) bool {
	ok := a.n.settlement.Retry(again.Stamp)
	if fault.On(fault.StampOnRetry) {
		again.Stamp = a.n.settlement.Begin()
	}
	return ok
}

func (a *attempt) final(err error) error {
	switch {
	case a.lost:
		return &request.QuorumError{Op: "put", Need: quorumSize, Cause: request.ErrMaybe}
	case errors.Is(err, request.ErrNoQuorum), errors.Is(err, request.ErrOverloaded), errors.Is(err, request.ErrClosed):
		return err
	case full(err):
		return err
	}
	return a.noQuorum()
}

// serveCoordinate is Coordinator.ServeCoordinate for one operation.
func (n *node) serveCoordinate(t *task, layout uint64, notice request.Notice, given term, answer func(request.Result)) {
	n.settlement.Hear(notice)
	if err := n.serves(t.key, roleCoordinator, false, layout); err != nil {
		answer(request.Result{Err: err})
		return
	}
	over := false
	once := func(r request.Result) {
		if !over {
			over = true
			answer(r)
		}
	}
	n.at(given.until, func() {
		once(request.Result{Err: &request.QuorumError{Op: "put", Need: quorumSize, Cause: request.ErrMaybe}})
	})
	n.coordinate(t, given, once)
}

// Read-modify-writes of one key queue. Twin of coordinator's queues and rounds.

type waiting struct {
	*task
	layout uint64
	term
	report func(request.Result)
}

type queue struct{ waiting []waiting }

func (n *node) enqueue(w waiting) {
	if q, running := n.queues[w.key]; running {
		q.waiting = append(q.waiting, w)
		return
	}
	n.queues[w.key] = &queue{}
	n.round(w.key, []waiting{w})
}

// next begins the next round of a key, if anything waits for it.
func (n *node) nextRound(key string) {
	q := n.queues[key]
	if len(q.waiting) == 0 {
		delete(n.queues, key)
		return
	}
	k := 1
	for k < len(q.waiting) && q.waiting[k].Verb == q.waiting[0].Verb {
		k++
	}
	turn := q.waiting[:k:k]
	q.waiting = q.waiting[k:]
	n.round(key, turn)
}

func (n *node) round(key string, all []waiting) {
	turn := n.unmoved(key, n.inTime(all))
	var until, mint check.Moment
	for _, w := range turn {
		until, mint = max(until, w.until), max(mint, w.mint)
	}
	if len(turn) == 0 {
		n.nextRound(key)
		return
	}
	modify := turn[0].Verb == request.Modify
	leave := n.enter()
	n.startRead(key, 0, modify, false, mint, func(s causal.State, err error) {
		turn = n.inTime(turn)
		if err != nil {
			for _, w := range turn {
				w.report(request.Result{Err: err})
			}
			turn = nil
		}
		if len(turn) == 0 {
			leave()
			n.nextRound(key)
			return
		}
		n.writeRound(key, turn, s, until, leave)
	})
}

// inTime is dropExpired.
func (n *node) inTime(all []waiting) (turn []waiting) {
	for _, w := range all {
		if n.now() >= w.mint {
			w.report(request.Result{Err: request.ErrExpired})
			continue
		}
		turn = append(turn, w)
	}
	return turn
}

// unmoved is dropMoved.
func (n *node) unmoved(key string, all []waiting) (turn []waiting) {
	pl := n.view.Place(n.w.partition(key))
	for _, w := range all {
		if w.layout < pl.Since || pl.Handing && w.Verb == request.Modify {
			w.report(request.Result{Err: request.ErrStaleLayout})
			continue
		}
		turn = append(turn, w)
	}
	return turn
}

func (n *node) writeRound(key string, turn []waiting, read causal.State, deadline check.Moment, leave func()) {
	ops, tasks := make([]*request.Op, len(turn)), make([]*task, len(turn))
	for i, w := range turn {
		ops[i], tasks[i] = w.Op, w.task
	}
	m := coordinator.NewMinting(ops, n.wall().UnixMilli(), n.settled)
	m.Over(read)
	m.Until(func(i int) bool { return n.now() >= turn[i].mint })
	n.startWrite(tasks, m, read, false, deadline, func(out *written) {
		for i, w := range turn {
			w.report(m.Answer(i, out.delta, out.acks, out.err))
		}
		leave()
		n.nextRound(key)
	})
}

func modifySloppily() bool { return fault.On(fault.ModifyFromFallbacks) }
