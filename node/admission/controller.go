package admission

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a Controller stands on.
type Config struct {
	Limit time.Duration        // see Pace
	Now   func() time.Duration // a monotonic clock
}

// Controller gives leave to one node's background work. Its methods are safe for concurrent use. New allocates, Open starts,
// Close ends.
type Controller struct {
	now  func() time.Duration
	live [Classes][buckets]atomic.Uint32 // of this slot; only ever added to, but for the moment when the slot ends
	turn chan struct{}                   // held by who waits for leave: first come, first served
	mu   struct {
		sync.Mutex
		pace   Pace
		bucket bucket
		slot   Slot // of this slot: what became of background work
	}
	admitted atomic.Int64 // bytes
	waited   atomic.Int64 // nanoseconds

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Stats is what the metrics show.
type Stats struct {
	Rate     int64                  // bytes a second now; 0 in a slot kept free
	Admitted int64                  // bytes so far
	Waited   time.Duration          // by all work together so far
	P99      [Classes]time.Duration // of the last minute, by class; 0: nothing ran
	Limit    [Classes]time.Duration // what counts as well; 0: not known
}

// New allocates.
func New(cfg Config) *Controller {
	c := &Controller{now: cfg.Now, turn: make(chan struct{}, 1), cancel: func() {}}
	c.mu.pace.Limit = cfg.Limit
	c.mu.bucket = bucket{balance: StartBytes / burstShare, at: cfg.Now()}
	return c
}

// Open begins to watch the foreground.
func (c *Controller) Open() {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.wg.Go(func() { c.watch(ctx) })
}

// Close ends what Open started. Who waits for leave waits on, at the last rate, until its own context ends.
func (c *Controller) Close() error {
	c.cancel()
	c.wg.Wait()
	return nil
}

func (c *Controller) watch(ctx context.Context) {
	tick := time.NewTicker(SlotEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.next()
		}
	}
}

// next ends a slot.
func (c *Controller) next() {
	var foreground [Classes]Counts
	for class := range c.live {
		for i := range c.live[class] {
			if c.live[class][i].Load() != 0 {
				foreground[class][i] = c.live[class][i].Swap(0)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.mu.slot
	s.Foreground = foreground
	c.fillLocked() // at the rate that was in force
	c.mu.pace.Next(s)
	// What was given on credit is still at work.
	c.mu.slot = Slot{Worked: c.mu.bucket.balance < 0 && c.mu.pace.Rate() > 0}
}

// Observe takes in how long one batch of the foreground took. It costs an atomic addition.
func (c *Controller) Observe(class Class, took time.Duration) {
	c.live[class][bucketOf(took)].Add(1)
}

// Admit waits until background work may move so many bytes, and returns nil, or the context's cause once that ends. Who works in
// many small pieces asks for many at once, and adds what each costs beside its bytes. A call waits at most about BytesMax/FloorBytes
// seconds, and a slot, for itself and for each that came before.
func (c *Controller) Admit(ctx context.Context, bytes int) error {
	began := c.now()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		wait, ok := c.take(min(int64(max(bytes, 0)), BytesMax))
		if ok {
			c.waited.Add(int64(c.now() - began))
			return nil
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// Worked tells of background work that has just been done, which took so long, and returns when clients leave room for more: nil, or the
// context's cause once that ends. Who works on without a byte on the wire, as in reading and hashing rows, does so in slices and calls it
// after each. It waits as Admit does.
func (c *Controller) Worked(ctx context.Context, took time.Duration) error {
	return c.Admit(ctx, costOf(took))
}

// costOf is what time costs in bytes.
func costOf(took time.Duration) int {
	took = min(max(took, 0), BytesMax*time.Second/SecondBytes)
	return int(took * SecondBytes / time.Second)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Controller) take(bytes int64) (wait time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rate := c.fillLocked()
	wait, ok = c.mu.bucket.take(bytes, rate)
	if ok {
		c.mu.slot.Worked = true
		c.admitted.Add(bytes)
	} else if rate > 0 {
		c.mu.slot.Waited = true
	}
	return wait, ok
}

func (c *Controller) fillLocked() (rate int64) {
	rate = c.mu.pace.Rate()
	c.mu.bucket.fill(c.now(), rate)
	return rate
}

// Stats returns the numbers of this moment.
func (c *Controller) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{Rate: c.mu.pace.Rate(), Admitted: c.admitted.Load(), Waited: time.Duration(c.waited.Load())}
	for class := range Classes {
		s.P99[class], s.Limit[class] = c.mu.pace.P99(class), c.mu.pace.limit(class)
	}
	return s
}
