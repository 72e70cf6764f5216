package replica

import (
	"context"
	"sync/atomic"
	"time"
)

// space watches the free disk space. Below the reserve, writes and hints are refused, while reads, deletes and handoff
// go on: they are what makes room.
type space struct {
	free    func() (uint64, error)
	reserve uint64
	seen    atomic.Uint64 // free bytes when last looked
	written atomic.Uint64 // bytes committed since
	failed  atomic.Bool   // the last look failed; its age is not held against anyone
}

func (s *Store) openSpace() *space {
	sp := &space{free: s.cfg.FreeBytes, reserve: s.cfg.ReserveBytes}
	if sp.free == nil {
		sp.free = s.statfs
	}
	if sp.reserve == 0 {
		sp.reserve = s.defaultReserve()
	}
	sp.look()
	return sp
}

func (s *Store) statfs() (uint64, error) {
	usage, err := s.cfg.FS.GetDiskUsage(s.cfg.Dir)
	return usage.AvailBytes, err
}

func (s *Store) defaultReserve() uint64 {
	usage, err := s.cfg.FS.GetDiskUsage(s.cfg.Dir)
	if err != nil {
		return ReserveBytesMin
	}
	return reserveOf(usage.TotalBytes)
}

// reserveOf returns 5 % of the disk, at least ReserveBytesMin and at most ReserveBytesMax.
func reserveOf(total uint64) uint64 {
	return min(max(total/100*reservePercent, ReserveBytesMin), ReserveBytesMax)
}

// look asks for the free space. A disk that cannot say (one in memory) counts as never full.
func (sp *space) look() {
	sp.written.Store(0)
	free, err := sp.free()
	sp.failed.Store(err != nil)
	if err == nil {
		sp.seen.Store(free)
	}
}

// low reports whether only the reserve is left, counting what was written since the last look.
func (sp *space) low() bool {
	return !sp.failed.Load() && sp.seen.Load() < sp.reserve+sp.written.Load()
}

// CheckSpace looks at the free disk space now, and reports whether writes and data hints are refused for want of it.
func (s *Store) CheckSpace() (low bool) {
	s.space.look()
	return s.space.low()
}

func (s *Store) watchSpace(ctx context.Context) {
	was := false
	every(ctx, spaceEvery, func() {
		if low := s.CheckSpace(); low != was {
			was = low
			s.log.Warn("disk space", "low", low, "free_bytes", s.space.seen.Load(), "reserve_bytes", s.space.reserve)
		}
	})
}

// every calls act each period until ctx ends.
func every(ctx context.Context, period time.Duration, act func()) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			act()
		}
	}
}
