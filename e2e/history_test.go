//go:build linux

package e2e

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
)

// never is the end of a write that was not acknowledged: it may take effect at any time after it began.
const never = time.Duration(math.MaxInt64)

// write is one write of a key. Values are unique, so that a value tells which write it is from.
type write struct {
	value      string // empty: a delete
	begin, end time.Duration
	over       []string // of PUTCTX and DELCTX: the values that the context covered
}

// read is what one read of a key showed: the values of GETV, or the one of GET; none when the key is missing.
type read struct {
	values     []string
	begin, end time.Duration
	by         string // who read
}

// history is what was done to one key, in no order.
type history struct {
	writes []write
	reads  []read
}

// checkRegister checks a key that SET, SETNX and DEL wrote and GET read: every read must show a write that no acknowledged
// write followed, in the time that the clients saw, before the read began. Concurrent writes may win in any order.
func checkRegister(key string, h history) (violations []string) {
	latest := newestBefore(h.writes)
	byValue := map[string][]write{"": {{end: -1}}} // at first there is nothing, and any write follows that
	for _, w := range h.writes {
		byValue[w.value] = append(byValue[w.value], w)
	}
	for _, r := range h.reads {
		value := strings.Join(r.values, " and ")
		overwritten := latest(r.begin)
		shown := func(w write) bool { return w.begin <= r.end && w.end >= overwritten }
		if !slices.ContainsFunc(byValue[value], shown) {
			violations = append(violations, fmt.Sprintf("%s: %s read %q at %v, which was overwritten by what began at %v, or never written",
				key, r.by, value, r.begin, overwritten))
		}
	}
	return violations
}

// newestBefore returns a function that tells when the newest of the writes that were acknowledged before a moment began; -1
// if there is none.
func newestBefore(writes []write) func(time.Duration) time.Duration {
	acked := slices.DeleteFunc(slices.Clone(writes), func(w write) bool { return w.end == never })
	slices.SortFunc(acked, func(a, b write) int { return int(a.end - b.end) })
	newest, begin := make([]time.Duration, len(acked)), time.Duration(-1)
	for i, w := range acked {
		begin = max(begin, w.begin)
		newest[i] = begin
	}
	return func(at time.Duration) time.Duration {
		i := sort.Search(len(acked), func(i int) bool { return acked[i].end >= at })
		if i == 0 {
			return -1
		}
		return newest[i-1]
	}
}

// checkVersions checks a key that PUTCTX and DELCTX wrote and GETV read. A read must show every value acknowledged before it
// unless a later write was given a context that covers it, and must not show a value that an acknowledged write covered.
func checkVersions(key string, h history) (violations []string) {
	written, covered := map[string]bool{}, map[string]cover{}
	for _, w := range h.writes {
		written[w.value] = true
		for _, v := range w.over {
			covered[v] = covered[v].and(w)
		}
	}
	for _, r := range h.reads {
		for _, v := range r.values {
			if c, ok := covered[v]; !written[v] || ok && c.acked < r.begin {
				violations = append(violations, fmt.Sprintf("%s: %s read %q at %v, which was replaced by %v, or never written", key, r.by, v, r.begin, c.acked))
			}
		}
		for _, w := range h.writes {
			if w.value == "" || w.end >= r.begin || slices.Contains(r.values, w.value) {
				continue
			}
			if c, ok := covered[w.value]; !ok || c.begun > r.end {
				violations = append(violations, fmt.Sprintf("%s: %s missed %q at %v, acknowledged at %v", key, r.by, w.value, r.begin, w.end))
			}
		}
	}
	return violations
}

// cover is when a value was first covered by a write: perhaps, and surely.
type cover struct{ begun, acked time.Duration }

func (c cover) and(w write) cover {
	if c == (cover{}) {
		return cover{w.begin, w.end}
	}
	return cover{min(c.begun, w.begin), min(c.acked, w.end)}
}

// checkAppends checks what APPEND made: every acknowledged piece once, every unsure one at most once, nothing else.
func checkAppends(key, value string, acked, unsure []string) (violations []string) {
	count := map[string]int{}
	for _, piece := range strings.SplitAfter(value, ";") {
		count[piece]++
	}
	delete(count, "")
	for _, piece := range acked {
		if count[piece] != 1 {
			violations = append(violations, fmt.Sprintf("%s: %q is there %d times", key, piece, count[piece]))
		}
		delete(count, piece)
	}
	for piece, n := range count {
		if n != 1 || !slices.Contains(unsure, piece) {
			violations = append(violations, fmt.Sprintf("%s: %q is there %d times, and was not acknowledged", key, piece, n))
		}
	}
	return violations
}

func TestCheckersSeeBrokenHistories(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	set := func(v string, begin, end int, over ...string) write { return write{v, ms(begin), ms(end), over} }
	unsure := func(v string, begin int) write { return write{v, ms(begin), never, nil} }
	get := func(begin, end int, v ...string) read { return read{v, ms(begin), ms(end), "x"} }
	for _, c := range []struct {
		name   string
		check  func(string, history) []string
		writes []write
		read   read
		broken bool
	}{
		{"the last write", checkRegister, []write{set("a", 1, 2), set("b", 3, 4)}, get(5, 6, "b"), false},
		{"an overwritten value", checkRegister, []write{set("a", 1, 2), set("b", 3, 4)}, get(5, 6, "a"), true},
		{"concurrent writes: the first", checkRegister, []write{set("a", 1, 4), set("b", 2, 3)}, get(5, 6, "a"), false},
		{"a write under way", checkRegister, []write{set("a", 1, 2), set("b", 3, 9)}, get(5, 6, "a"), false},
		{"a write that may have failed", checkRegister, []write{set("a", 1, 2), unsure("b", 3)}, get(5, 6, "b"), false},
		{"a deleted value", checkRegister, []write{set("a", 1, 2), set("", 3, 4)}, get(5, 6, "a"), true},
		{"a missing value", checkRegister, []write{set("a", 1, 2)}, get(5, 6), true},
		{"a value from the future", checkRegister, []write{set("a", 7, 8)}, get(5, 6, "a"), true},
		{"a key not written yet", checkRegister, []write{set("a", 5, 8)}, get(5, 6), false},
		{"a value nobody wrote", checkRegister, nil, get(5, 6, "a"), true},
		{"two blind puts", checkVersions, []write{set("a", 1, 2), set("b", 3, 4)}, get(5, 6, "a", "b"), false},
		{"a lost sibling", checkVersions, []write{set("a", 1, 2), set("b", 3, 4)}, get(5, 6, "b"), true},
		{"a replaced value", checkVersions, []write{set("a", 1, 2), set("b", 3, 4, "a")}, get(5, 6, "b"), false},
		{"a replaced value that is back", checkVersions, []write{set("a", 1, 2), set("b", 3, 4, "a")}, get(5, 6, "a", "b"), true},
		{"a value being replaced", checkVersions, []write{set("a", 1, 2), set("b", 3, 7, "a")}, get(5, 6, "b"), false},
		{"a value replaced by one that is lost", checkVersions, []write{set("a", 1, 2), set("b", 3, 4, "a")}, get(5, 6), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.check("k", history{c.writes, []read{c.read}}); (len(got) > 0) != c.broken {
				t.Errorf("got %q", got)
			}
		})
	}
	for value, broken := range map[string]bool{"a;b;": false, "a;b;c;": false, "a;": true, "a;b;b;": true, "a;b;c;c;": true, "a;b;d;": true} {
		if got := checkAppends("k", value, []string{"a;", "b;"}, []string{"c;"}); (len(got) > 0) != broken {
			t.Errorf("%s: got %q", value, got)
		}
	}
}
