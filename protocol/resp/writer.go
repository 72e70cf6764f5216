package resp

import (
	"io"
	"strconv"

	"github.com/tidwall/redcon"
)

// writer encodes replies and holds them back until flush. It knows the connection's protocol version, so that a
// handler says what it answers (a map, a null) and not how.
//
// Errors of the connection are sticky and show at flush: a handler need not look at them.
type writer struct {
	dst     io.Writer
	version int // 2
	buf     []byte
	mark    int  // where the reply in progress begins in buf
	spilled bool // part of the reply in progress has been sent
	err     error
}

// begin marks the start of a reply, for abandon.
func (w *writer) begin() { w.mark, w.spilled = len(w.buf), false }

// abandon takes the reply in progress back. False: part of it has been sent already.
func (w *writer) abandon() bool {
	if w.spilled {
		return false
	}
	w.buf = w.buf[:w.mark]
	return true
}

// simple writes a status such as OK.
func (w *writer) simple(s string) { w.buf = redcon.AppendString(w.buf, s) }

// fault writes an error: its code, a blank, its text. Line breaks become blanks.
func (w *writer) fault(s string) { w.buf = redcon.AppendError(w.buf, s) }

func (w *writer) int(n int64) { w.buf = redcon.AppendInt(w.buf, n) }

// bool writes 1 or 0.
func (w *writer) bool(b bool) {
	if b {
		w.int(1)
	} else {
		w.int(0)
	}
}

// null writes the absence of a bulk.
func (w *writer) null() { w.buf = redcon.AppendNull(w.buf) }

// array begins an array: n elements follow.
func (w *writer) array(n int) { w.buf = redcon.AppendArray(w.buf, n) }

// dict begins a map: n keys follow, each with its value behind it.
func (w *writer) dict(n int) { w.array(2 * n) }

func (w *writer) text(s string) { w.buf = redcon.AppendBulkString(w.buf, s); w.spill() }

// bulk writes bytes. Long ones go out without a copy.
func (w *writer) bulk(b []byte) {
	if len(b) < DirectBytesMin {
		w.buf = redcon.AppendBulk(w.buf, b)
		w.spill()
		return
	}
	w.buf = append(w.buf, '$')
	w.buf = strconv.AppendInt(w.buf, int64(len(b)), 10)
	w.buf = append(w.buf, "\r\n"...)
	w.flush()
	w.send(b)
	w.buf = append(w.buf, "\r\n"...)
}

// words writes an array of statuses.
func (w *writer) words(ss []string) {
	w.array(len(ss))
	for _, s := range ss {
		w.simple(s)
	}
}

// texts writes an array of bulks.
func (w *writer) texts(ss []string) {
	w.array(len(ss))
	for _, s := range ss {
		w.text(s)
	}
}

// entry writes a key of a map and its value.
func (w *writer) entry(key, value string) {
	w.text(key)
	w.text(value)
}

// spill keeps the buffer bounded: a client that sends without reading must not fill our memory.
func (w *writer) spill() {
	if len(w.buf) >= SpillBytes {
		w.flush()
	}
}

// flush sends what is held back and returns the connection's first error.
func (w *writer) flush() error {
	w.send(w.buf)
	w.buf = w.buf[:0]
	if cap(w.buf) > 2*SpillBytes {
		w.buf = nil
	}
	w.mark = 0
	return w.err
}

func (w *writer) send(b []byte) {
	if len(b) == 0 || w.err != nil {
		return
	}
	w.spilled = true
	_, w.err = w.dst.Write(b)
}
