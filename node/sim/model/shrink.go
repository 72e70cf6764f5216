package model

import "slices"

// Shrink returns the shortest script that it finds which still fails, by delta debugging over the steps (Zeller,
// Hildebrandt: Simplifying and Isolating Failure-Inducing Input, 2002). fails must hold for s. At most runs calls.
func Shrink(s *Script, runs int, fails func(*Script) bool) *Script {
	best := *s
	for chunk := max(1, len(best.Steps)/2); runs > 0; {
		shrunk := false
		for from := 0; from < len(best.Steps) && runs > 0; {
			try := best
			try.Steps = slices.Delete(slices.Clone(best.Steps), from, min(from+chunk, len(best.Steps)))
			runs--
			if fails(&try) {
				best, shrunk = try, true
				continue
			}
			from += chunk
		}
		if chunk == 1 && !shrunk {
			break
		}
		if !shrunk {
			chunk = max(1, chunk/2)
		}
	}
	return &best
}
