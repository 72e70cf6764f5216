package replica

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// barrier is a controller that gives no leave until it is opened, and keeps what it was asked for.
type barrier struct {
	open  atomic.Bool
	mu    sync.Mutex
	asked []int
}

func (b *barrier) Admit(ctx context.Context, bytes int) error {
	b.mu.Lock()
	b.asked = append(b.asked, bytes)
	b.mu.Unlock()
	for !b.open.Load() {
		select {
		case <-time.After(100 * time.Millisecond): // in the bubble
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (b *barrier) sum() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, bytes := range b.asked {
		n += bytes
	}
	return n
}

// gated returns a configuration whose background work needs leave, and who gives it.
func gated() (Config, *barrier) {
	cfg, b := memConfig(vfs.NewMem()), &barrier{}
	cfg.Admit = b.Admit
	return cfg, b
}

func TestHintsAndMarksWaitForLeave(t *testing.T) {
	cfg, b := gated()
	cfg.MarkersPerTarget = 2
	inBubble(t, cfg, func(t *testing.T, s *Store) {
		for i := range 5 { // two hints, and a mark for the others: a payment sends all five
			write(t, s, owing(setter(s, fmt.Sprint("{p}", i), "value"), targetA))
		}
		in := newInbox()
		if err := s.StartHandoff(in.handoff()); err != nil {
			t.Fatal(err)
		}
		settle(10 * handoffEvery)
		if len(in.got) > 0 {
			t.Fatalf("%d keys were delivered without leave", len(in.got))
		}
		b.open.Store(true)
		settle(2 * handoffEvery)
		wantHints(t, s, 0, 0, 0)
		if want := (2 + 5) * (pieceBytes + len("value")); b.sum() != want {
			t.Errorf("asked for %d bytes, want %d", b.sum(), want)
		}
	})
}

func TestSweeperWaitsForLeave(t *testing.T) {
	cfg, b := gated()
	inBubble(t, cfg, func(t *testing.T, s *Store) {
		for i := range SweepRowsMax + 1 {
			v := version(s, "v")
			v.ExpireAt = time.Now().Add(time.Second).UnixMilli()
			write(t, s, &request.Write{Key: keyOf(fmt.Sprint(i)), Mint: &put{versions: []causal.Version{v}}})
		}
		settle(time.Second + DriftMaxDefault + 5*sweepEvery)
		if got := s.Stats().Expired; got != 0 {
			t.Fatalf("%d were removed without leave", got)
		}
		b.open.Store(true)
		settle(2 * sweepEvery)
		if got := s.Stats().Expired; got != SweepRowsMax+1 || b.sum() != int(got)*pieceBytes {
			t.Errorf("%d removed for %d bytes", got, b.sum())
		}
	})
}

func TestClosingDoesNotWaitForLeave(t *testing.T) {
	cfg, _ := gated()
	inBubble(t, cfg, func(t *testing.T, s *Store) {
		write(t, s, owing(setter(s, "k", "v"), targetA))
		if err := s.StartHandoff(newInbox().handoff()); err != nil {
			t.Fatal(err)
		}
		settle(2 * handoffEvery)
		began := time.Now()
		if err := s.Close(); err != nil || time.Since(began) > time.Second {
			t.Errorf("closed after %v: %v", time.Since(began), err)
		}
	})
}

func TestWhatWaitedLongForLeaveIsReadOnceMore(t *testing.T) {
	cfg, b := gated()
	inBubble(t, cfg, func(t *testing.T, s *Store) {
		write(t, s, owing(setter(s, "k", "old"), targetA))
		in := newInbox()
		if err := s.StartHandoff(in.handoff()); err != nil {
			t.Fatal(err)
		}
		settle(2 * handoffEvery)
		write(t, s, setter(s, "k", "new"))
		settle(parcelFresh)
		b.open.Store(true)
		settle(2 * handoffEvery)
		wantValues(t, in.got["k"], "new")
	})
}
