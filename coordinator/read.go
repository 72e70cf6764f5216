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
	finder   finder

	mu     sync.Mutex
	gets   []getting
	open   int // not decided
	framed int // of room.frames, those that are used
	hedge  *alarm
	again  *time.Timer // set while something that broke waits to be asked again

	room struct { // where these begin, of a single get
		gets   [1]getting
		own    [1]*request.Read
		frames [questionsUsual]inquiry // and of several
	}
}

type getting struct {
	Get
	want    asking
	at      int          // of a batch's read, its operation
	view    *View        // that it was planned by: its questions go out under that layout
	planned int          // how often it was; answers to an earlier plan do not count
	room    [3]Ask       // where the asks begin
	copy    request.Read // the node's own
	first   request.Read // asked first of another; of a later question it is apart
	used    bool         // first is
	digest  uint64       // of the node's own copy, if it was asked
	own     bool         // digest is valid
	stale   bool         // a node knew a newer layout
	decided bool
	asked   int // open questions
}

// question is one key asked of one replica.
type question struct {
	get, ask int
	planned  int
	read     *request.Read
}

// finder is told of each get of a batch once, of the last one that it is so. It is called under the reading's lock and must not block.
type finder interface {
	found(g *getting, s causal.State, err error, last bool)
}

// finderFunc is a finder.
type finderFunc func(g *getting, s causal.State, err error)

func (f finderFunc) found(g *getting, s causal.State, err error, _ bool) { f(g, s, err) }

// begin makes room for n gets, whose want is set before start.
func (r *reading) begin(c *Coordinator, view *View, n int, deadline time.Time, f finder) {
	r.c, r.view, r.deadline, r.finder, r.open = c, view, deadline, f, n
	if r.gets = r.room.gets[:]; n != 1 {
		r.gets = make([]getting, n)
	}
}

// start reads keys by quorum and reports each once, under no lock of the caller's; it returns when all questions are sent. With repair,
// stale replicas are repaired later.
func (r *reading) start() {
	r.mu.Lock()
	near := r.c.near(r.view, r.view.Place(r.gets[0].want.key.Partition))
	for i := range r.gets {
		r.plan(i, r.view, near)
	}
	r.readOwn()
	var out inquiries
	for i := range r.gets {
		r.step(i, &out)
	}
	if r.open > 0 {
		r.hedge = r.c.alarms.set(hedgeAfter, r)
	}
	r.mu.Unlock()
	r.c.earnHedges(len(r.gets))
	r.send(&out)
}

func (r *reading) plan(i int, view *View, near ring.NodeID) {
	g := &r.gets[i]
	pl := view.Place(g.want.key.Partition)
	need := view.read(pl, g.want.r)
	g.view, g.planned = view, g.planned+1
	var ok bool
	if g.Get, ok = newGetIn(g.room[:0], pl, view.Self, near, need, g.want.primariesOnly); !ok {
		r.decide(i, noQuorum("get", need, g.Reach()))
	}
}

// readOwn asks the node's own store for every key of which it is a replica. It runs before anything is sent, so that
// the others can be told the digest and spare the value.
func (r *reading) readOwn() {
	own := r.room.own[:0]
	if len(r.gets) > 1 {
		own = make([]*request.Read, 0, len(r.gets))
	}
	for i := range r.gets {
		if g := &r.gets[i]; !g.decided && g.asks[0].Node == r.view.Self {
			g.copy.Key = g.want.key
			own = append(own, &g.copy)
		}
	}
	if len(own) == 0 {
		return
	}
	r.c.Store.Read(own)
	for i := range r.gets {
		if g := &r.gets[i]; !g.decided && g.asks[0].Node == r.view.Self {
			g.Next()
			r.tookOwn(g)
		}
	}
}

// tookOwn takes what the own store said to the first question.
func (r *reading) tookOwn(g *getting) {
	if g.copy.Err != nil {
		g.Fail(0)
		return
	}
	g.Answer(0, g.copy.State)
	// A tombstone's digest is that of nothing at all, and so it should be for a reader. Whoever reads in order to write
	// wants to know of it: what one node alone knows to be deleted is not deleted yet.
	g.digest = g.copy.State.Digest()
	g.own = r.repair || len(g.copy.State.Siblings) > 0
}

// step decides a get if it can be, else collects the questions that it still wants to ask.
func (r *reading) step(i int, out *inquiries) {
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
	for g.Wanted() > 0 && r.ask(i, out) {
	}
	if g.Hopeless() && !r.mayAskAgain(i) {
		r.decide(i, noQuorum("get", g.r, g.Have()))
	}
}

// mayAskAgain reports whether a get that has nobody left to ask may still succeed: questions broke on their way, and
// there is time to ask again. It sets the timer for that.
func (r *reading) mayAskAgain(i int) bool {
	g := &r.gets[i]
	pl := r.c.view.Load().Place(g.want.key.Partition)
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
	var out inquiries
	r.mu.Lock()
	r.again = nil
	for i := range r.gets {
		if g := &r.gets[i]; !g.decided && g.Hopeless() {
			if !r.replan(i) {
				g.AskAgain(r.c.view.Load().Place(g.want.key.Partition).up)
			}
			r.step(i, &out)
		}
	}
	r.mu.Unlock()
	r.send(&out)
}

// replan begins a get anew by the present view if the partition's roles have changed since it was planned: what was answered by the
// old ones does not count.
func (r *reading) replan(i int) bool {
	g, now := &r.gets[i], r.c.view.Load()
	pl := now.Place(g.want.key.Partition)
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
func (r *reading) ask(i int, out *inquiries) bool {
	g := &r.gets[i]
	at := g.Next()
	if at < 0 {
		return false
	}
	a := g.asks[at]
	if a.Node == g.view.Self {
		// As a primary it was asked first, but for a get that was planned anew.
		own := []*request.Read{{Key: g.want.key}}
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
	q := g.question()
	*q = request.Read{Key: g.want.key, Digest: g.digest, Compare: g.own}
	if a.Fallback {
		q.Role = request.RoleFallback
	}
	g.asked++
	out.to(destination{a.Node, g.view}, r).add(question{get: i, ask: at, planned: g.planned, read: q})
	return true
}

// question returns room for a question. What it returned before stays where it is.
func (g *getting) question() *request.Read {
	if g.used {
		return new(request.Read)
	}
	g.used = true
	return &g.first
}

func (r *reading) decide(i int, err error) {
	g := &r.gets[i]
	if g.decided {
		return
	}
	g.decided = true
	r.c.Settlement.Observe(g.Result())
	r.open--
	r.finder.found(g, g.Result(), err, r.open == 0)
	if r.open == 0 && r.hedge != nil {
		r.c.alarms.stop(r.hedge)
		r.hedge = nil
	}
}

func (r *reading) send(out *inquiries) {
	for i := range out.n {
		f := out.at(i)
		r.c.Peers.Read(f.to.to, f.reads, f.to.view.Version, r.deadline, f.returned)
	}
}

// returned takes the answers of one frame.
func (r *reading) returned(qs []question, err error) {
	var out inquiries
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
		r.step(q.get, &out)
	}
	r.mu.Unlock()
	r.send(&out)
}

// rang implements ringer.
func (r *reading) rang() { r.askMore() }

// askMore hedges: every get still open asks one more replica, within the node's budget of hedges.
func (r *reading) askMore() {
	var out inquiries
	r.mu.Lock()
	for i := range r.gets {
		if g := &r.gets[i]; !g.decided && g.next < len(g.asks) && r.c.spendHedge() {
			r.c.Counters.Hedges.Add(1)
			r.ask(i, &out)
		}
	}
	r.mu.Unlock()
	r.send(&out)
}

// repairLate repairs stale replicas once nobody is left to answer: late replies count too.
func (r *reading) repairLate(i int) {
	g := &r.gets[i]
	if !r.repair || g.asked > 0 || !g.Enough() {
		return
	}
	merged := g.Result()
	for node := range g.Stale {
		r.c.dues.add(due{kind: dueRepair, target: node, key: g.want.key, state: merged, until: r.deadline.Add(copyDeadline)}, &r.c.Counters)
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
