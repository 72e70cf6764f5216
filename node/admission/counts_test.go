package admission

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestEveryLatencyLiesInItsBucket(t *testing.T) {
	for d := time.Nanosecond; d < boundOf(buckets-1); d = d*17/16 + 1 {
		b := bucketOf(d)
		if d >= boundOf(b) || b > 0 && d < boundOf(b-1) {
			t.Fatalf("%v is in bucket %d, which ends at %v", d, b, boundOf(b))
		}
	}
	for d, want := range map[time.Duration]int{-1: 0, 0: 0, boundOf(0) - 1: 0, boundOf(0): 1, boundOf(buckets-1) - 1: buckets - 1, time.Hour: buckets - 1} {
		if got := bucketOf(d); got != want {
			t.Errorf("%v is in bucket %d, want %d", d, got, want)
		}
	}
}

func TestPercentileIsRightWithinABucket(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		n := 1 + rng.IntN(3000)
		var c Counts
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = time.Duration(rng.ExpFloat64() * float64(2*time.Millisecond))
			c.Add(all[i])
		}
		slices.Sort(all)
		exact := all[n-1-n/100]
		if got := c.p99(); got < exact || bucketOf(got-1) != bucketOf(exact) {
			t.Fatalf("p99 of %d: %v, want the bound above %v", n, got, exact)
		}
	}
	if got := new(Counts).p99(); got != 0 {
		t.Errorf("p99 of nothing: %v", got)
	}
}

func TestFewSlowOnesAmongFewAreChance(t *testing.T) {
	const limit = 10 * time.Millisecond
	for _, c := range []struct {
		quick, slow int
		want        bool
	}{
		{0, 0, false}, {100, 0, false}, {99, 1, false}, {96, 4, false}, {95, 5, true}, {50, 50, true},
		{9_900, 100, false}, {9_871, 129, false}, {9_869, 131, true},
	} {
		var counts Counts
		for range c.quick {
			counts.Add(time.Millisecond)
		}
		for range c.slow {
			counts.Add(20 * time.Millisecond)
		}
		if got := counts.exceeds(limit); got != c.want {
			t.Errorf("%d slow of %d: %v", c.slow, c.slow+c.quick, got)
		}
	}
}

// Where nothing changes, hardly a second is taken for a bad one; where one in twenty is slow, hardly one is missed.
func TestChanceIsNotTakenForHarm(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	took := func(slow float64) time.Duration {
		if rng.Float64() < slow {
			return 20 * time.Millisecond
		}
		return time.Millisecond
	}
	for _, n := range []int{100, 300, 1000} {
		alarms, missed := 0, 0
		for range 1000 {
			var calm, harmed Counts
			for range n {
				calm.Add(took(0.01))
				harmed.Add(took(0.10))
			}
			if calm.exceeds(10 * time.Millisecond) {
				alarms++
			}
			if !harmed.exceeds(10 * time.Millisecond) {
				missed++
			}
		}
		if alarms > 15 || missed > 60 {
			t.Errorf("of 1000 seconds of %d batches %d were taken for bad that were not, and %d bad ones missed", n, alarms, missed)
		}
	}
}
