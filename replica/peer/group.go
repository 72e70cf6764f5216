package peer

import (
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/request"
)

// group is the content of several frames of one kind and one layout, executed together.
type group[T any] struct {
	layout uint64
	parts  []part[T]
	room   request.Room[T] // where their items are
	count  int             // items of all parts
	bytes  int             // payloads of all parts
	all    []*T            // what live returned; kept for the next time
}

// part is what one frame brought.
type part[T any] struct {
	frame frame
	items []*T
}

// fits reports whether a frame of n items may join the group: it is of the same layout, and the group, unless it is empty,
// stays within GroupMax.
func (g *group[T]) fits(layout uint64, n int) bool {
	return len(g.parts) == 0 || g.layout == layout && g.count+n <= GroupMax
}

func (g *group[T]) add(layout uint64, p part[T]) {
	g.layout = layout
	g.parts = append(g.parts, p)
	g.count += len(p.items)
	g.bytes += len(p.frame.payload)
}

// live refuses the parts that have expired while they waited, removes them, and returns the items of the others, valid
// until the next call.
func (g *group[T]) live(s *session) []*T {
	all, alive := g.all[:0], g.parts[:0]
	for _, p := range g.parts {
		if s.expired(p.frame.deadline) {
			s.p.counts.expired.Add(1)
			s.refuse(p.frame, request.ErrExpired)
			continue
		}
		all, alive = append(all, p.items...), append(alive, p)
	}
	clear(g.parts[len(alive):])
	g.all, g.parts = all, alive
	return all
}

// latest returns the latest deadline of the parts.
func (g *group[T]) latest() (deadline time.Duration) {
	for _, p := range g.parts {
		deadline = max(deadline, p.frame.deadline)
	}
	return deadline
}

// reset empties the group, whose frames have been answered: nobody holds its elements any more.
func (g *group[T]) reset() {
	clear(g.parts)
	clear(g.all)
	g.room.Reset()
	g.parts, g.all, g.count, g.bytes = g.parts[:0], g.all[:0], 0, 0
}

// writeQueue holds the groups of writes that wait for the commit that is under way.
type writeQueue struct {
	wake chan struct{} // capacity 1
	mu   struct {
		sync.Mutex
		groups []*group[request.Write]
		spare  *group[request.Write] // executed, and empty
		count  int
		bytes  int
	}
}

// add puts a frame, whose writes b holds, behind the others: request.ErrOverloaded when the queue is full, ErrMalformed when b makes no
// sense.
func (q *writeQueue) add(layout uint64, f frame, b []byte, ringQ int) error {
	n := request.Count(b)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.count > 0 && (q.mu.count+n > WriteQueueMax || q.mu.bytes+len(f.payload) > QueueBytesMax) {
		return request.ErrOverloaded
	}
	g := q.groupLocked(layout, n)
	writes, err := request.DecodeWrites(&g.room, b, ringQ)
	if err != nil {
		return err
	}
	g.add(layout, part[request.Write]{frame: f, items: writes})
	q.mu.count += n
	q.mu.bytes += len(f.payload)
	return nil
}

// groupLocked returns the group that n more writes of a layout join.
func (q *writeQueue) groupLocked(layout uint64, n int) *group[request.Write] {
	last := len(q.mu.groups) - 1
	if last >= 0 && q.mu.groups[last].fits(layout, n) {
		return q.mu.groups[last]
	}
	g := q.mu.spare
	if q.mu.spare = nil; g == nil {
		g = new(group[request.Write])
	}
	q.mu.groups = append(q.mu.groups, g)
	return g
}

// takeAll empties the queue. emptied, which may be nil, is what an earlier call returned and is done with: its memory is used again.
func (q *writeQueue) takeAll(emptied []*group[request.Write]) []*group[request.Write] {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(emptied) > 0 && q.mu.spare == nil {
		q.mu.spare = emptied[0]
	}
	clear(emptied)
	groups := q.mu.groups
	q.mu.groups, q.mu.count, q.mu.bytes = emptied[:0], 0, 0
	return groups
}

// takeWrites puts a frame's writes into the queue.
func (s *session) takeWrites(f frame) {
	layout, rest, ok := cutLayout(f.payload)
	if !ok {
		s.malformed(f)
		return
	}
	switch s.writes.add(layout, f, rest, s.p.cfg.Q) {
	case nil:
	case request.ErrOverloaded:
		s.overload(f)
	default:
		s.malformed(f)
	}
}

// startWrites has the queue executed: here, or by commitWrites, which is perhaps in the middle of a commit.
func (s *session) startWrites() {
	if !s.p.cfg.WritesBlock {
		s.runWrites()
		return
	}
	select {
	case s.writes.wake <- struct{}{}:
	default:
	}
}

// commitWrites executes the queue, again and again, until the session ends.
func (s *session) commitWrites() {
	for {
		select {
		case <-s.life.Done():
			return
		case <-s.writes.wake:
		}
		if s.p.paused(s.pauses) {
			return
		}
		s.runWrites()
		s.w.flush()
	}
}

// runWrites executes what is in the queue and answers each frame.
func (s *session) runWrites() {
	s.running = s.writes.takeAll(s.running)
	for _, g := range s.running {
		s.runGroup(g)
		g.reset()
	}
}

func (s *session) runGroup(g *group[request.Write]) {
	writes := g.live(s)
	if len(writes) == 0 && len(g.parts) == 0 {
		return
	}
	err := s.p.handler.ServeWrites(s.due(g.latest()), s.from, g.layout, writes)
	for i := range g.parts {
		if p := &g.parts[i]; err != nil {
			s.refuse(p.frame, err)
		} else {
			s.answer(kindWrite, p.frame.id, (*writeAnswers)(&p.items))
		}
	}
}
