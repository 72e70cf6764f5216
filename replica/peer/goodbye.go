package peer

import (
	"context"
	"errors"
	"sync"

	"github.com/holdfastdb/holdfast/request"
)

var (
	errGoodbye = errors.New("peer: it said goodbye")
	errStays   = errors.New("peer: connections are left")
)

// Drain takes leave of the other nodes, so that they lose no answer when Close cuts them off. It accepts no more
// connections, begins no forwarded batch any more, waits for those that execute, and only when the last of the whole node
// has been answered says goodbye on every connection: whoever takes over a key that was coordinated here begins after the
// last round here has ended. Reads and writes are served on. Then it waits, at most for PartingMax, until the dialers have
// closed their connections.
//
// When ctx ends before the goodbye none is said, and batches under way end as Close ends them. An error says that
// connections are left. Calls of this node's own are not touched. Only Close may follow.
//
// Source of the shape: HTTP/2's GOAWAY (RFC 9113, 6.8), which need not wait, since it hands nothing over.
func (p *Peers) Drain(ctx context.Context) error {
	p.served.refuse()
	_ = p.cfg.Listener.Close() // Close closes it again, and tells
	select {
	case <-p.served.idle:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for _, s := range p.served.part() {
		p.wg.Go(s.goodbye)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, PartingMax, errStays)
	defer cancel()
	select {
	case <-p.served.empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// served is who is served, and how much executes for them. It goes from serving by refuse to refusing, when connections
// and forwarded batches begin no more, and by part to parted, when every session was told or is to be.
type served struct {
	idle  chan struct{} // closed once refusing, and no forwarded batch executes
	empty chan struct{} // closed once parted, and no connection is left
	mu    struct {
		sync.Mutex
		refusing, parted bool
		conns            int // the hellos under way included
		batches          int
		sessions         map[*session]struct{}
	}
}

func newServed() *served {
	v := &served{idle: make(chan struct{}), empty: make(chan struct{})}
	v.mu.sessions = make(map[*session]struct{})
	return v
}

// admit counts a connection in, before it is answered; false when it is too late. Each true is followed by a leave.
func (v *served) admit() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mu.refusing {
		return false
	}
	v.mu.conns++
	return true
}

func (v *served) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.conns--
	if v.mu.parted && v.mu.conns == 0 {
		close(v.empty)
	}
}

// join adds a session to those that are told of the parting; late means that they were told already.
func (v *served) join(s *session) (late bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.sessions[s] = struct{}{}
	return v.mu.parted
}

func (v *served) quit(s *session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.mu.sessions, s)
}

// begin counts a forwarded batch in; false when it must not execute any more. Each true is followed by an end.
func (v *served) begin() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mu.refusing {
		return false
	}
	v.mu.batches++
	return true
}

func (v *served) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.batches--
	if v.mu.refusing && v.mu.batches == 0 {
		close(v.idle)
	}
}

func (v *served) refuse() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.refusing = true
	if v.mu.batches == 0 {
		close(v.idle)
	}
}

// part returns the sessions to take leave of.
func (v *served) part() []*session {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.parted = true
	if v.mu.conns == 0 {
		close(v.empty)
	}
	sessions := make([]*session, 0, len(v.mu.sessions))
	for s := range v.mu.sessions {
		sessions = append(sessions, s)
	}
	return sessions
}

// goodbye promises the dialer that what it has forwarded and was not answered before is not executed, and asks it to
// close the connection. One that does not know the word is cut off after its answers.
func (s *session) goodbye() {
	if s.version < goodbyeSince {
		s.w.finish()
		return
	}
	s.w.addWaiting(frame{kind: kindGoodbye}, nil)
	s.w.flush()
}

// part takes the other side's goodbye into account: the link takes no more calls, the peer is no more to be asked, and
// what was forwarded to it may be asked of another.
func (l *link) part() {
	forwarded := l.takeForwarded()
	l.remote.parted(l)
	for _, c := range forwarded {
		c.done(request.ErrUnreachable)
	}
}

// takeForwarded closes the link to new calls and takes the forwarded batches out of it. Reads, writes and all else are
// answered still: the other side may have executed them.
func (l *link) takeForwarded() (forwarded []*call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.parting = true
	for _, c := range l.mu.calls {
		if c.kind == kindCoord {
			l.forgetLocked(c)
			forwarded = append(forwarded, c)
		}
	}
	return forwarded
}

// parted reports whether the other side said goodbye and owes no answer any more. The dialer is the one to close then:
// whoever closes first may lose what is on its way to it, and nothing is.
func (l *link) parted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.parting && len(l.mu.calls) == 0
}

// parted lets go of a link whose peer said goodbye; it ends by itself.
func (r *remote) parted(l *link) {
	if r.link[l.class].CompareAndSwap(l, nil) && l.class == small {
		r.setUp(false)
	}
}

// endParted ends a link whose last call ended otherwise than by an answer.
func (l *link) endParted() {
	if l.parted() {
		l.end()
	}
}
