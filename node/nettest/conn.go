package nettest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// end is one end of a connection.
type end struct {
	net           *Network
	in, out       *pipe
	local, remote *net.TCPAddr
}

// connect returns the two ends of a new connection; the first is at the beginning of the link.
func (n *Network) connect(l link, from, to *net.TCPAddr) (near, far *end) {
	there, back := newPipe(n, l), newPipe(n, l.back())
	return &end{net: n, in: back, out: there, local: from, remote: to}, &end{net: n, in: there, out: back, local: to, remote: from}
}

// Read implements net.Conn.
func (e *end) Read(b []byte) (int, error) {
	n, err := e.in.read(b)
	return n, e.explain("read", err)
}

// Write implements net.Conn.
func (e *end) Write(b []byte) (int, error) {
	if after, torn := e.net.tears(e.out.link, len(b)); torn {
		return e.tear(b, after)
	}
	n, err := e.out.write(b)
	return n, e.explain("write", err)
}

// tear writes some of the bytes, and resets the connection. The writer believes that all have gone.
func (e *end) tear(b []byte, after int) (int, error) {
	if n, err := e.out.write(b[:after]); err != nil {
		return n, e.explain("write", err)
	}
	e.out.tear()
	e.in.fail()
	return len(b), nil
}

func (e *end) explain(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: e.local, Addr: e.remote, Err: err}
}

// Close implements net.Conn. What was written still arrives, and then the end of the stream.
func (e *end) Close() error {
	e.forget()
	if !e.in.abandon() {
		return e.explain("close", net.ErrClosed)
	}
	e.out.finish()
	return nil
}

// reset ends the connection at once; the other end learns of it when the link carries.
func (e *end) reset() {
	e.forget()
	e.in.abandon()
	e.out.finish()
	e.in.fail()
	e.out.fail()
}

func (e *end) forget() {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	delete(e.net.mu.ends, e)
}

// LocalAddr implements net.Conn.
func (e *end) LocalAddr() net.Addr { return e.local }

// RemoteAddr implements net.Conn.
func (e *end) RemoteAddr() net.Addr { return e.remote }

// SetDeadline implements net.Conn.
func (e *end) SetDeadline(t time.Time) error {
	e.in.readBy(t)
	e.out.writeBy(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (e *end) SetReadDeadline(t time.Time) error { e.in.readBy(t); return nil }

// SetWriteDeadline implements net.Conn.
func (e *end) SetWriteDeadline(t time.Time) error { e.out.writeBy(t); return nil }

// pipe is one direction of a connection: bytes under way, in order.
type pipe struct {
	net  *Network
	link link
	mu   struct {
		sync.Mutex
		changed         chan struct{} // closed, and made anew, at each change
		segments        []segment
		held            []segment // written by a host that is paused
		bytes           int
		last            time.Time // when the last segment arrives
		finished        bool      // by the writer
		torn            bool      // ends with a reset
		abandoned       bool      // by the reader
		failed          bool      // reset
		readBy, writeBy time.Time
	}
}

// A segment is what one write sent; without bytes, the end of the stream.
type segment struct {
	at    time.Time
	bytes []byte
}

func newPipe(n *Network, l link) *pipe {
	p := &pipe{net: n, link: l}
	p.mu.changed = make(chan struct{})
	return p
}

func (p *pipe) read(b []byte) (int, error) {
	for {
		n, changed, until, err := p.take(b)
		if n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
		wait(changed, until)
	}
}

// take reads what has arrived. When there is nothing yet it returns what to wait for: a change, or a time if that is not zero.
func (p *pipe) take(b []byte) (n int, changed <-chan struct{}, until time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	open, _ := p.net.open(p.link) // under the lock: a change of the links later than this closes changed
	open = open && !p.net.stands(p.link.to)
	now := time.Now()
	switch {
	case p.mu.abandoned:
		return 0, nil, until, net.ErrClosed
	case passed(p.mu.readBy, now):
		return 0, nil, until, os.ErrDeadlineExceeded
	case p.mu.failed && open:
		return 0, nil, until, syscall.ECONNRESET
	}
	if open {
		if n, err = p.arrivedLocked(b, now); n > 0 || err != nil {
			return n, nil, until, err
		}
	}
	until = p.mu.readBy
	if open && len(p.mu.segments) > 0 && (until.IsZero() || p.mu.segments[0].at.Before(until)) {
		until = p.mu.segments[0].at
	}
	return 0, p.mu.changed, until, nil
}

func (p *pipe) arrivedLocked(b []byte, now time.Time) (n int, err error) {
	for n < len(b) && len(p.mu.segments) > 0 && !p.mu.segments[0].at.After(now) {
		first := &p.mu.segments[0]
		if len(first.bytes) == 0 {
			break
		}
		moved := copy(b[n:], first.bytes)
		first.bytes = first.bytes[moved:]
		n += moved
		if len(first.bytes) == 0 {
			p.mu.segments = p.mu.segments[1:]
		}
	}
	if n == 0 && len(b) > 0 && len(p.mu.segments) > 0 && !p.mu.segments[0].at.After(now) {
		if p.mu.torn {
			return 0, syscall.ECONNRESET
		}
		return 0, io.EOF
	}
	if p.mu.bytes -= n; n > 0 {
		p.changeLocked()
	}
	return n, nil
}

func (p *pipe) write(b []byte) (n int, err error) {
	for {
		moved, changed, until, err := p.put(b[n:])
		if n += moved; err != nil || n == len(b) {
			return n, err
		}
		wait(changed, until)
	}
}

// put sends what there is room for, and returns what to wait for before sending the rest.
func (p *pipe) put(b []byte) (n int, changed <-chan struct{}, until time.Time, err error) {
	delay := p.net.delay(p.link)
	p.mu.Lock()
	defer p.mu.Unlock()
	told, _ := p.net.open(p.link.back())
	told = told && !p.net.stands(p.link.from, p.link.to)
	switch {
	case p.mu.torn:
		return 0, nil, until, syscall.ECONNRESET
	case p.mu.finished:
		return 0, nil, until, net.ErrClosed
	case passed(p.mu.writeBy, time.Now()):
		return 0, nil, until, os.ErrDeadlineExceeded
	case p.mu.failed && told:
		return 0, nil, until, syscall.ECONNRESET
	case p.mu.abandoned && told:
		return 0, nil, until, syscall.EPIPE
	}
	if n = min(len(b), pipeBytesMax-p.mu.bytes); n > 0 {
		p.sendLocked(append([]byte(nil), b[:n]...), delay)
	}
	return n, p.mu.changed, p.mu.writeBy, nil
}

func (p *pipe) sendLocked(b []byte, delay time.Duration) {
	if p.mu.bytes += len(b); p.net.stands(p.link.from) {
		p.mu.held = append(p.mu.held, segment{bytes: b})
		return
	}
	p.arriveLocked(b, delay)
	p.changeLocked()
}

func (p *pipe) arriveLocked(b []byte, delay time.Duration) {
	at := time.Now().Add(delay)
	if !at.After(p.mu.last) {
		at = p.mu.last.Add(1)
	}
	p.mu.last = at
	p.mu.segments = append(p.mu.segments, segment{at, b})
}

// finish ends the stream after what was written.
func (p *pipe) finish() { p.end(false) }

// tear ends the stream with a reset after what was written.
func (p *pipe) tear() { p.end(true) }

func (p *pipe) end(torn bool) {
	delay := p.net.delay(p.link)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.torn = p.mu.torn || torn
	if !p.mu.finished {
		p.mu.finished = true
		p.sendLocked(nil, delay)
	}
}

// abandon says that nobody reads any more; false when that was said before.
func (p *pipe) abandon() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !p.mu.abandoned
	p.mu.abandoned, p.mu.bytes = true, 0
	p.changeLocked()
	return first
}

func (p *pipe) fail() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.failed = true
	p.changeLocked()
}

func (p *pipe) readBy(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.readBy = t
	p.changeLocked()
}

func (p *pipe) writeBy(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.writeBy = t
	p.changeLocked()
}

// wake looks again at what the link lets through.
func (p *pipe) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mu.held) > 0 && !p.net.stands(p.link.from) {
		for _, s := range p.mu.held {
			p.arriveLocked(s.bytes, p.net.delay(p.link))
		}
		p.mu.held = nil
	}
	p.changeLocked()
}

func (p *pipe) changeLocked() {
	close(p.mu.changed)
	p.mu.changed = make(chan struct{})
}

func passed(deadline, now time.Time) bool { return !deadline.IsZero() && !now.Before(deadline) }

// wait returns at a change, or at a time if that is not zero.
func wait(changed <-chan struct{}, until time.Time) {
	if until.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}
