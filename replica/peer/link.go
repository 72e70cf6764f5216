package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/request"
)

var (
	errMalformedAnswer = fmt.Errorf("%w: malformed answer", request.ErrLost)
	errSilent          = errors.New("peer: no answer to pings")
	errPaused          = errors.New("peer: this process was paused")
)

// link is the dialer's end of one connection. Three goroutines stand around it: the writer's, the reader's, and one that
// tends deadlines and pings. Whichever fails first ends the link, once, and every call in it.
type link struct {
	remote  *remote
	class   class
	version uint8 // of the protocol
	conn    net.Conn
	w       *writer
	now     func() time.Duration
	pauses  uint64 // of the beat, when the link began
	offset  offset
	expiry  *time.Timer // set to the earliest deadline
	ended   chan struct{}
	mu      struct {
		sync.Mutex
		calls    map[uint64]*call
		deadline deadlines
		id       uint64
		parting  bool // the other side said goodbye
		ended    bool
	}

	// asked is when the ping that is not answered yet left, by our clock; 0: all are answered. pinged numbers them.
	asked  atomic.Int64
	pinged atomic.Uint64
	heard  atomic.Int64 // when bytes last came in, by our clock
}

func newLink(r *remote, c class, version uint8, conn net.Conn, look sample, pauses uint64) *link {
	l := &link{
		remote: r, class: c, version: version, conn: conn, now: r.peers.cfg.Now, pauses: pauses,
		w:      newWriter(conn, c.writeTimeout(), func() { r.peers.counts.socketWrites.Add(1) }),
		expiry: time.NewTimer(DeadlineMax),
		ended:  make(chan struct{}),
	}
	l.mu.calls = make(map[uint64]*call)
	l.offset.observe(look)
	l.heard.Store(int64(l.now()))
	return l
}

// run serves the link until it ends, and returns why. Calls may be sent from before.
func (l *link) run() error {
	var wg sync.WaitGroup
	wg.Go(func() {
		l.w.run() // the reader learns of the failure too, and tells it
		l.end()
	})
	wg.Go(l.tend)
	err := l.read()
	l.end()
	wg.Wait()
	return err
}

// send puts a call on its way, or returns why it is not: ErrUnreachable, ErrOverloaded, ErrExpired or ErrTooBig, all
// unexecuted. The lock is held over the encoding, so that no one sees a call whose buffer is not known yet.
func (l *link) send(c *call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.ended || l.mu.parting {
		return request.ErrUnreachable
	}
	if len(l.mu.calls) >= CallsMax {
		return request.ErrOverloaded
	}
	now := l.now()
	if c.deadline-c.spare <= now {
		return request.ErrExpired
	}
	return l.sendLocked(c, c.deadline-now)
}

func (l *link) sendLocked(c *call, wait time.Duration) error {
	c.link.Store(l)
	if c.gone.Load() {
		return request.ErrUnreachable
	}
	l.mu.id++
	c.id, c.termed = l.mu.id, l.version >= mintSince
	buffer, err := l.w.add(frame{kind: c.kind, id: c.id, deadline: l.offset.theirs(c.told())}, c)
	if err != nil {
		return err
	}
	c.buffer = buffer
	l.mu.calls[c.id] = c
	l.mu.deadline.add(c)
	if c.at == 0 {
		l.expiry.Reset(wait)
	}
	l.w.flush()
	return nil
}

// take takes a call out of the link, for the one who ends it; nil when it is gone, as after its deadline.
func (l *link) take(id uint64) *call {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.mu.calls[id]
	if c != nil {
		l.forgetLocked(c)
	}
	return c
}

func (l *link) forgetLocked(c *call) {
	delete(l.mu.calls, c.id)
	l.mu.deadline.remove(c)
}

// abandon ends a call before its deadline, if it is still under way. Its frame may still be waiting to leave.
func (l *link) abandon(c *call) {
	if l.takeCall(c) {
		c.done(request.ErrLost)
		l.endParted()
	}
}

func (l *link) takeCall(c *call) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := l.mu.calls[c.id] == c
	if held {
		l.forgetLocked(c)
	}
	return held
}

// fate tells what can have become of a call when the link has ended.
func (l *link) fate(c *call) error {
	if l.w.left(c.buffer) {
		return request.ErrLost
	}
	return request.ErrUnreachable
}

// end ends the link and every call in it. The writer is closed first: what it has not taken by then never leaves.
func (l *link) end() {
	l.mu.Lock()
	if l.mu.ended {
		l.mu.Unlock()
		return
	}
	l.mu.ended = true
	calls := l.mu.calls
	l.mu.calls, l.mu.deadline = nil, nil
	l.mu.Unlock()
	l.w.close()
	l.conn.Close()
	close(l.ended)
	l.remote.lost(l)
	for _, c := range calls {
		c.done(l.fate(c))
	}
}

// read handles what the other side sends, until the connection fails.
func (l *link) read() error {
	r := newReader(l.conn, FrameBytesMax)
	for {
		if err := r.fill(); err != nil {
			return err
		}
		if l.remote.peers.paused(l.pauses) {
			return errPaused
		}
		l.heard.Store(int64(l.now()))
		if err := l.drain(r); err != nil {
			return err
		}
		if l.parted() {
			return errGoodbye
		}
	}
}

func (l *link) drain(r *reader) error {
	for {
		f, ok, err := r.next()
		if err != nil || !ok {
			return l.remote.peers.damaged(err)
		}
		if err := l.answer(f); err != nil {
			return err
		}
	}
}

// answer handles one frame. An answer that nobody waits for any more is dropped.
func (l *link) answer(f frame) error {
	switch {
	case f.kind == kindPing|answerOf:
		return l.pong(f)
	case f.kind == kindGoodbye && l.version >= goodbyeSince:
		l.part()
		return nil
	case f.kind&answerOf == 0 || f.kind > kindLast|answerOf:
		return errProtocol
	}
	c := l.take(f.id)
	if c == nil {
		l.remote.peers.counts.late.Add(1)
		l.remote.heard(l) // late is a sign of life, too
		return nil
	}
	if f.kind != c.kind|answerOf {
		c.done(request.ErrLost)
		return errProtocol
	}
	l.remote.heard(l)
	c.done(l.remote.peers.settle(c, f))
	return nil
}

// tend ends calls whose deadline has passed, pings, and doubts a peer that does not answer.
func (l *link) tend() {
	ticker := time.NewTicker(PingEvery)
	doubt := time.NewTimer(SuspectAfter)
	defer ticker.Stop()
	defer doubt.Stop()
	defer l.expiry.Stop()
	l.ping(doubt)
	for {
		select {
		case <-l.ended:
			return
		case <-l.expiry.C:
			l.expire()
		case <-doubt.C:
			l.doubt(doubt)
		case <-ticker.C:
			l.ping(doubt)
		}
	}
}

// expire ends what is past its deadline and sets the timer to the next.
func (l *link) expire() {
	late := l.takeLate()
	if len(late) == 0 {
		return
	}
	if l.silent(late[0].deadline) {
		l.remote.timedOut(l, len(late))
	}
	for _, c := range late {
		c.done(request.ErrLost)
	}
	l.endParted()
}

// silent reports whether requests that were due at a moment and had no answer speak against the peer. They do not while it
// says other things: then it is slow, and a slow peer that is taken for down may be the one that a quorum lacks. Nor do
// they when this process comes to notice late: it was short of CPU, and answers may be waiting to be read.
func (l *link) silent(due time.Duration) bool {
	now := l.now()
	return now-time.Duration(l.heard.Load()) >= SuspectAfter && now-due < BeatEvery/2
}

func (l *link) takeLate() (late []*call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for len(l.mu.deadline) > 0 && l.mu.deadline[0].deadline <= now {
		c := l.mu.deadline[0]
		l.forgetLocked(c)
		late = append(late, c)
	}
	if len(l.mu.deadline) > 0 {
		l.expiry.Reset(l.mu.deadline[0].deadline - now)
	}
	return late
}

// ping asks the other side for a sign of life and for its clock, one question at a time.
func (l *link) ping(doubt *time.Timer) {
	now := l.now()
	if asked := time.Duration(l.asked.Load()); asked != 0 {
		if now-asked >= l.deadAfter() && !l.remote.peers.paused(l.pauses) {
			l.end()
		}
		return
	}
	id := l.pinged.Add(1)
	l.asked.Store(int64(max(now, 1)))
	if _, err := l.w.add(frame{kind: kindPing, id: id}, l.remote.peers.pingPayload(now)); err != nil {
		l.asked.Store(0) // the queue is full: there is no doubt that we are talking
		return
	}
	l.w.flush()
	doubt.Reset(SuspectAfter)
}

func (l *link) deadAfter() time.Duration {
	if l.class == bulk {
		return BulkDeadAfter
	}
	return DeadAfter
}

// doubt makes the peer suspect when a ping has waited for SuspectAfter. A doubt that comes late says that this process was
// short of CPU; the answer may be waiting to be read, so it is given the time of a beat.
func (l *link) doubt(timer *time.Timer) {
	asked := time.Duration(l.asked.Load())
	age := l.now() - asked
	switch {
	case asked == 0 || l.class == bulk:
	case age < SuspectAfter:
		timer.Reset(SuspectAfter - age)
	case age > SuspectAfter+BeatEvery/2 && age < SuspectAfter+BeatEvery*3/2:
		timer.Reset(BeatEvery)
	default:
		l.remote.suspect(l, errSilent)
	}
}

// pong takes the answer to a ping into account.
func (l *link) pong(f frame) error {
	if len(f.payload) < 8 {
		return errProtocol
	}
	if f.id != l.pinged.Load() {
		return errProtocol
	}
	asked := time.Duration(l.asked.Swap(0))
	if asked == 0 {
		return errProtocol
	}
	theirs := time.Duration(binary.LittleEndian.Uint64(f.payload))
	l.offset.observe(sample{sent: asked, back: l.now(), theirs: theirs})
	l.remote.heard(l)
	return nil
}
