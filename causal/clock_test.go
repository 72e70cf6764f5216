package causal

import (
	"math"
	"sync"
	"testing"
	"time"
)

func fixedAt(ms int64) func() time.Time { return func() time.Time { return time.UnixMilli(ms) } }

func TestClockFollowsTheWallAndNeverStandsStill(t *testing.T) {
	ms := int64(1000)
	c := NewClock(func() time.Time { return time.UnixMilli(ms) }, 0, time.Second)
	var got []Time
	for _, now := range []int64{1000, 1000, 1001, 900} {
		ms = now
		got = append(got, c.Now())
	}
	want := []Time{TimeOf(1000, 0), TimeOf(1000, 1), TimeOf(1001, 0), TimeOf(1001, 1)}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("time %d: %x, want %x", i, got[i], want[i])
		}
	}
	if c.Last() != want[3] {
		t.Errorf("last %x", c.Last())
	}
}

func TestClockStartsAboveItsFloor(t *testing.T) {
	c := NewClock(fixedAt(1000), TimeOf(5000, 3), time.Second)
	if got := c.Now(); got != TimeOf(5000, 4) {
		t.Errorf("got %x", got)
	}
}

func TestFullLogicalCounterCarriesIntoMilliseconds(t *testing.T) {
	c := NewClock(fixedAt(1000), TimeOf(1000, math.MaxUint16), time.Second)
	if got := c.Now(); got != TimeOf(1001, 0) {
		t.Errorf("got %x", got)
	}
}

func TestClockObservesUpToTheDriftBound(t *testing.T) {
	c := NewClock(fixedAt(1000), 0, 500*time.Millisecond)
	if c.Observe(TimeOf(1501, 0)) || c.Last() != 0 {
		t.Error("one millisecond beyond the bound was observed")
	}
	if !c.Observe(TimeOf(1500, 9)) || c.Now() != TimeOf(1500, 10) {
		t.Error("the bound itself was not")
	}
	if !c.Observe(TimeOf(3, 0)) || c.Last() != TimeOf(1500, 10) {
		t.Error("an old time moved the clock")
	}
}

func TestTimeIsHeldWithin48BitsOfMilliseconds(t *testing.T) {
	if TimeOf(-5, 2) != 2 || TimeOf(math.MaxInt64, 0).Millis() != millisMax || TimeOf(77, 9).Millis() != 77 {
		t.Error("wrong")
	}
}

func TestUsedUpClockPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("time began again")
		}
	}()
	NewClock(fixedAt(0), math.MaxUint64, 0).Now()
}

func TestConcurrentTimesAreDistinct(t *testing.T) {
	c := NewClock(fixedAt(1), 0, time.Second)
	var wg sync.WaitGroup
	out := make([][]Time, 4)
	for g := range out {
		wg.Go(func() {
			for i := range 1000 {
				c.Observe(TimeOf(1, uint16(i)))
				out[g] = append(out[g], c.Now())
			}
		})
	}
	wg.Wait()
	seen := map[Time]bool{}
	for _, times := range out {
		for i, x := range times {
			if seen[x] || i > 0 && times[i-1] >= x {
				t.Fatalf("time %x twice, or backwards", x)
			}
			seen[x] = true
		}
	}
}
