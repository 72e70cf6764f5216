package causal

import (
	"cmp"
	"math"
	"sync/atomic"
	"time"
)

const (
	logicalBits = 16
	millisMax   = 1<<(64-logicalBits) - 1
)

// Time is hybrid logical time: Unix milliseconds in the upper 48 bits, a logical counter in the lower 16. Times compare
// as integers.
type Time uint64

// TimeOf returns the time of ms Unix milliseconds, held within 0 and the year 10889, and a logical counter.
func TimeOf(ms int64, logical uint16) Time {
	return Time(min(max(ms, 0), millisMax))<<logicalBits | Time(logical)
}

// Millis returns the Unix milliseconds of t.
func (t Time) Millis() int64 { return int64(t >> logicalBits) }

// Stamp identifies one operation of a client: when and where its bytes arrived. Every retry of the operation keeps it.
// The zero stamp is no identity; it is never remembered.
type Stamp struct {
	Time Time
	Node uint64 // boot bits of the node
}

// IsZero reports whether t is no stamp.
func (t Stamp) IsZero() bool { return t == Stamp{} }

// Compare returns -1, 0 or +1: the total order of stamps, by time, then node.
func (t Stamp) Compare(u Stamp) int {
	if c := cmp.Compare(t.Time, u.Time); c != 0 {
		return c
	}
	return cmp.Compare(t.Node, u.Node)
}

// Clock is a hybrid logical clock: close to the wall clock, yet strictly increasing, and later than whatever it has
// observed. It is safe for concurrent use and takes no lock.
//
// Source: Kulkarni et al., Logical Physical Clocks (OPODIS 2014), with the drift bound of its section 5.
type Clock struct {
	now      func() time.Time
	driftMax int64 // milliseconds
	last     atomic.Uint64
}

// NewClock returns a clock over the wall clock now, whose first time is later than floor (the highest time that the node
// may have given out before). Times more than driftMax ahead of now are not observed; driftMax is cut to milliseconds.
func NewClock(now func() time.Time, floor Time, driftMax time.Duration) *Clock {
	c := &Clock{now: now, driftMax: driftMax.Milliseconds()}
	c.last.Store(uint64(floor))
	return c
}

// Now returns a time later than every one that Now returned or Observe accepted before. A full logical counter carries
// into the milliseconds. It panics when 64 bits are used up, which only a floor of that size can bring about.
func (c *Clock) Now() Time {
	wall := uint64(TimeOf(c.now().UnixMilli(), 0))
	for {
		last := c.last.Load()
		if last == math.MaxUint64 {
			panic("causal: clock used up")
		}
		next := max(wall, last+1)
		if c.last.CompareAndSwap(last, next) {
			return Time(next)
		}
	}
}

// Observe makes later times exceed t and returns true, unless t is more than the drift bound ahead of the wall clock:
// one node with a wrong clock must not carry all others along.
func (c *Clock) Observe(t Time) bool {
	if t.Millis()-c.now().UnixMilli() > c.driftMax {
		return false
	}
	for {
		last := c.last.Load()
		if uint64(t) <= last || c.last.CompareAndSwap(last, uint64(t)) {
			return true
		}
	}
}

// Last returns the highest time given out or observed so far, the floor at first.
func (c *Clock) Last() Time { return Time(c.last.Load()) }
