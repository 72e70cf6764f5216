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

// task is one operation of a client, or one attempt at it.
type task struct {
	*request.Op
	key string
	id  int // of check.Op
}

// again copies the task for an attempt of its own.
func (t *task) again() *task {
	op := *t.Op
	op.Result = request.Result{}
	return &task{&op, t.key, t.id}
}

// writing drives one coordinator.Put. Twin of package coordinator's writing.
type writing struct {
	n      *node
	view   *coordinator.View
	put    coordinator.Put
	tasks  []*task
	m      *coordinator.Minting
	read   causal.State // of a round
	own    write
	record *check.Mint
	report func(*written)

	acks     int // primaries
	survivor causal.State
	decided  bool
	stored   bool
	deadline check.Moment
	broken   []int // legs that failed on their way
	stale    bool  // a node knew a newer layout
	again    bool  // they wait to be sent again
}

// written is the outcome of one write.
type written struct {
	err      error
	delta    causal.State
	survivor causal.State
	acks     int
}

// place returns the place of a key in the view, and how many of those that are read a quorum is.
func (w *world) place(v *coordinator.View, key string) (pl *coordinator.Place, quorum int) {
	pl = v.Place(w.partition(key))
	return pl, min(quorumSize, len(pl.Readers()))
}

// startWrite is Coordinator.startWrite for one key.
func (n *node) startWrite(tasks []*task, m *coordinator.Minting, read causal.State, retry bool, deadline check.Moment, report func(*written)) {
	view := n.view // the present one, as Coordinator.within has it
	w := &writing{n: n, view: view, tasks: tasks, m: m, read: read, deadline: deadline, report: report}
	key := tasks[0].key
	pl, need := n.w.place(view, key)
	if !pl.IsPrimary(view.Self) && !slices.Contains(pl.Fallbacks, view.Self) {
		w.decide(request.ErrNotOwner)
		return
	}
	var ok bool
	if w.put, ok = coordinator.NewPut(pl, view.Self, quorumSize); !ok {
		w.decide(&request.QuorumError{Op: "put", Need: need, Have: w.put.Reach(), Cause: request.ErrNoQuorum})
		return
	}
	w.own = write{key: key, target: -1, mint: m, reserve: m.Frees()}
	for _, l := range w.put.Legs() {
		switch {
		case l.Node == view.Self && !l.For.IsZero():
			w.own.asRole, w.own.target = roleFallback, n.w.index(l.For)
		case l.State == coordinator.LegOwed:
			w.own.owed = append(w.own.owed, n.w.index(l.For))
		}
	}
	n.within(func() { w.storeHere(retry) })
}

func (w *writing) storeHere(retry bool) {
	n := w.n
	if n.broken {
		n.w.count.ioErrors++
		n.apply(&w.own)
		w.remember(retry)
		n.w.crash(n, crashIO)
		return
	}
	upTo := n.apply(&w.own)
	w.remember(retry)
	n.writings = append(n.writings, w)
	n.acknowledge(upTo, w.storedHere)
}

// remember records what was minted.
func (w *writing) remember(retry bool) {
	if w.own.err != nil || len(w.own.delta.Siblings) == 0 && w.own.delta.Seen.IsZero() {
		return
	}
	w.record = &check.Mint{Key: w.own.key, Node: w.n.id, At: w.n.now(), Delta: w.own.delta, Retry: retry, Base: causal.Sync(w.own.base, w.read)}
	for _, t := range w.tasks {
		if t.Op.Verb == request.Put || t.Op.Verb == request.PutSeen || t.Op.Verb == request.DeleteSeen || w.m.Answer(w.at(t), causal.State{}, 0, nil).Wrote {
			w.record.Ops = append(w.record.Ops, t.id)
		}
	}
	if len(w.record.Ops) == 0 { // a delete of what had expired
		w.record.Ops = []int{w.tasks[len(w.tasks)-1].id}
	}
	w.n.w.history.Mints = append(w.n.w.history.Mints, w.record)
	for _, t := range w.tasks {
		if at, ok := w.n.w.unmet[t.id]; ok && t.Attempt >= at && slices.Contains(w.record.Ops, t.id) {
			delete(w.n.w.unmet, t.id)
		}
	}
}

func (w *writing) at(t *task) int {
	for i := range w.tasks {
		if w.tasks[i] == t {
			return i
		}
	}
	panic("model: no such task")
}

func (w *writing) storedHere() {
	if !w.wrote() {
		w.forget()
		w.declined()
		w.decide(w.own.err) // nil: nothing to write, the minter declined
		return
	}
	w.stored, w.survivor = true, w.own.survivor
	for i, l := range w.put.Legs() {
		switch {
		case l.Node == w.view.Self:
			w.acked(i)
		case l.State == coordinator.LegOpen:
			w.send(i)
		}
	}
	w.settle()
	w.n.after(copyPatience, w.slow)
	w.n.after(copyDeadline+second, w.forget)
}

// declined notes the operations of which this attempt found nothing to do, and met nothing that another of theirs had minted:
// its answer is about what its own quorum shows, and says nothing of the other's copies. An attempt before it that was lost
// may mint even now, until the answer is given.
func (w *writing) declined() {
	met := w.n.w.known(w.own.key, causal.Sync(w.n.store.live.held(w.own.key, len(w.n.w.nodes)), w.read))
	for _, t := range w.tasks {
		if slices.ContainsFunc(w.n.w.history.Mints, func(m *check.Mint) bool { return slices.Contains(m.Ops, t.id) && check.Holds(met, m.Delta) }) {
			delete(w.n.w.unmet, t.id)
		} else {
			w.n.w.unmet[t.id] = t.Attempt
		}
	}
}

// wrote reports whether the node's own copy holds something that the others must hold, too.
func (w *writing) wrote() bool {
	own := &w.own
	return own.err == nil && (own.wrote || len(own.delta.Siblings) > 0 || !own.delta.Seen.IsZero())
}

// send sends one copy. A fallback keeps it as a hint. Nothing leaves a node that closes.
func (w *writing) send(leg int) {
	if w.n.closing {
		w.failed(leg)
		return
	}
	l := w.put.Legs()[leg]
	cp := &write{key: w.own.key, delta: w.own.delta, target: -1, reserve: w.own.reserve}
	if !l.For.IsZero() {
		cp.asRole, cp.target = roleFallback, w.n.w.index(l.For)
	}
	to := w.n.w.nodes[w.n.w.index(l.Node)]
	var survivor causal.State
	version := w.view.Version
	w.n.call(to, w.n.now()+copyDeadline, func(answer func(error)) {
		to.serveWrite(*cp, version, func(s causal.State, err error) {
			survivor = s
			answer(err)
		})
	}, func(err error) {
		if err != nil {
			w.failed(leg)
			if stale(err) {
				w.stale = true
				w.n.behind()
			}
			if broke(err) {
				w.put.Broken(leg)
				w.broken = append(w.broken, leg)
			}
		} else {
			w.survivor = causal.Sync(w.survivor, survivor)
			w.acked(leg)
		}
		w.settle()
	})
}

// forget lets go of a write whose copies are answered, or were lost long ago.
func (w *writing) forget() {
	i := slices.Index(w.n.writings, w)
	w.n.writings = slices.Delete(w.n.writings, i, i+1)
}

// close counts the copies that are on their way as missed, as Coordinator.Close does. It waits for the fsync of the own
// copy first: whoever has minted owes its copies. Nobody is left to be answered.
func (w *writing) close() {
	w.decided = true
	if !w.stored && w.wrote() {
		w.storedHere()
	}
	for i := 0; i < len(w.put.Legs()); i++ {
		if w.put.Legs()[i].State == coordinator.LegOpen {
			w.failed(i)
		}
	}
}

// serveWrite is Coordinator.ServeWrites for one copy.
func (n *node) serveWrite(cp write, layout uint64, answer func(causal.State, error)) {
	if err := n.serves(cp.key, cp.asRole, false, layout); err != nil {
		answer(causal.State{}, err)
		return
	}
	n.settlement.Observe(cp.delta)
	n.within(func() { n.storeCopy(cp, answer) })
}

func (n *node) storeCopy(cp write, answer func(causal.State, error)) {
	if n.broken {
		n.w.count.ioErrors++
		n.apply(&cp)
		n.w.crash(n, crashIO)
		return
	}
	upTo := n.apply(&cp)
	n.acknowledge(upTo, func() { answer(cp.survivor, cp.err) })
}

func (w *writing) acked(leg int) {
	l := w.put.Legs()[leg]
	cancel := w.put.Ack(leg)
	if !l.For.IsZero() {
		return
	}
	w.acks++
	if w.record != nil && w.acks >= quorumSize && w.acks == w.put.Acks() && w.put.Enough() && w.record.QuorumAt == 0 {
		w.record.QuorumAt = w.n.now()
	}
	if cancel {
		w.n.addDue(due{kind: dueCancel, target: w.n.w.index(l.Node), key: w.own.key, state: causal.State{Seen: w.own.delta.Seen}})
	}
}

func (w *writing) failed(leg int) {
	next, owed := w.put.Fail(leg)
	if next >= 0 {
		w.send(next)
	}
	if !owed.IsZero() {
		w.owe(w.n.w.index(owed))
	}
}

func (w *writing) owe(target int) {
	d := due{kind: dueMarker, target: target, key: w.own.key, state: causal.State{Seen: w.own.delta.Seen}, minted: len(w.own.delta.Siblings) > 0}
	if w.own.target >= 0 {
		d = due{kind: dueData, target: target, key: w.own.key, state: w.own.delta}
	}
	w.n.addDue(d)
}

func (w *writing) slow() {
	next, owed := w.put.Slow()
	for _, leg := range next {
		w.send(leg)
	}
	for _, id := range owed {
		w.owe(w.n.w.index(id))
	}
}

func (w *writing) settle() {
	switch {
	case w.decided:
	case w.put.Enough():
		w.decide(nil)
	case w.put.Hopeless() && !w.maySendAgain():
		cause := request.ErrMaybe
		if fault.On(fault.MintWithoutQuorum) {
			cause = request.ErrNoQuorum
		}
		w.decide(&request.QuorumError{Op: "put", Need: quorumSize, Have: w.put.Have(), Cause: cause})
	}
}

// maySendAgain is writing.maySendAgain.
func (w *writing) maySendAgain() bool {
	n := w.n
	inReach := func(leg int) bool {
		l := w.put.Legs()[leg]
		return l.State == coordinator.LegFailed && n.sees[n.w.index(l.Node)]
	}
	if w.deadline-n.now() < 2*againAfter || !n.outdated(w.view, w.own.key) && !slices.ContainsFunc(w.broken, inReach) {
		return false
	}
	if !w.again {
		w.again = true
		n.after(pause(w.stale), w.sendBroken)
	}
	return true
}

// sendBroken is writing.sendBroken.
func (w *writing) sendBroken() {
	w.again = false
	if w.decided {
		return
	}
	if w.put.Hopeless() {
		w.replan()
		for _, leg := range w.put.Resend(w.n.inReach) {
			w.broken = slices.DeleteFunc(w.broken, func(i int) bool { return i == leg })
			w.send(leg)
		}
	}
	w.settle()
}

// replan is writing.replan.
func (w *writing) replan() {
	if !w.n.outdated(w.view, w.own.key) {
		return
	}
	w.view, w.stale = w.n.view, false
	legs, owed := w.put.Replan(w.view.Place(w.n.w.partition(w.own.key)), quorumSize)
	for _, leg := range legs {
		w.send(leg)
	}
	for _, id := range owed {
		w.owe(w.n.w.index(id))
	}
}

func (n *node) inReach(id ring.NodeID) bool { return n.sees[n.w.index(id)] }

// broke is coordinator's: it failed on its way, so that the same may succeed in a moment.
func broke(err error) bool {
	return errors.Is(err, request.ErrUnreachable) || errors.Is(err, request.ErrLost) || errors.Is(err, request.ErrExpired) || errors.Is(err, request.ErrOverloaded) || stale(err)
}

func (w *writing) decide(err error) {
	w.decided = true
	out := &written{err: err, survivor: w.survivor, acks: w.acks}
	if w.stored {
		out.delta = w.own.delta
	}
	w.report(out)
}

// coordinate is Coordinator.coordinate for one operation.
func (n *node) coordinate(t *task, given term, report func(request.Result)) {
	if t.Verb == request.Modify && n.view.Place(n.w.partition(t.key)).Handing {
		report(request.Result{Err: request.ErrStaleLayout})
		return
	}
	if t.Verb == request.Modify || t.Verb == request.Delete {
		n.enqueue(waiting{t, n.view.Version, given, report})
		return
	}
	m := coordinator.NewMinting([]*request.Op{t.Op}, n.wall().UnixMilli(), n.settled)
	m.Until(func(int) bool { return n.now() >= given.mint })
	n.startWrite([]*task{t}, m, causal.State{}, t.Attempt > 0, given.until, func(out *written) {
		if out.err == nil && t.Verb == request.Put && len(out.survivor.Siblings) > 0 {
			n.foldIn(t, m, out, given.until, report)
			return
		}
		report(m.Answer(0, out.delta, out.acks, out.err))
	})
}

func (n *node) foldIn(t *task, m *coordinator.Minting, first *written, deadline check.Moment, report func(request.Result)) {
	again := m.Fold(first.delta, first.survivor, n.wall().UnixMilli())
	n.startWrite([]*task{t}, again, first.survivor, false, deadline, func(out *written) {
		err := out.err
		if err != nil {
			err = &request.QuorumError{Op: "put", Need: 1, Have: out.acks, Cause: request.ErrMaybe}
		}
		if !out.delta.Seen.IsZero() {
			n.w.count.folds++
		}
		report(again.Answer(0, out.delta, out.acks, err))
	})
}

// A due is what a request leaves to be done after its reply. Twin of coordinator's dues; a crash loses them.
type due struct {
	kind   dueKind
	target int
	key    string
	state  causal.State
	minted bool         // dueMarker
	until  check.Moment // dueRepair
}

type dueKind uint8

const (
	dueMarker dueKind = iota
	dueData
	dueCancel
	dueRepair
)

func (n *node) addDue(d due) {
	n.dues = append(n.dues, d)
	if !n.paysDues {
		n.paysDues = true
		n.after(dueAfter, n.payDues)
	}
}

func (n *node) payDues() {
	dues := n.dues
	n.dues, n.paysDues = nil, false
	for _, d := range dues {
		n.pay(d)
	}
}

func (n *node) pay(d due) {
	switch d.kind {
	case dueMarker:
		w := &writer{n: n}
		w.oweStored(d.target, d.key, d.state.Seen, d.minted)
		if len(w.changes) > 0 {
			w.commit()
		}
	case dueData:
		n.apply(&write{key: d.key, asRole: roleFallback, delta: d.state, target: d.target, reserve: true})
	case dueCancel:
		n.dropHint(hintID{d.target, d.key}, func(h hint) bool {
			return !h.data && (h.again == 0 && d.state.Seen.Covers(h.owed) || fault.On(fault.CancelUncovered))
		})
	case dueRepair:
		n.repair(d)
	}
}

func (n *node) repair(d due) {
	if n.now() >= d.until {
		return
	}
	n.w.count.repairs++
	cp := write{key: d.key, delta: d.state, target: -1}
	if d.target == n.id {
		n.apply(&cp)
		return
	}
	to := n.w.nodes[d.target]
	version := n.view.Version
	n.call(to, d.until, func(answer func(error)) {
		to.serveWrite(cp, version, func(_ causal.State, err error) { answer(err) })
	}, func(error) {})
}

func lostReply(err error) bool {
	return errors.Is(err, request.ErrMaybe) || errors.Is(err, request.ErrLost) || errors.Is(err, request.ErrInternal)
}
