package node

import (
	"context"
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// othersMin is how many other clocks it takes to doubt our own: two that agree against one.
const othersMin = 2

// wall is the clock that stamps and expiry go by: the machine's, put right by the median of the cluster's when it is
// beyond the drift bound from that. One machine with a wrong clock must not outstamp everybody for ever, nor expire
// what is still alive.
type wall struct {
	machine    func() time.Time
	correction atomic.Int64 // nanoseconds
	agreed     atomic.Pointer[agreement]
	log        limiter
}

// Now returns the wall time to go by.
func (w *wall) Now() time.Time {
	return w.machine().Add(time.Duration(w.correction.Load()))
}

// heedAgreement notes that most clocks agree with Now, given the offsets of the others, or that there is no other. The
// median alone does not say so: of three clocks that all differ, one is in the middle.
func (w *wall) heedAgreement(offsets []time.Duration, alone bool) {
	if alone || len(offsets) > 0 && most(offsets, time.Duration(w.correction.Load())) {
		w.agreed.Store(&agreement{w.Now().Round(0), time.Now()})
	}
}

// most reports whether more than half of all clocks, our own included, are within the drift bound of the correction.
func most(offsets []time.Duration, correction time.Duration) bool {
	agree := 0
	for _, clock := range append([]time.Duration{0}, offsets...) {
		if (clock - correction).Abs() <= clockDriftMax {
			agree++
		}
	}
	return 2*agree > 1+len(offsets)
}

// An agreement is a moment at which other clocks said that Now is right.
type agreement struct {
	wall   time.Time // what Now was, without a monotonic reading
	steady time.Time // with a monotonic reading
}

// sure reports whether Now may decide what cannot be undone: most clocks have agreed with it since the start, and it has
// neither been set nor corrected since.
func (w *wall) sure() bool {
	a := w.agreed.Load()
	if a == nil {
		return false
	}
	jump := w.Now().Round(0).Sub(a.wall) - time.Since(a.steady)
	return jump.Abs() <= clockDriftMax
}

// median returns the correction for a clock that is off by the offsets of the others (theirs minus ours, our own zero
// not included): zero within the bound or with fewer than three clocks in all.
func median(offsets []time.Duration) time.Duration {
	if len(offsets) < othersMin {
		return 0
	}
	all := append([]time.Duration{0}, offsets...)
	slices.Sort(all)
	// Of an even number the one nearer to zero: a clock is not moved without a majority that says so.
	m := all[len(all)/2]
	if len(all)%2 == 0 && all[len(all)/2-1].Abs() < m.Abs() {
		m = all[len(all)/2-1]
	}
	if m.Abs() <= clockDriftMax {
		return 0
	}
	return m
}

// watchClocks compares the machine's clock with the others' until ctx ends.
func (n *Node) watchClocks(ctx context.Context) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		offsets := n.clockOffsets(ctx)
		n.heedClocks(offsets)
		n.wall.heedAgreement(offsets, len(n.members.State().Members) == 1)
	}
}

// heedClocks goes by the others' clocks if enough of them were told. A correction outlives those who told it: a clock that
// was an hour off is so still when another node goes down, and would stamp, and expire, an hour ahead.
func (n *Node) heedClocks(offsets []time.Duration) {
	if len(offsets) >= othersMin {
		n.adjustClock(median(offsets))
	}
}

func (n *Node) adjustClock(c time.Duration) {
	was := time.Duration(n.wall.correction.Swap(int64(c)))
	switch {
	case c != 0 && n.wall.log.ok(time.Now()):
		n.cfg.Logger.Warn("this machine's clock is off; going by the median of the cluster's until it is set right", "seconds_off", -c.Seconds())
	case c == 0 && was != 0:
		n.cfg.Logger.Info("this machine's clock is right again")
	}
}

// clockOffsets asks every node in reach for its machine's time.
func (n *Node) clockOffsets(ctx context.Context) []time.Duration {
	return collect(n, ctx, controlPatience, func(ctx context.Context, id ring.NodeID) (time.Duration, error) {
		sent := n.wall.machine()
		b, err := n.control(ctx, id, controlClock, nil)
		if err != nil {
			return 0, err
		}
		if len(b) != 8 {
			return 0, request.ErrInternal
		}
		theirs := time.Unix(0, int64(binary.BigEndian.Uint64(b)))
		return theirs.Sub(sent.Add(n.wall.machine().Sub(sent) / 2)), nil
	})
}
