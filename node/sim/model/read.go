package model

import (
	"slices"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/coordinator"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// reading drives one coordinator.Get. Twin of package coordinator's reading.
type reading struct {
	n        *node
	view     *coordinator.View
	key      string
	get      coordinator.Get
	deadline check.Moment
	repair   bool
	begin    check.Moment
	modify   bool
	report   func(causal.State, error)

	digest  uint64
	own     bool
	need    int
	decided bool
	asked   int
	planned int   // how often it was; answers to an earlier plan do not count
	stale   bool  // a node knew a newer layout
	broken  []int // questions that failed on their way
	again   bool  // they wait to be asked again
}

// startRead is Coordinator.startRead for one key. r is 0 for the keyspace's own.
func (n *node) startRead(key string, r int, primariesOnly, repair bool, deadline check.Moment, report func(causal.State, error)) {
	rd := &reading{n: n, view: n.view, key: key, deadline: deadline, repair: repair, begin: n.now(), modify: primariesOnly, report: report}
	pl, need := n.w.place(n.view, key)
	if r > 0 {
		need = min(r, len(pl.Readers()))
	}
	rd.need = need
	var ok bool
	if rd.get, ok = coordinator.NewGet(pl, n.view.Self, n.near(pl), need, primariesOnly && !modifySloppily()); !ok {
		rd.decide(&request.QuorumError{Op: "get", Need: need, Have: rd.get.Reach(), Cause: request.ErrNoQuorum})
		return
	}
	rd.readOwn()
	rd.step()
	if !rd.decided {
		n.after(hedgeAfter, rd.hedge)
		n.at(deadline, func() { // the frames end with the deadline, each of them as lost
			if !rd.decided {
				rd.decide(&request.QuorumError{Op: "get", Need: need, Have: rd.get.Have(), Cause: request.ErrNoQuorum})
			}
		})
	}
}

// near is Coordinator.near.
func (n *node) near(pl *coordinator.Place) ring.NodeID {
	n.turn++
	for i := range pl.Readers() {
		at := (n.turn + i) % len(pl.Readers())
		if pl.Up[at] && pl.Primaries[at] != n.view.Self {
			return pl.Primaries[at]
		}
	}
	return ring.NodeID{}
}

func (r *reading) readOwn() {
	if r.get.Asks()[0].Node != r.view.Self {
		return
	}
	r.get.Next()
	s := r.n.read(r.key)
	r.get.Answer(0, s)
	r.digest, r.own = s.Digest(), r.repair || len(s.Siblings) > 0
}

func (r *reading) step() {
	if r.get.Enough() || r.decided {
		r.decide(nil)
		r.repairLate()
		return
	}
	for r.get.Wanted() > 0 && r.ask() {
	}
	if r.get.Hopeless() && !r.mayAskAgain() {
		r.decide(&request.QuorumError{Op: "get", Need: quorumSize, Have: r.get.Have(), Cause: request.ErrNoQuorum})
	}
}

// mayAskAgain is reading.mayAskAgain.
func (r *reading) mayAskAgain() bool {
	inReach := func(ask int) bool { return r.n.inReach(r.get.Asks()[ask].Node) }
	if r.deadline-r.n.now() < 2*againAfter || !r.n.outdated(r.view, r.key) && !slices.ContainsFunc(r.broken, inReach) {
		return false
	}
	if !r.again {
		r.again = true
		r.n.after(pause(r.stale), r.askBroken)
	}
	return true
}

// replan is reading.replan.
func (r *reading) replan() {
	r.view, r.planned, r.broken, r.stale = r.n.view, r.planned+1, nil, false
	r.own, r.digest, r.asked = false, 0, 0
	pl, need := r.n.w.place(r.view, r.key)
	var ok bool
	if r.get, ok = coordinator.NewGet(pl, r.view.Self, r.n.near(pl), need, r.modify && !modifySloppily()); !ok {
		r.decide(&request.QuorumError{Op: "get", Need: need, Have: r.get.Reach(), Cause: request.ErrNoQuorum})
		return
	}
	r.step()
}

// outdated reports whether the roles of a key's partition have changed since a view.
func (n *node) outdated(v *coordinator.View, key string) bool {
	return n.view.Place(n.w.partition(key)).Since > v.Version
}

// pause is coordinator's.
func pause(stale bool) check.Moment {
	if stale {
		return newsAfter
	}
	return againAfter
}

// askBroken is reading.askBroken.
func (r *reading) askBroken() {
	r.again = false
	if r.decided || !r.get.Hopeless() {
		return
	}
	if r.n.outdated(r.view, r.key) {
		r.replan()
		return
	}
	r.broken = slices.DeleteFunc(r.broken, func(ask int) bool { return r.n.inReach(r.get.Asks()[ask].Node) })
	r.get.AskAgain(r.n.inReach)
	r.step()
}

func (r *reading) ask() bool {
	at := r.get.Next()
	if at < 0 {
		return false
	}
	a := r.get.Asks()[at]
	if a.Node == r.view.Self { // only as a fallback, or in a get that was planned anew
		r.get.Answer(at, r.n.read(r.key))
		if r.get.Enough() {
			r.decide(nil)
		}
		return true
	}
	as := rolePrimary
	if a.Fallback {
		as = roleFallback
	}
	to := r.n.w.nodes[r.n.w.index(a.Node)]
	r.asked++
	version, planned := r.view.Version, r.planned
	var state causal.State
	var same bool
	digest, compare := r.digest, r.own
	r.n.call(to, r.deadline, func(answer func(error)) {
		err := to.serves(r.key, as, true, version)
		if err == nil {
			state = to.read(r.key)
			same = compare && state.Digest() == digest
		}
		answer(err)
	}, func(err error) {
		if planned != r.planned {
			return
		}
		r.asked--
		switch {
		case err != nil:
			r.get.Fail(at)
			if stale(err) {
				r.stale = true
				r.n.behind()
			}
			if broke(err) {
				r.get.Broken(at)
				r.broken = append(r.broken, at)
			}
		case same:
			r.get.Same(at)
		default:
			r.get.Answer(at, state)
		}
		r.step()
	})
	return true
}

func (r *reading) hedge() {
	if !r.decided {
		r.ask()
	}
}

func (r *reading) decide(err error) {
	if r.decided {
		return
	}
	r.decided = true
	r.n.settlement.Observe(r.get.Result())
	if err == nil {
		r.n.w.history.Reads = append(r.n.w.history.Reads, &check.Read{Key: r.key, Node: r.n.id, Begin: r.begin, End: r.n.now(), Wall: epoch + int64(r.begin/milli),
			Primaries: r.primaries() >= r.need, Modify: r.modify, State: r.n.w.known(r.key, r.get.Result())})
	}
	r.report(r.get.Result(), err)
}

// primaries counts the primaries that answered.
func (r *reading) primaries() (n int) {
	for _, a := range r.get.Asks() {
		if a.State == coordinator.AskAnswered && !a.Fallback {
			n++
		}
	}
	return n
}

func (r *reading) repairLate() {
	if !r.repair || r.asked > 0 || !r.get.Enough() {
		return
	}
	for id := range r.get.Stale {
		r.n.addDue(due{kind: dueRepair, target: r.n.w.index(id), key: r.key, state: r.get.Result(), until: r.deadline + copyDeadline})
	}
}
