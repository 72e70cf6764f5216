package admission

import (
	"math"
	"math/bits"
	"time"
)

// Counts is a histogram of latencies, eight buckets to each doubling: it tells a percentile within an eighth.
type Counts [buckets]uint32

// bucketOf returns the bucket of a latency: 0 for what is quicker than the histogram resolves, the last for what is slower.
func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0)) >> (bucketBits - 3) // the first bucket is below eight
	if n < perOctave {
		return 0
	}
	octave := bits.Len64(n) - 4
	return min(octave*perOctave+int(n>>octave)-perOctave+1, buckets-1)
}

// boundOf returns the latency below which everything in the bucket lies.
func boundOf(bucket int) time.Duration {
	octave, eighth := bucket/perOctave, bucket%perOctave
	return time.Duration(perOctave+eighth) << (octave + bucketBits - 3)
}

// Add counts one latency.
func (c *Counts) Add(d time.Duration) { c[bucketOf(d)]++ }

func (c *Counts) merge(o *Counts) {
	for i, n := range o {
		c[i] += n
	}
}

func (c *Counts) total() (n int) {
	for _, each := range c {
		n += int(each)
	}
	return n
}

// exceeds reports whether more than one in a hundred lie above the limit, and so many more that chance is no likely reason: three
// times the standard deviation. The p99 of a few hundred alone is above that of many every other time.
func (c *Counts) exceeds(limit time.Duration) bool {
	above, total := 0, 0
	for i, n := range c {
		if total += int(n); boundOf(i) > limit {
			above += int(n)
		}
	}
	expected := float64(total) / 100
	return float64(above) > expected+deviations*math.Sqrt(expected)
}

// p99 returns the latency that one in a hundred exceeds, rounded up to its bucket's bound; 0 of nothing.
func (c *Counts) p99() time.Duration {
	beyond := c.total() / 100
	for i := buckets - 1; i >= 0; i-- {
		if beyond -= int(c[i]); beyond < 0 {
			return boundOf(i)
		}
	}
	return 0
}
