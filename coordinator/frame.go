package coordinator

import (
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// destination is where a frame goes, and the view by which everything in it was planned: a layout's quorum must not be
// counted from copies that were accepted under another.
type destination struct {
	to   ring.NodeID
	view *View
}

// copyOf is one leg of one put on its way in a frame.
type copyOf struct {
	put, leg int
	write    *request.Write
}

// frame is the copies of a writing that one node is sent together. It belongs to the writing, and its elements to whoever carries them
// until that calls returned.
type frame struct {
	w      *writing
	to     destination
	copies []copyOf
	sent   []*request.Write // those of copies

	room struct { // where these begin, of a single put
		copies [1]copyOf
		sent   [1]*request.Write
	}
}

// few are the frames or inquiries that one event gives rise to, one for each destination. While they are few they need no memory of
// their own.
type few[T any] struct {
	n     int
	first [framesUsual]*T
	more  []*T
}

func (s *few[T]) add(x *T) {
	if s.n < len(s.first) {
		s.first[s.n] = x
	} else {
		s.more = append(s.more, x)
	}
	s.n++
}

func (s *few[T]) at(i int) *T {
	if i < len(s.first) {
		return s.first[i]
	}
	return s.more[i-len(s.first)]
}

// frames are those of a writing.
type frames struct{ few[frame] }

// to returns the frame for a destination.
func (fs *frames) to(to destination, w *writing) *frame {
	for i := range fs.n {
		if f := fs.at(i); f.to == to {
			return f
		}
	}
	f := w.newFrame()
	f.w, f.to = w, to
	fs.add(f)
	return f
}

// newFrame returns an empty one: of the writing's own as long as there are any.
func (w *writing) newFrame() *frame {
	var f *frame
	if n := w.framed; n < len(w.room.frames) {
		f = &w.room.frames[n]
		w.framed++
	} else {
		f = new(frame)
	}
	f.copies, f.sent = f.room.copies[:0], f.room.sent[:0]
	if n := len(w.puts); n > 1 {
		f.copies, f.sent = make([]copyOf, 0, n), make([]*request.Write, 0, n)
	}
	return f
}

// add puts a copy into the frame.
func (f *frame) add(cp copyOf) {
	f.copies, f.sent = append(f.copies, cp), append(f.sent, cp.write)
}

// returned takes the answers of the frame, or the error for all of them.
func (f *frame) returned(err error) { f.w.returned(f.copies, err) }

// inquiry is the questions of a reading that one node is asked together. It belongs to the reading, as a frame does to its writing.
type inquiry struct {
	r         *reading
	to        destination
	questions []question
	reads     []*request.Read // those of questions

	room struct { // where these begin, of a single get
		questions [1]question
		reads     [1]*request.Read
	}
}

// inquiries are those of a reading.
type inquiries struct{ few[inquiry] }

// to returns the inquiry for a destination.
func (fs *inquiries) to(to destination, r *reading) *inquiry {
	for i := range fs.n {
		if f := fs.at(i); f.to == to {
			return f
		}
	}
	f := r.newInquiry()
	f.r, f.to = r, to
	fs.add(f)
	return f
}

// newInquiry returns an empty one: of the reading's own as long as there are any.
func (r *reading) newInquiry() *inquiry {
	var f *inquiry
	if n := r.framed; n < len(r.room.frames) {
		f = &r.room.frames[n]
		r.framed++
	} else {
		f = new(inquiry)
	}
	f.questions, f.reads = f.room.questions[:0], f.room.reads[:0]
	if n := len(r.gets); n > 1 {
		f.questions, f.reads = make([]question, 0, n), make([]*request.Read, 0, n)
	}
	return f
}

// add puts a question into the inquiry.
func (f *inquiry) add(q question) {
	f.questions, f.reads = append(f.questions, q), append(f.reads, q.read)
}

// returned takes the answers, or the error for all of them.
func (f *inquiry) returned(err error) { f.r.returned(f.questions, err) }
