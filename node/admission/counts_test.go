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
