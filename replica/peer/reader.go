package peer

import (
	"bytes"
	"io"
)

// reader cuts a stream into frames. One read from the socket brings as many frames as have arrived; a caller handles
// them all, and answers them together, before it reads again.
//
// A payload is a copy of its own, valid for ever, because values alias it and are kept: a small value must not pin the
// whole buffer, and the buffer must not be reused under a value. What is done with before the next fill is lent instead, and aliases
// the buffer: pings, questions of reads, and answers, of which few bring a value (see call.settle).
type reader struct {
	src   io.Reader
	max   int    // bytes of a frame
	small []byte // readBufferBytes; small[r:w] is read and not parsed
	r, w  int
	big   []byte // not nil: a frame that small cannot hold, as much of it as has arrived
	need  int    // bytes of that frame
}

func newReader(src io.Reader, max int) *reader {
	return &reader{src: src, max: max, small: make([]byte, readBufferBytes)}
}

// fill reads once from the stream, whatever is there. next has been called before until it had no more.
func (r *reader) fill() error {
	if r.big != nil {
		return r.fillBig()
	}
	r.w = copy(r.small, r.small[r.r:r.w])
	r.r = 0
	n, err := r.src.Read(r.small[r.w:])
	r.w += n
	if n > 0 {
		return nil
	}
	return noBytes(err)
}

// fillBig reads more of a large frame and no byte of the next. The buffer doubles as bytes arrive, so that a length that
// nobody sends the bytes for costs nothing.
func (r *reader) fillBig() error {
	if len(r.big) == cap(r.big) {
		grown := make([]byte, len(r.big), min(2*cap(r.big), r.need))
		copy(grown, r.big)
		r.big = grown
	}
	n, err := r.src.Read(r.big[len(r.big):cap(r.big)])
	r.big = r.big[:len(r.big)+n]
	if n > 0 {
		return nil
	}
	return noBytes(err)
}

// noBytes is the error of a read that brought nothing.
func noBytes(err error) error {
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// next returns the next frame that has arrived whole, or false.
func (r *reader) next() (frame, bool, error) {
	if r.big != nil {
		return r.nextBig()
	}
	size, err := frameBytes(r.small[r.r:r.w], r.max)
	if err != nil || size == 0 {
		return frame{}, false, err
	}
	if size > len(r.small) {
		r.growTo(size)
		return frame{}, false, nil
	}
	if r.w-r.r < size {
		return frame{}, false, nil
	}
	f, err := parseFrame(r.small[r.r : r.r+size])
	if err != nil {
		return frame{}, false, err
	}
	r.r += size
	if f.lent = passing(f.kind); !f.lent {
		f.payload = bytes.Clone(f.payload)
	}
	return f, true, nil
}

// passing reports whether frames of the kind are done with before the next fill.
func passing(kind uint8) bool {
	switch kind {
	case kindPing, kindRead, kindPing | answerOf, kindRead | answerOf, kindWrite | answerOf, kindHandoff | answerOf, kindCoord | answerOf:
		return true
	}
	return false
}

// growTo moves what has arrived of a large frame to a buffer of its own.
func (r *reader) growTo(size int) {
	r.need = size
	r.big = make([]byte, r.w-r.r, min(size, 2*len(r.small)))
	copy(r.big, r.small[r.r:r.w])
	r.r, r.w = 0, 0
}

func (r *reader) nextBig() (frame, bool, error) {
	if len(r.big) < r.need {
		return frame{}, false, nil
	}
	f, err := parseFrame(r.big)
	r.big = nil
	return f, err == nil, err
}
