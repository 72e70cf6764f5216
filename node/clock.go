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
	alone   bool                   // agreed is this node's word, which was the only member; for watchClocks
	log     limiter
}

// A moment is one instant by two clocks.
type moment struct {
	wall   time.Time // without a monotonic reading
	steady time.Time // with a monotonic reading
}

// at returns what the wall clock shows at another moment by the monotonic one if nobody sets it.
func (m *moment) at(steady time.Time) time.Time { return m.wall.Add(steady.Sub(m.steady)) }

// Now returns the wall time to go by. While the machine's clock is wrong, that is counted from what the others told, by
// the monotonic clock: when the machine's is set, right or more wrong, it stays true.
func (w *wall) Now() time.Time {
	if told := w.told.Load(); told != nil {
		return told.at(time.Now())
	}
	return w.machine()
}

// look returns what the machine's clock shows.
func (w *wall) look() *moment { return &moment{w.machine().Round(0), time.Now()} }

// correction returns what Now adds to the machine's clock.
func (w *wall) correction() time.Duration { return w.correctionTo(w.look()) }

func (w *wall) correctionTo(machine *moment) time.Duration {
	if told := w.told.Load(); told != nil {
		return told.at(machine.steady).Sub(machine.wall)
	}
	return 0
}

// heedAgreement notes that most clocks of the cluster agree with Now, or that there is no other. The offsets are of those that
// were heard, from the machine's at the moment looked, others is how many there are. The median alone does not say so: of three clocks that all
// differ, one is in the middle.
func (w *wall) heedAgreement(looked *moment, offsets []time.Duration, others int) {
	correction := w.correctionTo(looked)
	switch {
	case most(offsets, correction, others):
		w.agreed.Store(&moment{looked.wall.Add(correction), looked.steady})
		w.alone = others == 0
	case w.alone: // its word was enough while it was
		w.agreed.Store(nil)
	}
}

// most reports whether more than half of all clocks, our own included, are within the drift bound of the correction. Most of those
// that were heard would not do: they may be the few that are wrong alike.
func most(offsets []time.Duration, correction time.Duration, others int) bool {
	agree := 0
	for _, clock := range append([]time.Duration{0}, offsets...) {
		if (clock - correction).Abs() <= clockDriftMax {
			agree++
		}
	}
	return 2*agree > 1+others
}

// sure reports whether Now may decide what cannot be undone: most clocks have agreed with it since the start, and it has
// neither been set nor corrected since.
func (w *wall) sure() bool {
	agreed := w.agreed.Load()
	return agreed != nil && w.Now().Sub(agreed.at(time.Now())).Abs() <= clockDriftMax
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
		looked := n.wall.look()
		offsets := n.clockOffsets(ctx, looked)
		others, founded := n.otherMembers()
		n.heedClocks(looked, offsets, others)
		if founded {
			n.wall.heedAgreement(looked, offsets, others)
		}
	}
}

// heedClocks goes by the others' clocks if enough of them were told. A correction outlives those who told it: a clock that
// was an hour off is so still when another node goes down, and would stamp, and expire, an hour ahead; and the few that are left may be
// wrong like it. The machine's clock is trusted again when it was set right, whoever is left, or when most members' agree
// with it, but not because those who called it wrong were removed.
func (n *Node) heedClocks(looked *moment, offsets []time.Duration, others int) {
	if m := median(offsets); m != 0 {
		n.adjustClock(looked, m)
	} else if n.wall.correctionTo(looked).Abs() <= clockDriftMax || others > 0 && most(offsets, 0, others) {
		n.adjustClock(looked, 0)
	}
}

// adjustClock goes by the machine's clock as it was when looked at, and c more.
func (n *Node) adjustClock(looked *moment, c time.Duration) {
	if c == 0 {
		if n.wall.told.Swap(nil) != nil {
			n.cfg.Logger.Info("this machine's clock is right again")
		}
		return
	}
	n.wall.told.Store(&moment{looked.wall.Add(c), looked.steady})
	if n.wall.log.ok(time.Now()) {
		n.cfg.Logger.Warn("this machine's clock is off; going by the median of the cluster's until it is set right", "seconds_off", -c.Seconds())
	}
}

// clockOffsets asks every node in reach for its machine's time, and returns how far that is from this machine's as it was when
// looked at, whoever sets it meanwhile.
func (n *Node) clockOffsets(ctx context.Context, looked *moment) []time.Duration {
	return collect(n, ctx, controlPatience, func(ctx context.Context, id ring.NodeID) (time.Duration, error) {
		sent := time.Now()
		b, err := n.control(ctx, id, controlClock, nil)
		if err != nil {
			return 0, err
		}
		if len(b) != 8 {
			return 0, request.ErrInternal
		}
		theirs := time.Unix(0, int64(binary.BigEndian.Uint64(b)))
		return theirs.Sub(looked.at(sent.Add(time.Since(sent) / 2))), nil
	})
}

// otherMembers returns how many members there are beside this node, in reach or not, and whether there is a cluster yet.
func (n *Node) otherMembers() (others int, founded bool) {
	members := n.members.State().Members
	for _, m := range members {
		if m.ID != n.id && m.Status != ring.Removed {
			others++
		}
	}
	return others, len(members) > 0
}
