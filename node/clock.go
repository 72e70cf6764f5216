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

// wall is the clock that stamps and expiry go by: the machine's, or the median of the cluster's when it is
// beyond the drift bound from that. One machine with a wrong clock must not outstamp everybody for ever, nor expire
// what is still alive.
type wall struct {
	machine func() time.Time
	told    atomic.Pointer[moment] // what the others' clocks said while the machine's is wrong
	agreed  atomic.Pointer[moment] // when other clocks said that Now is right
	log     limiter
}

// A moment is one instant by two clocks.
type moment struct {
	wall   time.Time // without a monotonic reading
	steady time.Time // with a monotonic reading
}

func newMoment(wall time.Time) *moment { return &moment{wall.Round(0), time.Now()} }

// since returns what the wall clock shows now if nobody sets it.
func (m *moment) since() time.Time { return m.wall.Add(time.Since(m.steady)) }

// Now returns the wall time to go by. While the machine's clock is wrong, that is counted from what the others told, by
// the monotonic clock: when the machine's is set, right or more wrong, it stays true.
func (w *wall) Now() time.Time {
	if told := w.told.Load(); told != nil {
		return told.since()
	}
	return w.machine()
}

// correction returns what Now adds to the machine's clock.
func (w *wall) correction() time.Duration {
	if told := w.told.Load(); told != nil {
		return told.since().Sub(w.machine())
	}
	return 0
}

// heedAgreement notes that most clocks agree with Now, given the offsets of the others, or that there is no other. The
// median alone does not say so: of three clocks that all differ, one is in the middle.
func (w *wall) heedAgreement(offsets []time.Duration, alone bool) {
	if alone || len(offsets) > 0 && most(offsets, w.correction()) {
		w.agreed.Store(newMoment(w.Now()))
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

// sure reports whether Now may decide what cannot be undone: most clocks have agreed with it since the start, and it has
// neither been set nor corrected since.
func (w *wall) sure() bool {
	agreed := w.agreed.Load()
	return agreed != nil && w.Now().Sub(agreed.since()).Abs() <= clockDriftMax
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
// was an hour off is so still when another node goes down, and would stamp, and expire, an hour ahead. Then what was told
// is one voice, and the machine's clock is trusted again if most voices agree with that: it was set right, or the one
// that is left says that those who are gone were wrong.
func (n *Node) heedClocks(offsets []time.Duration) {
	switch c := n.wall.correction(); {
	case len(offsets) >= othersMin:
		n.adjustClock(median(offsets))
	case c != 0 && most(append(offsets, c), 0):
		n.adjustClock(0)
	}
}

func (n *Node) adjustClock(c time.Duration) {
	if c == 0 {
		if n.wall.told.Swap(nil) != nil {
			n.cfg.Logger.Info("this machine's clock is right again")
		}
		return
	}
	n.wall.told.Store(newMoment(n.wall.machine().Add(c)))
	if n.wall.log.ok(time.Now()) {
		n.cfg.Logger.Warn("this machine's clock is off; going by the median of the cluster's until it is set right", "seconds_off", -c.Seconds())
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
