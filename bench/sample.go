package main

import (
	"cmp"
	"slices"
	"time"
)

// median returns the middle of the samples by what of returns, the lower one of two. None panics.
func median[S any, T cmp.Ordered](samples []S, of func(S) T) T {
	all := make([]T, len(samples))
	for i, s := range samples {
		all[i] = of(s)
	}
	slices.Sort(all)
	return all[(len(all)-1)/2]
}

// percentile returns the smallest of the sorted latencies that at least the share p of them does not exceed; 0 if there
// is none.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(p*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}
