package peer

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// remote is another node as this one meets it: its two links, kept up by a goroutine each, and whether it is suspect.
//
// Before the outcome of the first dial is known a node is presumed up, and calls wait for it, at most ConnectWait: a
// cluster that starts must not call its own nodes dead. And bulk calls to a node that is up wait for their link, at most
// BulkWait: it comes a little after the small one, and who is told that a node is back asks it for much at once.
type remote struct {
	peers *Peers
	id    ring.NodeID
	stop  context.CancelFunc
	kick  [classes]chan struct{} // capacity 1: dial now
	link  [classes]atomic.Pointer[link]

	up       atomic.Bool
	timeouts atomic.Int32 // requests without an answer since the last answer
	boot     atomic.Uint64
	told     bool // what Config.Changed was last told; of the watch goroutine alone

	mu struct {
		sync.Mutex
		name    string
		hoping  [classes]bool // there is no link yet, and a reason to wait for one
		waiting [classes][]*call
	}
}

func newRemote(p *Peers, id ring.NodeID, stop context.CancelFunc) *remote {
	r := &remote{peers: p, id: id, stop: stop, told: true}
	r.up.Store(true)
	for c := range classes {
		r.kick[c] = make(chan struct{}, 1)
		r.mu.hoping[c] = true
	}
	return r
}

// send puts a call on its way or returns why it is not; it may wait in line for the first connection.
func (r *remote) send(c class, call *call) error {
	if l := r.link[c].Load(); l != nil {
		return l.send(call)
	}
	hoping, err := r.wait(c, call)
	if hoping {
		return err
	}
	// The dial had its outcome in between, perhaps a link.
	if l := r.link[c].Load(); l != nil {
		return l.send(call)
	}
	return request.ErrUnreachable
}

func (r *remote) wait(c class, call *call) (hoping bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.mu.hoping[c] {
		return false, nil
	}
	if len(r.mu.waiting[c]) >= WaitingMax {
		return true, request.ErrOverloaded
	}
	r.mu.waiting[c] = append(r.mu.waiting[c], call)
	return true, nil
}

// release ends the hope for the first connection: what waited goes out by l, or ends if l is nil.
func (r *remote) release(c class, l *link) {
	r.mu.Lock()
	waiting := r.mu.waiting[c]
	r.mu.waiting[c], r.mu.hoping[c] = nil, false
	r.mu.Unlock()
	for _, call := range waiting {
		err := request.ErrUnreachable
		if l != nil {
			err = l.send(call)
		}
		if err != nil {
			call.done(err)
		}
	}
}

// hope bounds the wait for the first connections.
func (r *remote) hope(ctx context.Context) {
	wait(ctx, ConnectWait, nil)
	for c := range classes {
		r.despair(c)
	}
}

// despair ends the hope for a link, but for bulk while the small one is there: then expectBulk does.
func (r *remote) despair(c class) {
	if c == small || r.link[small].Load() == nil {
		r.release(c, nil)
	}
}

// expectBulk has the bulk link dialed at once, and calls wait for it until stop, at most BulkWait.
func (r *remote) expectBulk(ctx context.Context) (stop func()) {
	r.mu.Lock()
	r.mu.hoping[bulk] = r.link[bulk].Load() == nil
	r.mu.Unlock()
	r.dial(bulk)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	r.peers.wg.Go(func() {
		defer close(ended)
		wait(ctx, BulkWait, nil)
		r.release(bulk, nil)
	})
	return func() {
		cancel()
		<-ended
	}
}

// keep keeps one link up until ctx ends.
func (r *remote) keep(ctx context.Context, c class) {
	backoff := BackoffMin
	for ctx.Err() == nil {
		l, err := r.connect(ctx, c)
		if err == nil {
			r.serve(ctx, l)
			backoff = BackoffMin
		} else {
			r.unconnected(ctx, c, err)
		}
		wait(ctx, jitter(backoff), r.kick[c])
		backoff = min(2*backoff, backoffMax(err))
	}
}

// backoffMax is short for a node that is not there, so that it is found soon after it is back, and long for one that
// refuses, which takes an operator to change.
func backoffMax(err error) time.Duration {
	if errors.Is(err, ErrRefused) {
		return BackoffMax
	}
	return PingEvery
}

// jitter keeps nodes that lost each other at the same moment from dialing in step.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2) }

// wait waits for d, or until kick or ctx ends it.
func wait(ctx context.Context, d time.Duration, kick <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-kick:
	case <-ctx.Done():
	}
}

// connect dials and says hello.
func (r *remote) connect(ctx context.Context, c class) (*link, error) {
	address, ok := r.peers.cfg.Addr(r.id)
	if !ok {
		return nil, errors.New("peer: address unknown")
	}
	dialing, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	conn, err := r.peers.cfg.Dial(dialing, address)
	if err != nil {
		return nil, err
	}
	l, err := r.greet(ctx, c, conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return l, nil
}

func (r *remote) greet(ctx context.Context, c class, conn net.Conn) (*link, error) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(HelloTimeout)); err != nil {
		return nil, err
	}
	pauses := r.peers.beat.pauses.Load()
	ours := r.peers.cfg.hello()
	ours.class, ours.to = c, r.id
	theirs, look, err := greet(conn, ours, r.peers.cfg.Keys(), r.peers.cfg.Now)
	if err != nil {
		return nil, err
	}
	r.boot.Store(theirs.boot)
	r.named(theirs.name)
	return newLink(r, c, theirs.version, conn, look, pauses), conn.SetDeadline(time.Time{})
}

func (r *remote) named(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.name = name
}

// serve runs a link until it ends, or ctx does.
func (r *remote) serve(ctx context.Context, l *link) {
	if !r.peers.track(l.conn) {
		l.conn.Close()
		return
	}
	defer r.peers.untrack(l.conn)
	defer context.AfterFunc(ctx, func() { l.conn.Close() })()
	r.link[l.class].Store(l)
	if l.class == small {
		r.timeouts.Store(0)
		defer r.expectBulk(ctx)()
		r.setUp(true)
	}
	r.release(l.class, l)
	if err := l.run(); ctx.Err() == nil {
		r.peers.cfg.Logger.Info("peer connection ended", "node", r.id, "class", l.class, "error", err)
	}
}

// lost is told once of each link that ended. Without the small one, bulk is of no use, and the peer is suspect.
func (r *remote) lost(l *link) {
	if !r.link[l.class].CompareAndSwap(l, nil) || l.class != small {
		return
	}
	r.setUp(false)
	if b := r.link[bulk].Load(); b != nil {
		b.conn.Close()
	}
}

// unconnected notes that a dial failed.
func (r *remote) unconnected(ctx context.Context, c class, err error) {
	r.despair(c)
	if ctx.Err() != nil || c != small {
		return
	}
	r.setUp(false)
	if errors.Is(err, ErrRefused) {
		r.peers.counts.refused.Add(1)
		r.peers.complain(r.id, "dialed", err)
	}
}

// suspect takes the peer for down until it gives a sign of life.
func (r *remote) suspect(l *link, cause error) {
	if r.link[small].Load() == l && r.setUp(false) {
		r.peers.cfg.Logger.Info("peer suspect", "node", r.id, "error", cause)
	}
}

// timedOut counts requests that got no answer.
func (r *remote) timedOut(l *link, n int) {
	if l.class == small && r.timeouts.Add(int32(n)) >= timeoutsMax {
		r.suspect(l, request.ErrLost)
	}
}

// heard notes a sign of life: an answer to a ping, or to a request in time.
func (r *remote) heard(l *link) {
	if l.class != small {
		return
	}
	if r.timeouts.Load() != 0 {
		r.timeouts.Store(0)
	}
	if !r.up.Load() && r.link[small].Load() == l {
		r.setUp(true)
	}
}

func (r *remote) setUp(up bool) (changed bool) {
	changed = r.up.Swap(up) != up
	if changed {
		r.peers.signal()
	}
	return changed
}

// hurry makes the dialers try at once: the node has just shown that it is there.
func (r *remote) hurry() {
	for c := range classes {
		r.dial(c)
	}
}

func (r *remote) dial(c class) {
	select {
	case r.kick[c] <- struct{}{}:
	default:
	}
}
