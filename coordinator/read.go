package coordinator

import (
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// asking is one key to read by quorum.
type asking struct {
	key           request.Key
	r             uint8 // 0: the keyspace's own
	primariesOnly bool
}

// reading drives the Gets of one batch: the node's own copies first, then one frame to each replica asked.
type reading struct {
	c        *Coordinator
	view     *View
	deadline time.Time
	repair   bool
	report   func(i int, s causal.State, err error)

	mu    sync.Mutex
	gets  []getting
	open  int // not decided
	hedge *time.Timer
	again *time.Timer // set while something that broke waits to be asked again
}

type getting struct {
	Get
	key     request.Key
	view    *View // that it was planned by: its questions go out under that layout
	planned int   // how often it was; answers to an earlier plan do not count
	want    asking
	digest  uint64 // of the node's own copy, if it was asked
	own     bool   // digest is valid
	stale   bool   // a node knew a newer layout
	decided bool
	asked   int // open questions
}

// question is one key asked of one replica.
type question struct {
	get, ask int
	planned  int
	read     *request.Read
}

// startRead reads keys by quorum and reports each once, under no lock of the caller's; it returns when all questions
// are sent. report runs under the reading's lock and must not block. With repair, stale replicas are repaired later.
func (c *Coordinator) startRead(view *View, asks []asking, deadline time.Time, repair bool, report func(int, causal.State, error)) {
	r := &reading{c: c, view: view, deadline: deadline, repair: repair, report: report, gets: make([]getting, len(asks)), open: len(asks)}
	r.mu.Lock()
	near := c.near(view, view.Place(asks[0].key.Partition))
	for i, a := range asks {
		r.gets[i].key, r.gets[i].want = a.key, a
		r.plan(i, view, near)
	}
	r.readOwn()
	frames := make(map[destination][]question)
	for i := range r.gets {
		r.step(i, frames)
	}
	if r.open > 0 {
		r.hedge = time.AfterFunc(hedgeAfter, r.askMore)
	}
	r.mu.Unlock()
	c.earnHedges(len(asks))
	r.send(frames)
}

func (r *reading) plan(i int, view *View, near ring.NodeID) {
	g := &r.gets[i]
	pl := view.Place(g.key.Partition)
	need := view.read(pl, g.want.r)
	g.view, g.planned = view, g.planned+1
	var ok bool
	if g.Get, ok = NewGet(pl, view.Self, near, need, g.want.primariesOnly); !ok {
		r.decide(i, noQuorum("get", need, g.Reach()))
	}
}

// readOwn asks the node's own store for every key of which it is a replica. It runs before anything is sent, so that
// the others can be told the digest and spare the value.
func (r *reading) readOwn() {
	var own []*request.Read
	var at []int
	for i := range r.gets {
		g := &r.gets[i]
		if g.decided || g.asks[0].Node != r.view.Self {
			continue
		}
		g.Next()
		own = append(own, &request.Read{Key: g.key})
		at = append(at, i)
	}
	if len(own) == 0 {
		return
	}
	r.c.Store.Read(own)
	for j, i := range at {
		g := &r.gets[i]
		if own[j].Err != nil {
			g.Fail(0)
			continue
		}
		g.Answer(0, own[j].State)
		// A tombstone's digest is that of nothing at all, and so it should be for a reader. Whoever reads in order to write
		// wants to know of it: what one node alone knows to be deleted is not deleted yet.
		g.digest = own[j].State.Digest()
		g.own = r.repair || len(own[j].State.Siblings) > 0
	}
}

// step decides a get if it can be, else collects the questions that it still wants to ask.
func (r *reading) step(i int, frames map[destination][]question) {
	g := &r.gets[i]
	if g.decided {
		r.repairLate(i)
		return
	}
	if g.Enough() {
		r.decide(i, nil)
		r.repairLate(i)
		return
	}
	for g.Wanted() > 0 && r.ask(i, frames) {
	}
	if g.Hopeless() && !r.mayAskAgain(i) {
		r.decide(i, noQuorum("get", g.r, g.Have()))
	}
}

// mayAskAgain reports whether a get that has nobody left to ask may still succeed: questions broke on their way, and
// there is time to ask again. It sets the timer for that.
func (r *reading) mayAskAgain(i int) bool {
	g := &r.gets[i]
	pl := r.c.view.Load().Place(g.key.Partition)
	if time.Until(r.deadline) < 2*againAfter || pl.Since <= g.view.Version && !g.brokeInReach(pl.up) {
		return false
	}
	if r.again == nil {
		r.again = time.AfterFunc(pause(g.stale), r.askBroken)
	}
	return true
}

// askBroken asks again what broke.
func (r *reading) askBroken() {
	frames := make(map[destination][]question)
	r.mu.Lock()
	r.again = nil
	for i := range r.gets {
		if g := &r.gets[i]; !g.decided && g.Hopeless() {
			if !r.replan(i) {
				g.AskAgain(r.c.view.Load().Place(g.key.Partition).up)
			}
			r.step(i, frames)
		}
	}
	r.mu.Unlock()
	r.send(frames)
}

// replan begins a get anew by the present view if the partition's roles have changed since it was planned: what was answered by the
// old ones does not count.
func (r *reading) replan(i int) bool {
	g, now := &r.gets[i], r.c.view.Load()
	pl := now.Place(g.key.Partition)
	if pl.Since <= g.view.Version {
		return false
	}
	r.plan(i, now, r.c.near(now, pl))
	g.own, g.digest, g.asked, g.stale = false, 0, 0, false
	return true
}

// brokeInReach reports whether AskAgain would find a question to ask.
func (g *Get) brokeInReach(up func(ring.NodeID) bool) bool {
	for i := range g.asks[:g.next] {
		if a := &g.asks[i]; a.State == AskFailed && a.again && up(a.Node) {
			return true
		}
	}
	return false
}

// ask takes the next replica of a get.
func (r *reading) ask(i int, frames map[destination][]question) bool {
	g := &r.gets[i]
	at := g.Next()
	if at < 0 {
		return false
	}
	a := g.asks[at]
	if a.Node == g.view.Self {
		// As a primary it was asked first, but for a get that was planned anew.
		own := []*request.Read{{Key: g.key}}
		r.c.Store.Read(own)
		if own[0].Err != nil {
			g.Fail(at)
		} else {
			g.Answer(at, own[0].State)
		}
		if g.Enough() {
			r.decide(i, nil)
		}
		return true
	}
	q := &request.Read{Key: g.key, Digest: g.digest, Compare: g.own}
	if a.Fallback {
		q.Role = request.RoleFallback
	}
	g.asked++
	to := destination{a.Node, g.view}
	frames[to] = append(frames[to], question{get: i, ask: at, planned: g.planned, read: q})
	return true
}

func (r *reading) decide(i int, err error) {
	g := &r.gets[i]
	if g.decided {
		return
	}
	g.decided = true
	r.c.Settlement.Observe(g.Result())
	r.report(i, g.Result(), err)
	if r.open--; r.open == 0 && r.hedge != nil {
		r.hedge.Stop()
	}
}

func (r *reading) send(frames map[destination][]question) {
	for to, qs := range frames {
		reads := make([]*request.Read, len(qs))
		for j, q := range qs {
			reads[j] = q.read
		}
		r.c.Peers.Read(to.to, reads, to.view.Version, r.deadline, func(err error) { r.returned(qs, err) })
	}
}

// returned takes the answers of one frame.
func (r *reading) returned(qs []question, err error) {
	frames := make(map[destination][]question)
	r.mu.Lock()
	for _, q := range qs {
		g := &r.gets[q.get]
		if q.planned != g.planned {
			continue
		}
		g.asked--
		switch failure := firstError(err, q.read.Err); {
		case failure != nil:
			g.Fail(q.ask)
			if broke(failure) {
				g.Broken(q.ask)
			}
			if stale(failure) {
				g.stale = true
				r.c.behind()
			}
		case q.read.Same:
			g.Same(q.ask)
		default:
			g.Answer(q.ask, q.read.State)
		}
		r.step(q.get, frames)
	}
	r.mu.Unlock()
	r.send(frames)
}

// askMore hedges: every get still open asks one more replica, within the node's budget of hedges.
func (r *reading) askMore() {
	frames := make(map[destination][]question)
	r.mu.Lock()
	for i := range r.gets {
		if g := &r.gets[i]; !g.decided && g.next < len(g.asks) && r.c.spendHedge() {
			r.c.Counters.Hedges.Add(1)
			r.ask(i, frames)
		}
	}
	r.mu.Unlock()
	r.send(frames)
}

// repairLate repairs stale replicas once nobody is left to answer: late replies count too.
func (r *reading) repairLate(i int) {
	g := &r.gets[i]
	if !r.repair || g.asked > 0 || !g.Enough() {
		return
	}
	merged := g.Result()
	for node := range g.Stale {
		r.c.dues.add(due{kind: dueRepair, target: node, key: g.key, state: merged, until: r.deadline.Add(copyDeadline)}, &r.c.Counters)
	}
}

func (c *Coordinator) earnHedges(reads int) {
	if c.hedges.Load() < hedgeBurst*hedgeShare {
		c.hedges.Add(int64(reads))
	}
}

// spendHedge takes the price of one hedge, hedgeShare reads.
func (c *Coordinator) spendHedge() bool {
	if c.hedges.Add(-hedgeShare) < 0 {
		c.hedges.Add(hedgeShare)
		return false
	}
	return true
}
