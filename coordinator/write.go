package coordinator

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// writing drives the Puts of one batch that this node coordinates: one commit of its own store, then one frame to each
// replica. It lives on after its reports, until every copy is answered: late answers spare or make hints.
type writing struct {
	c        *Coordinator
	deadline time.Time
	report   reporter

	mu       sync.Mutex
	puts     []putting
	copies   []request.Write // where copies come from
	framed   int             // of room.frames, those that are used
	onWay    int             // copies sent and not answered
	patience *alarm
	again    *time.Timer // set while copies that broke wait to be sent again

	room struct { // where these begin, of a single put
		puts   [1]putting
		own    [1]*request.Write
		copies [copiesUsual]request.Write
		frames [copiesUsual]frame // and of several
	}
}

type putting struct {
	Put
	written
	intent
	view    *View         // that it was planned by: its copies go out under that layout
	room    [4]Leg        // where the legs begin
	own     request.Write // the node's own copy
	at      int           // of a plain write, its operation
	plain   Minting       // of a plain write
	stale   bool          // a node knew a newer layout
	decided bool
	stored  bool // minted and committed here
}

// written is the outcome of one write.
type written struct {
	err      error        // nil: W nodes hold it (or nothing needed writing)
	delta    causal.State // what was minted; zero when nothing was
	survivor causal.State // siblings elsewhere that outstamp it
	acks     int          // primaries among those that acknowledged
}

// intent is one key to write: what to mint, and how many nodes must hold it.
type intent struct {
	key request.Key
	w   uint8 // 0: the keyspace's own
	m   *Minting
}

// reporter is told of each write of a batch once. It is called under the writing's lock and must not block.
type reporter interface{ wrote(i int, p *putting) }

// reportFunc is a reporter.
type reportFunc func(i int, p *putting)

func (f reportFunc) wrote(i int, p *putting) { f(i, p) }

// startWrite mints and stores a batch here, sends the copies, and reports each write once: W reached, or not, or never
// begun: when every copy was answered and none that broke is left to be sent again by the deadline. It returns when everything is sent.
// The caller is counted in c.wg, and the writing is too until its last copy is answered.
func (c *Coordinator) startWrite(intents []intent, deadline time.Time, report reporter) {
	w := &writing{}
	w.begin(c, len(intents), deadline, report)
	for i := range intents {
		w.puts[i].intent = intents[i]
	}
	w.start()
}

// begin makes room for n puts, whose intents are set before start.
func (w *writing) begin(c *Coordinator, n int, deadline time.Time, report reporter) {
	w.c, w.deadline, w.report = c, deadline, report
	w.puts, w.copies = w.room.puts[:], w.room.copies[:0]
	if n != 1 {
		w.puts, w.copies = make([]putting, n), nil
	}
}

func (w *writing) start() {
	c := w.c
	c.wg.Add(1)
	reign := c.within()
	w.mu.Lock()
	own := w.plan(reign.view)
	w.mu.Unlock()
	var err error
	if len(own) > 0 {
		err = c.Store.Write(c.ctx, own) // not under the lock: it waits for the disk
	}
	reign.leave()
	var out frames
	w.mu.Lock()
	for i := range w.puts {
		if !w.puts[i].decided {
			w.storedHere(i, err, &out)
		}
	}
	w.patience = c.alarms.set(copyPatience, w)
	w.mayEnd()
	w.mu.Unlock()
	w.send(&out)
}

// mayEnd ends the writing once no copy is on its way or waits to be sent again.
func (w *writing) mayEnd() {
	if w.onWay == 0 && w.again == nil {
		w.c.alarms.stop(w.patience)
		w.patience = nil
		w.c.wg.Done()
	}
}

// plan makes the quorum decision of each intent and returns the node's own copies of those that may go on. The others are decided.
func (w *writing) plan(view *View) (own []*request.Write) {
	if own = w.room.own[:0]; len(w.puts) > 1 {
		own = make([]*request.Write, 0, len(w.puts))
	}
	for i := range w.puts {
		p := &w.puts[i]
		p.view = view
		if p.err = p.plan(); p.err != nil {
			w.decide(i)
			continue
		}
		own = append(own, &p.own)
	}
	return own
}

// plan makes the quorum decision of one intent, and the node's own copy. An error means that the write may not go on.
func (p *putting) plan() error {
	pl, self := p.view.Place(p.key.Partition), p.view.Self
	if !pl.IsPrimary(self) && !pl.isFallback(self) {
		return request.ErrNotOwner // the layout changed since the operation was brought here
	}
	need := p.view.write(pl, p.intent.w)
	var ok bool
	if p.Put, ok = newPutIn(p.room[:0], pl, self, need); !ok {
		return noQuorum("put", need, p.Reach())
	}
	p.own = request.Write{Key: p.key, Mint: p.m, Reserve: p.m.Frees()}
	for _, l := range p.Legs() {
		switch {
		case l.Node == self && !l.For.IsZero():
			p.own.Role, p.own.For = request.RoleFallback, l.For
		case l.State == LegOwed:
			p.own.Owed = append(p.own.Owed, l.For)
		}
	}
	return nil
}

// storedHere takes the outcome of the node's own copy and plans the frames to the others.
func (w *writing) storedHere(i int, commit error, out *frames) {
	p := &w.puts[i]
	switch {
	case commit != nil && request.NotExecuted(commit):
		p.err = commit
	case commit != nil:
		p.err = maybe("put", p.need(), 0)
	case p.own.Err != nil:
		p.err = p.own.Err
	case !p.own.Wrote && len(p.own.Delta.Siblings) == 0 && p.own.Delta.Seen.IsZero():
		// Nothing to write: the minter declined.
	default:
		p.stored = true
	}
	if !p.stored {
		w.decide(i)
		return
	}
	p.delta, p.survivor = p.own.Delta, p.own.Survivor
	for leg, l := range p.Legs() {
		switch {
		case l.Node == p.view.Self:
			w.acked(i, leg)
		case l.State == LegOpen:
			w.add(i, leg, out)
		}
	}
	w.settle(i)
}

func (w *writing) add(i, leg int, out *frames) {
	p := &w.puts[i]
	l := p.Legs()[leg]
	cp := w.newCopy()
	*cp = request.Write{Key: p.own.Key, Delta: p.delta, For: l.For, Reserve: p.own.Reserve}
	if !l.For.IsZero() {
		cp.Role = request.RoleFallback
		w.c.Counters.Fallbacks.Add(1)
	}
	w.onWay++
	out.to(destination{l.Node, p.view}, w).add(copyOf{put: i, leg: leg, write: cp})
}

// newCopy returns room for one copy. What it returned before stays where it is.
func (w *writing) newCopy() *request.Write {
	n := len(w.copies)
	if n == cap(w.copies) {
		w.copies, n = make([]request.Write, 0, copiesUsual*len(w.puts)), 0
	}
	w.copies = w.copies[:n+1]
	return &w.copies[n]
}

func (w *writing) send(out *frames) {
	for i := range out.n {
		f := out.at(i)
		w.c.Peers.Write(f.to.to, f.sent, f.to.view.Version, time.Now().Add(copyDeadline), f.returned)
	}
}

// returned takes the answers of one frame.
func (w *writing) returned(cs []copyOf, err error) {
	var out frames
	w.mu.Lock()
	w.onWay -= len(cs)
	for _, c := range cs {
		if failure := firstError(err, c.write.Err); failure != nil {
			w.failed(c.put, c.leg, &out)
			if broke(failure) {
				w.puts[c.put].Broken(c.leg)
			}
			if stale(failure) {
				w.puts[c.put].stale = true
				w.c.behind()
			}
		} else {
			p := &w.puts[c.put]
			p.survivor = causal.Sync(p.survivor, c.write.Survivor)
			w.acked(c.put, c.leg)
		}
		w.settle(c.put)
	}
	w.mayEnd()
	w.mu.Unlock()
	w.send(&out)
}

func (w *writing) acked(i, leg int) {
	p := &w.puts[i]
	if l := p.Legs()[leg]; l.For.IsZero() {
		if p.Ack(leg) {
			w.c.dues.add(due{kind: dueCancel, target: l.Node, key: p.own.Key, seen: p.delta.Seen}, &w.c.Counters)
		}
		return
	}
	p.Ack(leg)
}

func (w *writing) failed(i, leg int, out *frames) {
	next, owed := w.puts[i].Fail(leg)
	if next >= 0 {
		w.add(i, next, out)
	}
	if !owed.IsZero() {
		w.owe(i, owed)
	}
}

// owe keeps a hint for a primary that nobody else keeps one for: the key alone if this node is a primary itself, for
// then it can read the data back; else the data.
func (w *writing) owe(i int, target ring.NodeID) {
	p := &w.puts[i]
	d := due{kind: dueMarker, target: target, key: p.own.Key, seen: p.delta.Seen, minted: len(p.delta.Siblings) > 0}
	if !p.own.For.IsZero() {
		d = due{kind: dueData, target: target, key: p.own.Key, state: p.delta}
	}
	w.c.dues.add(d, &w.c.Counters)
}

// rang implements ringer.
func (w *writing) rang() { w.slow() }

// slow lets somebody keep a copy for the primaries that take too long.
func (w *writing) slow() {
	var out frames
	w.mu.Lock()
	for i := range w.puts {
		if !w.puts[i].stored {
			continue
		}
		next, owed := w.puts[i].Slow()
		for _, leg := range next {
			w.add(i, leg, &out)
		}
		for _, target := range owed {
			w.owe(i, target)
		}
	}
	w.mu.Unlock()
	w.send(&out)
}

// settle reports a put once enough nodes hold it, or once they cannot.
func (w *writing) settle(i int) {
	p := &w.puts[i]
	switch {
	case p.decided:
	case p.Enough():
		w.decide(i)
	case p.Hopeless() && !w.maySendAgain(p):
		p.err = maybe("put", p.need(), p.Have())
		if fault.On(fault.MintWithoutQuorum) {
			p.err = noQuorum("put", p.need(), p.Have())
		}
		w.decide(i)
	}
}

// maySendAgain reports whether a put whose copies were all answered, too few of them well, may still succeed: copies
// broke on their way, and there is time to send them again. It sets the timer for that.
func (w *writing) maySendAgain(p *putting) bool {
	pl := w.c.view.Load().Place(p.own.Key.Partition)
	if time.Until(w.deadline) < 2*againAfter || pl.Since <= p.view.Version && !p.brokeInReach(pl.up) {
		return false
	}
	if w.again == nil {
		w.again = time.AfterFunc(pause(p.stale), w.sendBroken)
	}
	return true
}

// sendBroken sends again what broke, of puts that need it.
func (w *writing) sendBroken() {
	var out frames
	w.mu.Lock()
	w.again = nil
	for i := range w.puts {
		p := &w.puts[i]
		if p.decided || !p.stored {
			continue
		}
		if p.Hopeless() {
			w.replan(i, &out)
			for _, leg := range p.Resend(w.c.view.Load().Place(p.own.Key.Partition).up) {
				w.add(i, leg, &out)
			}
		}
		w.settle(i)
	}
	w.mayEnd()
	w.mu.Unlock()
	w.send(&out)
}

// replan goes on by the present view if the partition's roles have changed since the put was planned.
func (w *writing) replan(i int, out *frames) {
	p, now := &w.puts[i], w.c.view.Load()
	pl := now.Place(p.own.Key.Partition)
	if pl.Since <= p.view.Version {
		return
	}
	p.view, p.stale = now, false
	legs, owed := p.Replan(pl, now.write(pl, p.intent.w))
	for _, leg := range legs {
		w.add(i, leg, out)
	}
	for _, target := range owed {
		w.owe(i, target)
	}
}

func (w *writing) decide(i int) {
	p := &w.puts[i]
	p.decided, p.written.acks = true, p.Primaries()
	w.report.wrote(i, p)
}

// coordinate carries out writes on this node, one of whose roles for each key by the view is primary or fallback, and reports each
// once, by the end of the term or a little later. report must not block. The slice of operations is kept, and is the callee's.
func (c *Coordinator) coordinate(view *View, ops []*request.Op, t term, report func(int, request.Result)) {
	direct := make([]int, 0, batchUsual)
	var queued *rounds
	for i, op := range ops {
		switch {
		case len(op.Value) > request.ValueBytesMax || len(op.Key.Name) > request.KeyBytesMax:
			report(i, request.Result{Err: request.ErrTooBig})
		case op.Verb == request.Modify && c.view.Load().Place(op.Key.Partition).Handing:
			report(i, request.Result{Err: request.ErrStaleLayout})
		case op.Verb == request.Modify || op.Verb == request.Delete:
			if queued == nil {
				queued = c.queues.begin()
			}
			queued.add(waiting{op: op, layout: view.Version, term: t, report: func(r request.Result) { report(i, r) }})
		default:
			direct = append(direct, i)
		}
	}
	if queued != nil {
		queued.run(c)
	}
	if len(direct) > 0 {
		c.writeDirect(ops, direct, t, report)
	}
}

// plainWrites are the writes of one batch that need no read first.
type plainWrites struct {
	writing
	ops    []*request.Op
	answer func(int, request.Result)
	began  time.Time
	mint   time.Time // see term
	left   int
}

// writeDirect carries out writes that need no read first.
func (c *Coordinator) writeDirect(ops []*request.Op, direct []int, t term, report func(int, request.Result)) {
	b := &plainWrites{ops: ops, answer: report, began: time.Now(), mint: t.mint, left: len(direct)}
	b.begin(c, len(direct), t.until, b)
	now := c.Now().UnixMilli()
	for j, i := range direct {
		p := &b.puts[j]
		p.at, p.plain = i, Minting{ops: ops[i : i+1 : i+1], now: now, settled: c.settled, late: b}
		p.intent = intent{key: ops[i].Key, w: ops[i].W, m: &p.plain}
	}
	b.start()
}

// isLate reports whether the term, which all share, is over.
func (b *plainWrites) isLate(int) bool { return !time.Now().Before(b.mint) }

// wrote implements reporter.
func (b *plainWrites) wrote(_ int, p *putting) {
	if b.left--; b.left == 0 {
		b.c.observe("write", b.began)
	}
	if p.err == nil && b.ops[p.at].Verb == request.Put && len(p.survivor.Siblings) > 0 {
		in, first, at := p.intent, p.written, p.at
		b.c.wg.Go(func() { b.c.foldIn(in, first, b.deadline, func(r request.Result) { b.answer(at, r) }) })
		return
	}
	b.answer(p.at, p.m.Answer(0, p.delta, p.written.acks, p.err))
}

func (c *Coordinator) minting(ops ...*request.Op) *Minting {
	return NewMinting(ops, c.Now().UnixMilli(), c.settled)
}

// foldIn writes a Put once more, over the values elsewhere that outstamp it: a GET after the acknowledgement must not
// answer one of them. What outstamps it was stored before the fold is minted, and so before the term was over (Minting): it is not
// what the client wrote next, after another attempt was answered.
func (c *Coordinator) foldIn(in intent, first written, deadline time.Time, report func(request.Result)) {
	in.m = in.m.Fold(first.delta, first.survivor, c.Now().UnixMilli())
	c.startWrite([]intent{in}, deadline, reportFunc(func(_ int, p *putting) {
		out := &p.written
		if out.err != nil {
			// The first write reached W: it is written, though something outstamps it.
			out.err = maybe("put", 1, out.acks)
		}
		if !out.delta.Seen.IsZero() {
			c.Counters.Folds.Add(1)
		}
		report(in.m.Answer(0, out.delta, out.acks, out.err))
	}))
}

// ServeReads answers another node's reads from the own store, refusing keys of which this node is no replica.
func (c *Coordinator) ServeReads(layout uint64, reads []*request.Read) {
	view := c.view.Load()
	n := 0
	for _, r := range reads {
		if r.Err = c.serves(view, &r.Key, asReader(r.Role), layout); r.Err == nil {
			n++
		}
	}
	if n > 0 {
		c.Store.Read(served(reads, n, func(r *request.Read) error { return r.Err }))
	}
}

// ServeWrites applies other nodes' copies in one commit, refusing keys of which this node is no replica. An error is
// that of the commit.
func (c *Coordinator) ServeWrites(ctx context.Context, layout uint64, writes []*request.Write) error {
	reign := c.within()
	defer reign.leave()
	n := 0
	for _, w := range writes {
		if w.Err = c.serves(reign.view, &w.Key, asWriter(w.Role), layout); w.Err == nil {
			c.Settlement.Observe(w.Delta)
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return c.Store.Write(ctx, served(writes, n, func(w *request.Write) error { return w.Err }))
}

// served returns the n elements that are not refused: in the usual case all, and then the slice itself.
func served[T any](all []*T, n int, refused func(*T) error) []*T {
	if n == len(all) {
		return all
	}
	mine := make([]*T, 0, n)
	for _, x := range all {
		if refused(x) == nil {
			mine = append(mine, x)
		}
	}
	return mine
}

// ServeCoordinate carries out another node's operations and answers in place, by the context's deadline. What could not be
// minted by mint is answered ErrExpired, unexecuted.
func (c *Coordinator) ServeCoordinate(ctx context.Context, layout uint64, n request.Notice, mint time.Time, ops []*request.Op) {
	if !c.enter() {
		refuseAll(ops, request.ErrClosed)
		return
	}
	defer c.wg.Done()
	c.Settlement.Hear(n)
	view := c.view.Load()
	deadline := c.deadline(ctx)
	b := newBatch(c, view, ops, deadline)
	own := make([]int, 0, batchUsual)
	for i, op := range ops {
		err := c.serves(view, &op.Key, coordinates, layout)
		if err == nil && (!op.Verb.Writes() || op.Stamp.IsZero()) {
			err = request.ErrNotOwner
		}
		if err != nil {
			b.answer(i, request.Result{Err: err})
			continue
		}
		own = append(own, i)
	}
	if len(own) > 0 {
		b.coordinate(own, term{deadline, earlier(mint, deadline)})
	}
	b.wait(ctx)
}

// service is what another node asks this one to be for a partition.
type service uint8

const (
	readsPrimary service = iota
	readsFallback
	writesPrimary
	writesFallback
	coordinates
)

func asReader(r request.Role) service {
	if r == request.RoleFallback {
		return readsFallback
	}
	return readsPrimary
}

func asWriter(r request.Role) service {
	if r == request.RoleFallback {
		return writesFallback
	}
	return writesPrimary
}

// serves checks the role that another node asked for, and fills in the key's partition. Who asks by a layout older than the
// partition's roles is refused, so that no quorum is counted by roles that are gone. Who asks by a newer layout than this node's may
// store here, which is always safe; but nothing is read or coordinated for which this node does not know itself the right one.
func (c *Coordinator) serves(view *View, key *request.Key, as service, layout uint64) error {
	if c.closed.Load() {
		return request.ErrClosed
	}
	if !view.Formed() {
		return request.ErrNotOwner
	}
	key.Partition = view.Partition(key.Name)
	pl := view.Place(key.Partition)
	if layout < pl.Since {
		return request.ErrStaleLayout
	}
	if layout > view.Version {
		c.behind()
		if as == writesPrimary || as == writesFallback {
			return nil
		}
	}
	if pl.serves(view.Self, as) {
		return nil
	}
	return request.ErrNotOwner
}

// serves reports whether a node has a role.
func (pl *Place) serves(id ring.NodeID, as service) bool {
	primary, stands := pl.IsPrimary(id), pl.isFallback(id)
	switch as {
	case readsPrimary:
		return pl.Reads(id)
	case writesPrimary:
		return primary
	case readsFallback, writesFallback:
		return !primary && stands
	}
	return primary || stands
}

var errNotFormed = errors.New("coordinator: the ring is not formed")

// Holders asks every primary of a key, and returns how many hold everything that seen covers. It answers Redis's WAIT.
func (c *Coordinator) Holders(ctx context.Context, key request.Key, seen causal.Context) (int, error) {
	view := c.view.Load()
	if !view.Formed() {
		return 0, errNotFormed
	}
	key.Partition = view.Partition(key.Name)
	pl := view.Place(key.Partition)
	answers := make(chan bool, len(pl.Primaries))
	for i, id := range pl.Primaries {
		c.holds(view, id, pl.Up[i], key, seen, c.deadline(ctx), answers)
	}
	n := 0
	for range pl.Primaries {
		select {
		case yes := <-answers:
			if yes {
				n++
			}
		case <-ctx.Done():
			return n, nil
		}
	}
	return n, nil
}

func (c *Coordinator) holds(view *View, id ring.NodeID, up bool, key request.Key, seen causal.Context, deadline time.Time, answers chan<- bool) {
	reads := []*request.Read{{Key: key}}
	switch {
	case id == view.Self:
		c.Store.Read(reads)
		answers <- reads[0].Err == nil && reads[0].State.Seen.Covers(seen)
	case !up:
		answers <- false
	default:
		c.Peers.Read(id, reads, view.Version, deadline, func(err error) {
			answers <- err == nil && reads[0].Err == nil && reads[0].State.Seen.Covers(seen)
		})
	}
}
