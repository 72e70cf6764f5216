package admission

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// open returns a controller on the bubble's clock.
func open(t *testing.T, limit time.Duration) *Controller {
	began := time.Now()
	c := New(Config{Limit: limit, Now: func() time.Duration { return time.Since(began) }})
	c.Open()
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// clients has batches of the class end every few milliseconds, until stop, which joins them.
func clients(c *Controller, class Class, took time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for sleep(ctx, 2*time.Millisecond) == nil {
			c.Observe(class, took)
		}
	})
	return func() { cancel(); wg.Wait() }
}

// admit asks for bytes and returns how long that took.
func admit(t *testing.T, c *Controller, bytes int) time.Duration {
	t.Helper()
	began := time.Now()
	if err := c.Admit(t.Context(), bytes); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

func TestBucketGivesWhatTheRateAllows(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 100 {
		rate := FloorBytes + rng.Int64N(CeilingBytes-FloorBytes)
		var b bucket
		var given int64
		var now time.Duration
		for range 1000 {
			now += time.Duration(rng.Int64N(int64(20 * time.Millisecond)))
			b.fill(now, rate)
			bytes := rng.Int64N(BytesMax)
			wait, ok := b.take(bytes, rate)
			if ok {
				given += bytes
			} else if wait <= 0 || wait > lookEvery {
				t.Fatalf("told to wait %v", wait)
			}
		}
		if most := int64(float64(rate)*now.Seconds()) + rate/burstShare + BytesMax; given > most {
			t.Fatalf("gave %d in %v at %d a second, want at most %d", given, now, rate, most)
		}
	}
}

func TestHardlyAnythingIsSavedUpForLater(t *testing.T) {
	var b bucket
	b.fill(time.Hour, FloorBytes)
	given := int64(0)
	for ; given < FloorBytes; given += FloorBytes / 64 {
		if _, ok := b.take(FloorBytes/64, FloorBytes); !ok {
			break
		}
	}
	if given != FloorBytes/burstShare {
		t.Errorf("gave %d at once after an hour, want a quarter of a second's", given)
	}
}

func TestIdleClusterUsesWhatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, 0)
		var bytes int
		for began := time.Now(); time.Since(began) < 10*time.Second; bytes += BytesMax {
			admit(t, c, BytesMax)
		}
		if bytes < 1<<30 {
			t.Errorf("%d MiB in ten seconds in which nobody else was there", bytes>>20)
		}
		if s := c.Stats(); s.Rate != CeilingBytes || s.Admitted != int64(bytes) || s.Waited == 0 {
			t.Errorf("stats %+v after %d bytes", s, bytes)
		}
		_ = c.Close()
	})
}

// Under a foreground that is never well every piece of work still gets on, within the bound.
func TestWaitsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, time.Millisecond)
		stop := clients(c, Read, 50*time.Millisecond)
		const most = BytesMax/FloorBytes*time.Second + SlotEvery + 2*lookEvery
		began, pieces := time.Now(), 0
		for ; time.Since(began) < 2*time.Minute; pieces++ {
			if took := admit(t, c, 100<<20); took > most { // counted as BytesMax
				t.Fatalf("piece %d waited %v", pieces, took)
			}
		}
		if s := c.Stats(); s.Rate != FloorBytes || s.P99[Read] < 50*time.Millisecond || s.Limit[Read] != time.Millisecond {
			t.Errorf("stats %+v", s)
		}
		if floor := int(time.Since(began).Seconds()) * FloorBytes / BytesMax; pieces < floor {
			t.Errorf("%d pieces, the floor is %d", pieces, floor)
		}
		stop()
		_ = c.Close()
	})
}

func TestLeaveIsGivenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, 0)
		admit(t, c, BytesMax)
		admit(t, c, 1) // waits until the first is paid for
		admit(t, c, BytesMax)
		order := make(chan int, 3)
		for i := range 3 {
			go func() {
				if c.Admit(t.Context(), BytesMax) == nil { // so much that the next has to wait, and cannot overtake on its way to order
					order <- i
				}
			}()
			synctest.Wait()
		}
		for want := range 3 {
			if got := <-order; got != want {
				t.Errorf("%d before %d", got, want)
			}
		}
		_ = c.Close()
	})
}

func TestWhoGivesUpGetsHisCauseAndNobodyIsHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, 0)
		cause := errors.New("closing")
		ctx, cancel := context.WithCancelCause(t.Context())
		admit(t, c, BytesMax)
		gone := make(chan error, 2)
		for range 2 { // one has the turn, one waits for it
			go func() { gone <- c.Admit(ctx, 1) }()
		}
		synctest.Wait()
		cancel(cause)
		for range 2 {
			if err := <-gone; !errors.Is(err, cause) {
				t.Errorf("gave up with %v", err)
			}
		}
		if took := admit(t, c, 1); took > time.Second {
			t.Errorf("the next one waited %v", took)
		}
		_ = c.Close()
	})
}

func TestSecondsAreKeptFreeWhileClientsAreThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, 0)
		stop := clients(c, Write, 2*time.Millisecond)
		time.Sleep(10 * time.Second)
		var longest time.Duration
		for began := time.Now(); time.Since(began) < 30*time.Second; {
			longest = max(longest, admit(t, c, 64<<10))
		}
		if longest < SlotEvery/2 || longest > SlotEvery+2*lookEvery {
			t.Errorf("the longest wait was %v, want about the slot that is kept free", longest)
		}
		stop()
		_ = c.Close()
	})
}

func BenchmarkObserve(b *testing.B) {
	c := New(Config{Now: func() time.Duration { return 0 }})
	for d := time.Duration(0); b.Loop(); d += 977 {
		c.Observe(Write, d&(1<<24-1))
	}
}

func BenchmarkNext(b *testing.B) {
	var p Pace
	rng := newRand()
	s := foreground{batches: 1000, calm: time.Millisecond}.slot(rng, StartBytes, true)
	for b.Loop() {
		p.Next(s)
	}
}

func TestTimeHasItsPrice(t *testing.T) {
	for took, want := range map[time.Duration]int{
		-time.Second: 0, 0: 0, time.Millisecond: SecondBytes / 1000, 100 * time.Millisecond: SecondBytes / 10,
		BytesMax * time.Second / SecondBytes: BytesMax, time.Hour: BytesMax,
	} {
		if got := costOf(took); got != want {
			t.Errorf("%v costs %d, want %d", took, got, want)
		}
	}
}

// work works in slices for some time, several at once, and returns which part of it all together worked.
func work(t *testing.T, c *Controller, workers int, slice, during time.Duration) (share float64) {
	var worked atomic.Int64
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), during)
	defer cancel()
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				time.Sleep(slice)
				worked.Add(int64(slice))
				_ = c.Worked(ctx, slice)
			}
		})
	}
	wg.Wait()
	return float64(worked.Load()) / float64(during)
}

// Over a foreground that is never well, work has an eighth of a processor at most, however it is sliced and by however many, and never
// much less; beside nobody it has all there is.
func TestWorkHasABoundedShareOfTime(t *testing.T) {
	const floor = float64(FloorBytes) / SecondBytes
	for _, slice := range []time.Duration{50 * time.Microsecond, 500 * time.Microsecond, 20 * time.Millisecond, 300 * time.Millisecond} {
		for _, workers := range []int{1, 4} {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, time.Millisecond)
				stop := clients(c, Read, 50*time.Millisecond)
				_ = work(t, c, workers, slice, 20*time.Second) // the rate comes down
				// What each works on credit, and a burst, come on top once.
				const during = time.Minute
				most := floor + float64(workers)*slice.Seconds()/during.Seconds() + 0.005
				if got := work(t, c, workers, slice, during); got > most || got < 0.8*floor {
					t.Errorf("%d workers, slices of %v: %.3f of the time, want %.3f to %.3f", workers, slice, got, 0.8*floor, most)
				}
				stop()
				_ = c.Close()
			})
		}
	}
	synctest.Test(t, func(t *testing.T) {
		c := open(t, 0)
		_ = work(t, c, 2, time.Millisecond, 10*time.Second)
		if got := work(t, c, 2, time.Millisecond, 10*time.Second); got < 1.9 {
			t.Errorf("two workers beside nobody: %.2f of the time", got)
		}
		_ = c.Close()
	})
}
