package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

var errContent = fmt.Errorf("%w: malformed request", request.ErrInternal)

// session is the accepter's end of one connection. Its reader takes all frames that one read from the socket brought,
// executes them, and has the answers written together.
type session struct {
	p       *Peers
	conn    net.Conn
	r       *reader
	w       *writer
	from    ring.NodeID
	class   class
	version uint8  // of the protocol
	pauses  uint64 // of the beat, when the session began
	life    context.Context
	wg      sync.WaitGroup
	until   time.Duration // the read deadline that is set

	reads    group[request.Read] // of the reader alone, as is window
	window   readWindow
	writes   writeQueue
	running  []*group[request.Write] // that were executed last; of whoever executes them alone
	coords   chan struct{}           // a token for each forwarded batch that executes
	batches  chan frame              // unbuffered: a forwarded batch for a goroutine that has just finished one
	controls chan struct{}           // a token for each control request that executes
	asked    atomic.Int64            // bytes of their payloads
}

// accept takes connections until the listener is closed.
func (p *Peers) accept() {
	retry := acceptRetryMin
	for p.life.Err() == nil {
		conn, err := p.cfg.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // most likely no file descriptor is left; asking in a loop would not bring one
			wait(p.life, retry, nil)
			retry = min(2*retry, acceptRetryMax)
			continue
		}
		retry = acceptRetryMin
		p.admitConn(conn)
	}
}

// admitConn serves a connection, as a stranger's first.
func (p *Peers) admitConn(conn net.Conn) {
	if !p.track(conn) || conn.SetDeadline(time.Now().Add(HelloTimeout)) != nil {
		p.untrack(conn)
		conn.Close()
		return
	}
	crowded, ok := p.knocked.admit(p.life, conn)
	if crowded {
		p.counts.crowded.Add(1)
	}
	if !ok {
		p.untrack(conn)
		conn.Close()
		return
	}
	p.wg.Go(func() {
		defer p.untrack(conn)
		defer conn.Close()
		p.guard(func() { p.serve(conn) })
	})
}

// serve says hello and serves the connection until it ends.
func (p *Peers) serve(conn net.Conn) {
	pauses := p.beat.pauses.Load()
	admitted := p.served.admit()
	if admitted {
		defer p.served.leave()
	}
	theirs, ok := p.meet(conn, admitted)
	if !ok || conn.SetDeadline(time.Time{}) != nil {
		return
	}
	if !tryTake(p.proved) {
		p.counts.crowded.Add(1)
		return
	}
	defer func() { <-p.proved }()
	p.met(theirs.node)
	newSession(p, conn, theirs, pauses).run()
}

// meet says hello to a stranger, unless it is too late for that. It returns what a dialer that has proved itself says of itself.
func (p *Peers) meet(conn net.Conn, admitted bool) (theirs hello, ok bool) {
	defer func() { ok = p.knocked.leave(conn) && ok }()
	if !admitted {
		return hello{}, false
	}
	theirs, err := welcome(conn, p.cfg.hello(), p.cfg.Keys(), p.cfg.Now)
	if errors.Is(err, ErrRefused) {
		p.counts.refused.Add(1)
		p.complain(theirs.node, "accepted", err)
	}
	if errors.Is(err, errProtocol) || errors.Is(err, errChecksum) || errors.Is(err, errFrameLength) {
		p.damaged(err)
	}
	return theirs, err == nil
}

// met makes the dialers of a node that has just dialed us try at once.
func (p *Peers) met(id ring.NodeID) {
	p.mu.RLock()
	r := p.mu.remotes[id]
	p.mu.RUnlock()
	if r != nil && r.link[small].Load() == nil {
		r.hurry()
	}
}

func newSession(p *Peers, conn net.Conn, theirs hello, pauses uint64) *session {
	s := &session{
		p: p, conn: conn, from: theirs.node, class: theirs.class, version: theirs.version, pauses: pauses,
		r:        newReader(conn, FrameBytesMax),
		w:        newWriter(conn, writeTimeout, func() { p.counts.socketWrites.Add(1) }),
		window:   readWindowFirst,
		coords:   make(chan struct{}, CoordinateMax),
		batches:  make(chan frame),
		controls: make(chan struct{}, ControlMax),
	}
	s.writes.wake = make(chan struct{}, 1)
	return s
}

// run serves until the connection fails or Close closes it, and waits for all that it started.
func (s *session) run() {
	var cancel context.CancelFunc
	s.life, cancel = context.WithCancel(s.p.life)
	defer s.wg.Wait()
	defer s.w.close()
	defer s.conn.Close()
	defer cancel()
	s.wg.Go(func() {
		s.w.run() // whatever its error, the reader is to end
		s.conn.Close()
	})
	if s.p.served.join(s) {
		s.goodbye()
	}
	defer s.p.served.quit(s)
	if s.p.cfg.WritesBlock {
		s.wg.Go(func() { s.p.guard(s.commitWrites); s.conn.Close() })
	}
	s.p.guard(func() { s.p.damaged(s.serve()) })
}

// serve handles what arrives, one read from the socket after the other. It returns nil when the connection ended, and an
// error when its bytes made no sense.
func (s *session) serve() error {
	for {
		if s.stayAwake() != nil || s.r.fill() != nil || s.p.paused(s.pauses) {
			return nil
		}
		if err := s.takeAll(); err != nil {
			return err
		}
		s.runReads()
		s.startWrites()
		s.w.flush()
	}
}

// stayAwake moves the read deadline on, now and then: setting it has a price.
func (s *session) stayAwake() error {
	now := s.p.cfg.Now()
	if s.until-now > IdleMax/2 {
		return nil
	}
	s.until = now + IdleMax
	return s.conn.SetReadDeadline(time.Now().Add(IdleMax))
}

func (s *session) takeAll() error {
	for {
		f, ok, err := s.r.next()
		if err != nil || !ok {
			return err
		}
		if err := s.take(f); err != nil {
			return err
		}
	}
}

// take executes a frame, or puts it into a group that is executed together. An error ends the connection.
func (s *session) take(f frame) error {
	if f.kind == kindPing {
		return s.pong(f)
	}
	if f.kind < kindRead || f.kind > kindHandoff {
		return errProtocol
	}
	if s.expired(f.deadline) {
		s.p.counts.expired.Add(1)
		s.refuse(f, request.ErrExpired)
		return nil
	}
	switch f.kind {
	case kindRead:
		s.takeReads(f)
	case kindWrite:
		s.takeWrites(f)
	case kindCoord:
		s.takeOps(f)
	case kindControl:
		s.takeControl(f)
	case kindHandoff:
		return s.handoff(f)
	}
	return nil
}

func (s *session) expired(deadline time.Duration) bool {
	return deadline <= s.p.cfg.Now() && !fault.On(fault.RunStaleFrame)
}

// refuse answers a frame with an error for the whole batch. It waits for room in the queue, and no longer than the
// connection lasts.
func (s *session) refuse(f frame, err error) {
	s.w.addWaiting(frame{kind: f.kind | answerOf, flags: flagError, id: f.id}, raw(request.AppendError(nil, err)))
}

func (s *session) overload(f frame) {
	s.p.counts.overloaded.Add(1)
	s.refuse(f, request.ErrOverloaded)
}

// malformed answers a frame that is whole and yet makes no sense to this node. The connection goes on: one key that two
// versions of the code see differently must not part two nodes.
func (s *session) malformed(f frame) {
	s.p.counts.malformed.Add(1)
	s.refuse(f, errContent)
}

// answer answers a frame; see refuse. An answer too large for a frame was cut by its encoder.
func (s *session) answer(kind uint8, id uint64, m message) {
	s.w.addWaiting(frame{kind: kind | answerOf, id: id}, m)
}

// cutLayout takes the layout version off the front of a payload.
func cutLayout(b []byte) (layout uint64, rest []byte, ok bool) {
	if len(b) < 8 {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint64(b), b[8:], true
}

// cutSpare takes off the front of forwarded operations how long before their deadline nothing more is minted.
func (s *session) cutSpare(b []byte) (time.Duration, []byte, error) {
	if s.version < mintSince {
		return 0, b, nil
	}
	return cutSpare(b)
}

// pong answers a ping with the time of our clock.
func (s *session) pong(f frame) error {
	notice, has, err := parsePing(f.payload)
	if err != nil {
		return err
	}
	if has {
		s.p.handler.ServeNotice(s.from, notice)
	}
	s.answer(kindPing, f.id, raw(binary.LittleEndian.AppendUint64(nil, uint64(s.p.cfg.Now()))))
	return nil
}

// handoff executes a frame of hints that come home, before anything else that the bulk connection brings.
func (s *session) handoff(f frame) error {
	if s.class != bulk {
		return errProtocol
	}
	layout, rest, ok := cutLayout(f.payload)
	writes, err := request.DecodeWrites(new(request.Room[request.Write]), rest, s.p.cfg.Q)
	if !ok || err != nil {
		s.malformed(f)
		return nil
	}
	ctx, cancel := s.withDeadline(f.deadline)
	defer cancel()
	if err := s.p.handler.ServeHandoff(ctx, s.from, layout, writes); err != nil {
		s.refuse(f, err)
		return nil
	}
	s.answer(kindHandoff, f.id, (*writeAnswers)(&writes))
	return nil
}

// withDeadline returns a context that ends at a deadline of our monotonic clock, or with the session.
func (s *session) withDeadline(deadline time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(s.life, s.left(deadline), request.ErrExpired)
}

// due returns a context that tells a deadline of our monotonic clock, and ends with the session.
func (s *session) due(deadline time.Duration) context.Context {
	return &request.Due{Context: s.life, Until: time.Now().Add(s.left(deadline))}
}

// left returns the time to a deadline of our monotonic clock.
func (s *session) left(deadline time.Duration) time.Duration {
	left := deadline - s.p.cfg.Now()
	if fault.On(fault.RunStaleFrame) {
		left = max(left, time.Second)
	}
	return left
}

// takeOps starts a forwarded batch, if there is room. Once this node takes leave it drops the frame: the goodbye is the
// answer. A goroutine that waits for a batch is preferred to a new one, whose stack would have to grow again.
func (s *session) takeOps(f frame) {
	if !s.p.served.begin() {
		return
	}
	if !s.takeRoom() {
		s.overload(f)
		s.p.served.end()
		return
	}
	select {
	case s.batches <- f:
	default:
		s.wg.Go(func() { s.coordinateAll(f) })
	}
}

// forwarded is where a forwarded batch is while it executes. Once that is answered nobody holds its elements any more.
type forwarded struct {
	request.Room[request.Op]
	ops opAnswers
}

// spareRooms are those of batches that have ended, of all connections: a goroutine that waits for its next batch keeps none.
type spareRooms struct{ sync.Pool }

func (p *spareRooms) take() *forwarded {
	if room, ok := p.Get().(*forwarded); ok {
		return room
	}
	return new(forwarded)
}

func (p *spareRooms) free(room *forwarded) {
	room.ops = nil
	room.Reset()
	p.Put(room)
}

// coordinateAll executes one batch after another until the session ends. There are about as many such goroutines as batches
// ever executed at once, so CoordinateMax at most.
func (s *session) coordinateAll(f frame) {
	for {
		s.coordinateOne(f)
		select {
		case f = <-s.batches:
		case <-s.life.Done():
			return
		}
	}
}

// coordinateOne executes a batch and gives its tokens and its elements back.
func (s *session) coordinateOne(f frame) {
	defer s.p.served.end()
	defer func() { <-s.coords; <-s.p.coords }()
	room, answered := s.p.rooms.take(), false
	s.p.guard(func() { s.coordinate(f, room); answered = true })
	if answered { // who panicked may have left elements with somebody
		s.p.rooms.free(room)
	}
}

// takeRoom takes the tokens that a forwarded batch needs, or none.
func (s *session) takeRoom() bool {
	if !tryTake(s.coords) {
		return false
	}
	if !tryTake(s.p.coords) {
		<-s.coords
		return false
	}
	return true
}

func tryTake(tokens chan struct{}) bool {
	select {
	case tokens <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *session) coordinate(f frame, room *forwarded) {
	layout, rest, ok := cutLayout(f.payload)
	spare, rest, spareErr := s.cutSpare(rest)
	notice, rest, noticeErr := request.DecodeNotice(rest)
	ops, err := request.DecodeOps(&room.Room, rest, s.p.cfg.Q)
	if !ok || spareErr != nil || noticeErr != nil || err != nil {
		s.malformed(f)
		s.w.flush()
		return
	}
	if s.p.paused(s.pauses) {
		return
	}
	s.p.handler.ServeCoordinate(s.due(f.deadline), s.from, layout, notice, time.Now().Add(s.left(f.deadline-spare)), ops)
	room.ops = ops
	s.answer(kindCoord, f.id, &room.ops)
	s.w.flush()
}

// takeControl starts a control request on a goroutine of its own, if there is room.
func (s *session) takeControl(f frame) {
	if len(f.payload) == 0 || len(f.payload) > 1+ControlBytesMax {
		s.malformed(f)
		return
	}
	if !s.takeControlRoom(len(f.payload)) {
		s.overload(f)
		return
	}
	s.wg.Go(func() {
		defer s.giveControlRoom(len(f.payload))
		s.p.guard(func() { s.control(f) })
	})
}

// takeControlRoom takes the room that a control request of so many bytes needs, or none. Only the reader takes any.
func (s *session) takeControlRoom(bytes int) bool {
	if s.asked.Load()+int64(bytes) > ControlAllBytesMax || !tryTake(s.controls) {
		return false
	}
	s.asked.Add(int64(bytes))
	return true
}

func (s *session) giveControlRoom(bytes int) {
	s.asked.Add(int64(-bytes))
	<-s.controls
}

func (s *session) control(f frame) {
	if s.p.paused(s.pauses) {
		return
	}
	ctx, cancel := s.withDeadline(f.deadline)
	defer cancel()
	answer, err := s.p.handler.ServeControl(ctx, s.from, f.payload[0], f.payload[1:])
	if err == nil && len(answer) > s.class.controlAnswerMax() {
		err = request.ErrTooBig
	}
	if err != nil {
		s.refuse(f, err)
	} else {
		s.answer(kindControl, f.id, raw(answer))
	}
	s.w.flush()
}
