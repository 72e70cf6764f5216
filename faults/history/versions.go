package history

import (
	"slices"
	"time"
)

// Versions checks a key that PUTCTX and DELCTX wrote and GETV read, by reads whose quorum meets every write quorum, or reads
// after healing. A read must show every value acknowledged before it unless a later write was given a context that covers
// it, and must not show a value that an acknowledged write covered.
func Versions(key string, k Key) (violations []Violation) {
	covered := coversOf(k.Writes)
	violations = Shown(key, k)
	for _, r := range k.Reads {
		for _, v := range r.Values {
			if c, ok := covered[v]; ok && c.acked < r.Begin {
				violations = append(violations, violation(Back, "%s: %s read %q at %v, which was replaced at %v", key, r.By, v, r.Begin, c.acked))
			}
		}
		for _, w := range k.Writes {
			if w.Value == "" || w.End >= r.Begin || slices.Contains(r.Values, w.Value) {
				continue
			}
			if c, ok := covered[w.Value]; !ok || c.begun > r.End {
				violations = append(violations, violation(Lost, "%s: %s missed %q at %v, acknowledged at %v", key, r.By, w.Value, r.Begin, w.End))
			}
		}
	}
	return violations
}

// cover is when a value was first covered by a write: perhaps, and surely.
type cover struct{ begun, acked time.Duration }

// coversOf returns the covers of every value that a context covered.
func coversOf(writes []Write) map[string]cover {
	covered := map[string]cover{}
	for _, w := range writes {
		for _, v := range w.Over {
			c, ok := covered[v]
			if !ok {
				c = cover{w.Begin, w.End}
			}
			covered[v] = cover{min(c.begun, w.Begin), min(c.acked, w.End)}
		}
	}
	return covered
}
