package peer

import "github.com/holdfastdb/holdfast/request"

// readWindow bounds what one call of the handler can bring back: so many reads at a time. How large the values are is not
// known before, so it halves when they were large and doubles when they were small.
type readWindow int

// adapt learns from a call that brought so many bytes by n reads.
func (w *readWindow) adapt(n, bytes int) {
	switch {
	case bytes > readWindowBytes:
		*w = max(*w/2, 1)
	case n >= int(*w):
		*w = min(*w*2, ReadWindowMax)
	}
}

// takeReads puts a frame's reads into the group.
func (s *session) takeReads(f frame) {
	layout, rest, ok := cutLayout(f.payload)
	if !s.reads.fits(layout, request.Count(rest)) {
		s.runReads()
	}
	reads, err := request.DecodeReads(&s.reads.room, rest, s.p.cfg.Q)
	if !ok || err != nil {
		s.malformed(f)
		return
	}
	s.reads.add(layout, part[request.Read]{frame: f, items: reads})
}

// runReads executes the group of reads, as many frames at a time as the window allows, and lets go of what they brought as
// soon as they are answered: a thousand small questions can ask for gigabytes.
func (s *session) runReads() {
	reads := s.reads.live(s)
	for parts := s.reads.parts; len(parts) > 0; {
		n, count := together(parts, int(s.window))
		s.readAll(reads[:count])
		for i := range parts[:n] {
			s.answer(kindRead, parts[i].frame.id, (*readAnswers)(&parts[i].items))
		}
		for _, r := range reads[:count] {
			*r = request.Read{}
		}
		parts, reads = parts[n:], reads[count:]
	}
	s.reads.reset()
}

// together returns how many of the first parts hold no more than limit reads in all, at least one part, and their reads.
func together(parts []part[request.Read], limit int) (n, reads int) {
	for n < len(parts) && (n == 0 || reads+len(parts[n].items) <= limit) {
		reads += len(parts[n].items)
		n++
	}
	return n, reads
}

// readAll has the handler answer reads, a window at a time. Once they have brought more than one frame can hold, the rest
// is refused unread: it could not be answered.
func (s *session) readAll(reads []*request.Read) {
	total := 0
	for len(reads) > 0 && total <= answerBytesMax {
		now := reads[:min(len(reads), int(s.window))]
		s.p.handler.ServeReads(s.from, s.reads.layout, now)
		bytes := broughtBytes(now)
		s.window.adapt(len(now), bytes)
		total, reads = total+bytes, reads[len(now):]
	}
	for _, r := range reads {
		r.Err = request.ErrOverloaded
	}
}

func broughtBytes(reads []*request.Read) (n int) {
	for _, r := range reads {
		for i := range r.State.Siblings {
			n += len(r.State.Siblings[i].Value)
		}
	}
	return n
}
