package replica

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/request"
)

// lease is what may be used without asking the disk: numbers of the actor sequence, and the clock's time. What is leased
// is fsynced; after an unclean stop the store goes on above the lease.
type lease struct {
	turn  chan struct{} // held by whoever writes a lease, over the fsync
	want  chan struct{} // the background is asked to extend; full: it was asked already
	mu    sync.Mutex
	next  uint64      // next number of the actor sequence
	end   uint64      // first number that is not leased
	clock causal.Time // high-water mark
}

func newLease() *lease {
	return &lease{turn: make(chan struct{}, 1), want: make(chan struct{}, 1)}
}

func (l *lease) poke() {
	select {
	case l.want <- struct{}{}:
	default: // asked already
	}
}

func (l *lease) take(n uint64) (first uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end-l.next < n {
		return 0, false
	}
	first = l.next
	l.next += n
	if l.end-l.next < ActorLease/2 {
		l.poke()
	}
	return first, true
}

func (l *lease) left() (numbers, end uint64, clock causal.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end - l.next, l.end, l.clock
}

// startLease reads where the last boot's leases ended. With the clean-shutdown mark the clock goes on where it stood.
func (s *Store) startLease(mark []byte) error {
	end, err := s.getNumber(metaActors)
	if err != nil {
		return err
	}
	clock, err := s.getNumber(metaClock)
	if err != nil {
		return err
	}
	if len(mark) == 8 {
		clock = binary.BigEndian.Uint64(mark)
	}
	floor := causal.Time(clock)
	s.clock = causal.NewClock(s.cfg.Now, floor, s.cfg.DriftMax)
	if fault.On(fault.ForgetSequence) {
		end = 0
	}
	s.lease.next, s.lease.end = max(end, 1), max(end, 1)+ActorLease
	s.lease.clock = leasedClock(max(floor, causal.TimeOf(s.cfg.Now().UnixMilli(), 0)))
	return nil
}

func leasedClock(from causal.Time) causal.Time {
	return causal.TimeOf(from.Millis()+clockLease.Milliseconds(), 0)
}

func (s *Store) addLeases(b *pebble.Batch) {
	_ = b.Set(metaKey(metaActors), number(s.lease.end), nil)
	_ = b.Set(metaKey(metaClock), number(uint64(s.lease.clock)), nil)
}

// extendLease leases at least n more numbers of the actor sequence, unless somebody just did.
func (s *Store) extendLease(ctx context.Context, n uint64) error {
	select {
	case s.lease.turn <- struct{}{}:
		defer func() { <-s.lease.turn }()
	case <-ctx.Done():
		return fmt.Errorf("replica: waiting for actors: %w", request.ErrExpired)
	}
	left, end, _ := s.lease.left()
	if left >= n && left >= ActorLease/2 {
		return nil
	}
	end += max(ActorLease, n)
	if err := s.putDurable(metaKey(metaActors), number(end)); err != nil {
		return err
	}
	s.lease.mu.Lock()
	defer s.lease.mu.Unlock()
	s.lease.end = end
	return nil
}

// extendClock leases the clock's time ahead if it moved and what is left runs low. An idle node writes nothing.
func (s *Store) extendClock() error {
	s.lease.turn <- struct{}{}
	defer func() { <-s.lease.turn }()
	_, _, leased := s.lease.left()
	last := s.clock.Last()
	if leased.Millis()-last.Millis() > clockLeaseLow.Milliseconds() {
		return nil
	}
	leased = leasedClock(last)
	if err := s.putDurable(metaKey(metaClock), number(uint64(leased))); err != nil {
		return err
	}
	s.lease.mu.Lock()
	defer s.lease.mu.Unlock()
	s.lease.clock = leased
	return nil
}

// keepLeases extends what runs low, in the background, until ctx ends.
func (s *Store) keepLeases(ctx context.Context) {
	tick := time.NewTicker(leaseEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.lease.want:
		}
		err := errors.Join(s.refillSpare(), s.extendLease(ctx, 1), s.extendClock())
		if err != nil && ctx.Err() == nil {
			s.log.Error("cannot extend the leases of actors and clock", "err", err)
		}
	}
}

// Clock returns the node's hybrid logical clock. It starts above every stamp of earlier boots, as far as their lease
// tells: a boot's own bits make its stamps unique even where an observed time outran the lease.
func (s *Store) Clock() *causal.Clock { return s.clock }

func number(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

func (s *Store) getNumber(name string) (uint64, error) {
	b, err := s.get(metaKey(name))
	if err != nil || b == nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("replica: meta %s: %w", name, request.ErrCorrupt)
	}
	return binary.BigEndian.Uint64(b), nil
}
