//go:build linux

package e2e

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/holdfastdb/holdfast/faults/history"
)

// violationsMax is how many violations a failed test tells.
const violationsMax = 10

// answered fails the test if a command failed that had to succeed.
func (r *record) answered(t *testing.T) {
	t.Helper()
	if r.failed > 0 {
		t.Errorf("%d commands failed, among them:\n%s", r.failed, strings.Join(r.failures[:min(len(r.failures), failuresMax)], "\n"))
	}
}

// report prints how long commands took, in all and in the window after a fault, apart for those that must succeed whatever
// happens and those that may answer MAYBE, and returns the slowest of the former in the window.
func (r *record) report(t *testing.T, fault, window time.Duration) (slowest time.Duration) {
	t.Helper()
	var sure, once []sample
	for _, s := range r.samples {
		switch {
		case s.at+s.took < fault || s.at > fault+window:
		case mayBeUnsure(s.command):
			once = append(once, s)
		default:
			sure = append(sure, s)
		}
	}
	t.Logf("all:                                 %s", latencies(r.samples))
	t.Logf("GET, SET, ... %8v from the fault: %s", window, latencies(sure))
	t.Logf("INCR, ...     %8v from the fault: %s", window, latencies(once))
	t.Logf("MAYBE: %d, failed: %d", r.unsure, r.failed)
	for _, s := range sure[:min(3, len(sure))] {
		t.Logf("slow: %s began %v after the fault and took %v", s.command, (s.at - fault).Round(time.Millisecond), s.took.Round(time.Millisecond))
	}
	if len(sure) == 0 {
		return 0
	}
	return sure[0].took
}

// latencies sorts the samples, slowest first, and says how they are spread.
func latencies(samples []sample) string {
	slices.SortFunc(samples, func(a, b sample) int { return cmp.Compare(b.took, a.took) })
	n := len(samples)
	if n == 0 {
		return "none"
	}
	return fmt.Sprintf("%d commands, p50 %v, p99 %v, p99.9 %v, max %v", n, samples[n/2].took.Round(10*time.Microsecond),
		samples[n/100].took.Round(10*time.Microsecond), samples[n/1000].took.Round(10*time.Microsecond), samples[0].took.Round(10*time.Microsecond))
}

// verify reads everything through every node, asking so many copies of each key, and checks the whole history. With one copy, a
// single replica that lacks something is seen; that asks for a cluster without hints.
func (r *record) verify(t *testing.T, l *workload, copies int, nodes ...*member) {
	t.Helper()
	r.verifySloppy(t, l, copies, history.Never, nodes...)
}

// verifySloppy is verify where quorums need not meet from a moment on, because a fallback stood in: a read may miss what that keeps, but
// not at the end, when it has brought it home.
func (r *record) verifySloppy(t *testing.T, l *workload, copies int, from time.Duration, nodes ...*member) {
	t.Helper()
	var violations []string
	end := l.now()
	for _, m := range nodes {
		violations = append(violations, r.readAll(t, l, copies, from, m)...)
	}
	reads, writes := 0, 0
	for key, h := range r.registers {
		reads, writes = reads+len(h.Reads), writes+len(h.Writes)
		violations = append(violations, textsOf(history.Register(key, readsWithin(*h, 0, from)))...)
		if from != history.Never {
			violations = append(violations, textsOf(history.Shown(key, *h))...)
			violations = append(violations, textsOf(history.Sloppy(key, readsWithin(*h, end, history.Never)))...)
		}
	}
	for key, h := range r.versions {
		reads, writes = reads+len(h.Reads), writes+len(h.Writes)
		violations = append(violations, textsOf(history.Versions(key, readsWithin(*h, 0, from)))...)
		if from != history.Never {
			violations = append(violations, textsOf(history.Versions(key, readsWithin(*h, end, history.Never)))...)
		}
	}
	t.Logf("checked %d writes and %d reads of %d keys, %d counters, %d appended keys: %d violations", writes, reads,
		len(r.registers)+len(r.versions), len(r.counters), len(r.appends), len(violations))
	if len(violations) > 0 {
		t.Errorf("%d violations, among them:\n%s", len(violations), strings.Join(violations[:min(len(violations), violationsMax)], "\n"))
	}
}

// readsWithin returns the key's history with those reads alone that began within a time.
func readsWithin(k history.Key, from, to time.Duration) history.Key {
	k.Reads = slices.DeleteFunc(slices.Clone(k.Reads), func(r history.Read) bool { return r.Begin < from || r.Begin >= to })
	return k
}

// textsOf returns what the violations say.
func textsOf(violations []history.Violation) (texts []string) {
	for _, v := range violations {
		texts = append(texts, v.Text)
	}
	return texts
}

// readAll reads every key once from one node, adds the reads to the histories, and checks counters and appended keys.
func (r *record) readAll(t *testing.T, l *workload, copies int, sloppy time.Duration, m *member) (violations []string) {
	t.Helper()
	conn := m.client(t)
	must(t, conn, "HOLDFAST", "QUORUM", "R", copies)
	if sloppy == history.Never {
		for key, reply := range fetch(t, conn, "GET", keysOf(r.registers)) {
			saw(r.registers[key], valuesOf(reply), l.now(), l.now(), m.name)
		}
	} else { // values may stand beside each other
		for key, reply := range fetch(t, conn, "GETV", keysOf(r.registers)) {
			_, values := contextOf(reply)
			saw(r.registers[key], values, l.now(), l.now(), m.name)
		}
	}
	for key, reply := range fetch(t, conn, "GETV", keysOf(r.versions)) {
		_, values := contextOf(reply)
		saw(r.versions[key], values, l.now(), l.now(), m.name)
	}
	for key, reply := range fetch(t, conn, "GET", keysOf(r.counters)) {
		violations = append(violations, textsOf(r.counters[key].Check(key+" on "+m.name, integer(reply), false))...)
	}
	for key, reply := range fetch(t, conn, "GET", keysOf(r.appends)) {
		p := r.appends[key]
		violations = append(violations, checkAppends(key+" on "+m.name, strings.Join(valuesOf(reply), ""), p.acked, p.unsure)...)
	}
	return violations
}

func keysOf[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	return keys
}

// integer returns a counter's value; 0 when it is missing.
func integer(reply any) int64 {
	if reply == nil {
		return 0
	}
	n, err := redis.Int64(reply, nil)
	if err != nil {
		return -1
	}
	return n
}

// pipelined is how many commands fetch has on the way at once.
const pipelined = 500

// fetch reads all keys with one command each, and returns the replies by key.
func fetch(t *testing.T, conn redis.Conn, command string, keys []string) map[string]any {
	t.Helper()
	replies := make(map[string]any, len(keys))
	for chunk := range slices.Chunk(keys, pipelined) {
		for _, key := range chunk {
			if err := conn.Send(command, key); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.Flush(); err != nil {
			t.Fatal(err)
		}
		for _, key := range chunk {
			reply, err := conn.Receive()
			if err != nil {
				t.Fatalf("%s %s: %v", command, key, err)
			}
			replies[key] = reply
		}
	}
	return replies
}

// must runs a command that has to succeed.
func must(t *testing.T, conn redis.Conn, command string, args ...any) any {
	t.Helper()
	reply, err := conn.Do(command, args...)
	if err != nil {
		t.Fatalf("%s %v: %v", command, args, err)
	}
	return reply
}
