package history

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"time"
)

// Register checks a key that SET, SETNX and DEL wrote and GET read where every read quorum meets every write quorum: every
// read must show a write that no acknowledged write followed, in the time that the clients saw, before the read began.
// Concurrent writes may win in any order.
func Register(key string, k Key) (violations []Violation) {
	return register(key, k, func(w Write) bool { return w.End != Never })
}

// Mine checks a key that one client alone wrote, through one node, where quorums need not meet, by reads after healing:
// values are stamped in the order of their writes, so that none shows which an acknowledged one followed, while that one is
// there. A delete may take it and leave the older, which was on the other side of a cut and which it had not met: what a
// delete had met only the nodes know (package journal).
func Mine(key string, k Key) (violations []Violation) {
	return register(key, k, func(w Write) bool { return w.End != Never && w.Value != "" && !deleted(k.Writes, w) })
}

// deleted reports whether a delete may have been carried out after the write.
func deleted(writes []Write, w Write) bool {
	return slices.ContainsFunc(writes, func(d Write) bool { return d.Value == "" && d.End > w.Begin })
}

// register checks that no read shows what was written before a write that counts.
func register(key string, k Key, counts func(Write) bool) (violations []Violation) {
	latest := newestBefore(k.Writes, counts)
	byValue := map[string][]Write{"": {{End: -1}}} // at first there is nothing, and any write follows that
	for _, w := range k.Writes {
		byValue[w.Value] = append(byValue[w.Value], w)
	}
	for _, r := range k.Reads {
		value := strings.Join(r.Values, " and ")
		overwritten := latest(r.Begin)
		shown := func(w Write) bool { return w.Begin <= r.End && w.End >= overwritten }
		if !slices.ContainsFunc(byValue[value], shown) {
			violations = append(violations, violation(wrongBy(value, byValue), "%s: %s read %q at %v, after %v, when what had overwritten it began",
				key, r.By, value, r.Begin, overwritten))
		}
	}
	return violations
}

// wrongBy returns what is wrong with showing the value.
func wrongBy(value string, written map[string][]Write) Kind {
	switch {
	case value == "":
		return Lost
	case written[value] == nil:
		return Invented
	}
	return Back
}

// newestBefore returns a function that tells when the newest of the writes that count and ended before a moment began; -1
// if there is none.
func newestBefore(writes []Write, counts func(Write) bool) func(time.Duration) time.Duration {
	acked := slices.DeleteFunc(slices.Clone(writes), func(w Write) bool { return !counts(w) })
	slices.SortFunc(acked, func(a, b Write) int { return cmp.Compare(a.End, b.End) })
	newest, begin := make([]time.Duration, len(acked)), time.Duration(-1)
	for i, w := range acked {
		begin = max(begin, w.Begin)
		newest[i] = begin
	}
	return func(at time.Duration) time.Duration {
		i := sort.Search(len(acked), func(i int) bool { return acked[i].End >= at })
		if i == 0 {
			return -1
		}
		return newest[i-1]
	}
}

// Sloppy checks a key that SET, SETNX and DEL wrote where both sides of a cut take writes, and GETV read after healing: an
// acknowledged value is gone only if some write may have seen it, that is, one that did not end before it began.
func Sloppy(key string, k Key) (violations []Violation) {
	violations = Shown(key, k)
	for i, w := range k.Writes {
		if w.Value == "" || w.End == Never || followed(k.Writes, i) {
			continue
		}
		for _, r := range k.Reads {
			if r.Begin > w.End && !slices.Contains(r.Values, w.Value) {
				violations = append(violations, violation(Lost, "%s: %s missed %q at %v, acknowledged at %v, and nothing followed it", key, r.By, w.Value, r.Begin, w.End))
			}
		}
	}
	return violations
}

// followed reports whether another write may have been carried out after the one of this index.
func followed(writes []Write, i int) bool {
	for j, w := range writes {
		if j != i && w.End > writes[i].Begin {
			return true
		}
	}
	return false
}

// Shown checks any key: what a read shows was written, and not after the read.
func Shown(key string, k Key) (violations []Violation) {
	begun := make(map[string]time.Duration, len(k.Writes))
	for _, w := range k.Writes {
		begun[w.Value] = w.Begin
	}
	for _, r := range k.Reads {
		for _, v := range r.Values {
			if at, ok := begun[v]; !ok || at > r.End {
				violations = append(violations, violation(Invented, "%s: %s read %q at %v, which was refused, or never written", key, r.By, v, r.Begin))
			}
		}
	}
	return violations
}
