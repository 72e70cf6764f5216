package peer

import (
	"sync"
	"sync/atomic"
	"time"
)

// sample is one look at another node's monotonic clock: asked at sent, answered at back, both on ours, with theirs.
type sample struct {
	sent, back, theirs time.Duration
}

func (s sample) rtt() time.Duration { return s.back - s.sent }

// offset tells what to add to a time of our monotonic clock so that it is the same or an earlier time on theirs.
//
// They looked at their clock after we asked and before we heard, so theirs-back is never above the true offset, and is
// below it by at most the round trip. Of the last offsetSamples looks the one with the shortest round trip is taken:
// clocks drift apart by some parts in a hundred thousand, too little to matter in that time.
type offset struct {
	mu struct {
		sync.Mutex
		ring  [offsetSamples]sample
		count int
	}
	add atomic.Int64 // nanoseconds
	rtt atomic.Int64 // nanoseconds, a moving average in which one look weighs an eighth
}

// observe takes one look into account.
func (o *offset) observe(s sample) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.ring[o.mu.count%offsetSamples] = s
	o.mu.count++
	best := s
	for _, known := range o.mu.ring[:min(o.mu.count, offsetSamples)] {
		if known.rtt() < best.rtt() {
			best = known
		}
	}
	o.add.Store(int64(best.theirs - best.back))
	o.average(s.rtt())
}

func (o *offset) average(rtt time.Duration) {
	if old := o.rtt.Load(); old != 0 {
		rtt = time.Duration(old) + (rtt-time.Duration(old))/8
	}
	o.rtt.Store(int64(rtt))
}

// theirs converts a time of our clock to theirs, or to a slightly earlier one.
func (o *offset) theirs(ours time.Duration) time.Duration { return ours + time.Duration(o.add.Load()) }

// beat notices that the process was paused: stopped, swapped out, or moved to another machine. A goroutine stamps the
// time every BeatEvery; a stamp older than PauseMax means that nothing ran in between.
//
// Whoever runs first after a pause sees it: a reader by the age of the stamp, the beat itself by its own lateness, and
// it counts the pause before it stamps anew. A reader therefore remembers the count that its connection began with.
type beat struct {
	now    func() time.Duration
	last   atomic.Int64
	pauses atomic.Uint64
}

func newBeat(now func() time.Duration) *beat {
	b := &beat{now: now}
	b.last.Store(int64(now()))
	return b
}

// stamp notes that the process runs, and reports whether it was paused before.
func (b *beat) stamp() (paused bool) {
	now := int64(b.now())
	paused = now-b.last.Load() > int64(PauseMax)
	if paused {
		b.pauses.Add(1)
	}
	b.last.Store(now)
	return paused
}

// pausedSince reports whether the process was paused since pauses was as given. What was read before must not be
// executed then.
func (b *beat) pausedSince(pauses uint64) bool {
	return b.late() || b.pauses.Load() != pauses
}

func (b *beat) late() bool { return int64(b.now())-b.last.Load() > int64(PauseMax) }

// count returns how many pauses there were, with one that the beat has not noticed yet. For a moment it may return one too many.
func (b *beat) count() uint64 {
	if b.late() {
		return b.pauses.Load() + 1
	}
	return b.pauses.Load()
}
