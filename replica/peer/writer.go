package peer

import (
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/request"
)

// writer sends frames. Whoever has one appends it to a buffer; one goroutine takes the whole buffer, leaves an empty one
// in its place, and writes what it took, so that all that gathers during a write leaves with the next.
type writer struct {
	conn    net.Conn
	timeout time.Duration // of one write to the socket
	wake    chan struct{} // capacity 1; full means that the goroutine will look anyway
	writes  func()        // counts a write to the socket
	mu      struct {
		sync.Mutex
		out    []byte
		taken  uint64 // how many buffers the goroutine has taken
		last   bool   // nothing is to be written after what was added by now
		closed bool
	}
	room *sync.Cond // out was taken, or the writer closed
}

func newWriter(conn net.Conn, timeout time.Duration, writes func()) *writer {
	w := &writer{conn: conn, timeout: timeout, wake: make(chan struct{}, 1), writes: writes}
	w.room = sync.NewCond(&w.mu.Mutex)
	return w
}

// add appends a frame, to leave with the next flush, and returns the number of the buffer that it is in: taken(number)
// tells whether any of it may have left. It never waits: ErrOverloaded when the queue is full, ErrTooBig when the frame
// is above FrameBytesMax, ErrUnreachable when the connection is closed.
func (w *writer) add(f frame, m message) (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.addLocked(f, m)
}

func (w *writer) addLocked(f frame, m message) (uint64, error) {
	if w.mu.closed {
		return 0, request.ErrUnreachable
	}
	start := len(w.mu.out)
	w.mu.out = appendFrame(w.mu.out, f, m)
	size := len(w.mu.out) - start
	if err := fits(start, size); err != nil {
		w.mu.out = w.mu.out[:start]
		return 0, err
	}
	return w.mu.taken, nil
}

func fits(queued, size int) error {
	if size > FrameBytesMax {
		return request.ErrTooBig
	}
	if queued > 0 && queued+size > QueueBytesMax {
		return request.ErrOverloaded
	}
	return nil
}

// addWaiting is add for answers, which must not be dropped: it waits for room, at most until the connection closes. The
// other side reads without ever waiting for us, and the write timeout ends it if it stops. Only the accepting side calls
// it, so no two nodes wait for each other.
func (w *writer) addWaiting(f frame, m message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		_, err := w.addLocked(f, m)
		if err != request.ErrOverloaded {
			return err
		}
		w.flush()
		w.room.Wait()
	}
}

// flush lets the goroutine write what was added.
func (w *writer) flush() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// left reports whether bytes of the given buffer may have left this process.
func (w *writer) left(buffer uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return buffer < w.mu.taken
}

// close makes add fail and run return. It does not close the connection.
func (w *writer) close() {
	w.mu.Lock()
	w.mu.closed = true
	w.mu.out = nil
	w.mu.Unlock()
	w.room.Broadcast()
	w.flush()
}

// finish makes run return once what was added before is written. It does not close the connection.
func (w *writer) finish() {
	w.mu.Lock()
	w.mu.last = true
	w.mu.Unlock()
	w.flush()
}

// run writes until the connection fails, whose error it returns, or close or finish, when it returns nil. It closes the writer, or
// those who wait for room would wait for ever.
func (w *writer) run() error {
	defer w.close()
	var spare []byte
	for range w.wake {
		runtime.Gosched() // let those who are about to add do so: a write costs more than a turn
		out, ending := w.take(spare)
		if len(out) > 0 {
			if err := w.write(out); err != nil {
				return err
			}
		}
		if ending {
			return nil
		}
		if len(out) == 0 {
			continue
		}
		spare = out[:0]
		if cap(spare) > keepBytesMax {
			spare = nil
		}
	}
	return nil
}

// take leaves spare in the place of the queued bytes and returns them, if there are any, and whether run is to end after them.
func (w *writer) take(spare []byte) (out []byte, ending bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ending = w.mu.closed || w.mu.last
	if len(w.mu.out) == 0 || w.mu.closed {
		return nil, ending
	}
	out, w.mu.out = w.mu.out, spare
	w.mu.taken++
	w.room.Broadcast()
	return out, ending
}

// write sends b in pieces, each with a deadline of its own, so that a slow connection may take its time and a stopped
// one may not.
func (w *writer) write(b []byte) error {
	for len(b) > 0 {
		piece := b[:min(len(b), writeBytesMax)]
		if err := w.conn.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
			return err
		}
		w.writes()
		if _, err := w.conn.Write(piece); err != nil {
			return err
		}
		b = b[len(piece):]
	}
	return nil
}
