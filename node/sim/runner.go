// Package sim runs simulated clusters by the seed, over all cores: simulator (a) of package model, whose failures it
// shrinks to the shortest script that it finds. Whole nodes are simulated by package whole.
package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/node/sim/model"
)

// shrinkRunsMax bounds the search for a shorter script.
const shrinkRunsMax = 3000

// Runner runs a range of seeds.
type Runner struct {
	First   uint64
	Seeds   int
	Faults  []string // kinds to choose from; nil: all
	Workers int
}

// Failure is one broken run.
type Failure struct {
	Seed       uint64
	Violations []check.Violation // of the shortest script
	Script     *model.Script
}

// String returns the failure with its script.
func (f *Failure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\n", f.Seed)
	for _, v := range f.Violations {
		fmt.Fprintln(&b, v)
	}
	fmt.Fprintf(&b, "shortest script:\n%s", f.Script)
	return b.String()
}

// Report is what a Runner went through.
type Report struct {
	Seeds   int
	Counts  model.Counts
	Failure *Failure // of the lowest seed that failed; nil: none
	Took    time.Duration
}

// String ends with the summary in one line.
func (r *Report) String() string {
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(r.Counts.Faults)) {
		fmt.Fprintf(&b, "%-10s %d\n", kind, r.Counts.Faults[kind])
	}
	verdict := "no violation"
	if r.Failure != nil {
		verdict = fmt.Sprintf("FAILED at seed %d", r.Failure.Seed)
	}
	fmt.Fprintf(&b, "%d seeds, %.1f simulated hours, %d faults, %d operations checked, %.0f seeds a second: %s\n", r.Seeds,
		r.Counts.Virtual.Hours(), r.faults(), r.Counts.Operations, float64(r.Seeds)/r.Took.Seconds(), verdict)
	return b.String()
}

func (r *Report) faults() (n int) {
	for _, each := range r.Counts.Faults {
		n += each
	}
	return n
}

// Violations runs a script and returns the invariants that it broke.
func Violations(s *model.Script) []check.Violation {
	h, _ := model.Run(s)
	return check.All(h)
}

// Run runs the seeds and stops at the first failure, which it shrinks.
func (r Runner) Run() *Report {
	began := time.Now()
	s := &score{report: &Report{Counts: model.Counts{Faults: map[string]int{}}}}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range max(1, r.Workers) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(r.Seeds) && !s.broken.Load(); i = next.Add(1) - 1 {
				seed := r.First + uint64(i)
				h, counts := model.Run(model.Generate(seed, r.Faults))
				s.add(seed, counts, len(check.All(h)) > 0)
			}
		})
	}
	wg.Wait()
	s.report.Took = time.Since(began)
	if s.broken.Load() {
		s.report.Failure = shrink(s.failed, model.Generate(s.failed, r.Faults))
	}
	return s.report
}

// score is what the workers share.
type score struct {
	mu     sync.Mutex
	report *Report
	failed uint64 // the lowest seed that failed, if any did
	broken atomic.Bool
}

func (s *score) add(seed uint64, counts model.Counts, bad bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Seeds++
	s.report.Counts.Add(counts)
	if bad && (!s.broken.Load() || seed < s.failed) {
		s.failed = seed
		s.broken.Store(true)
	}
}

// shrink looks for the shortest script that breaks the same invariant as the first one broken.
func shrink(seed uint64, s *model.Script) *Failure {
	first := Violations(s)[0]
	short := model.Shrink(s, shrinkRunsMax, func(s *model.Script) bool {
		return slices.ContainsFunc(Violations(s), func(v check.Violation) bool { return v.Name == first.Name })
	})
	return &Failure{Seed: seed, Violations: Violations(short), Script: short}
}
