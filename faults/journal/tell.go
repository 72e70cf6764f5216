package journal

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/request"
)

// Tell prints the last writes of a key in the order of their decisions, at most so many: who decided them, under which
// dots, how many values they overwrote, and which of those that the copies show. Times are since began.
func (j *Journal) Tell(w io.Writer, key string, copies []Copy, most int, began time.Time) {
	writes, shown := j.sorted(key), shownOf(key, copies)
	for _, m := range writes[max(0, len(writes)-most):] {
		at := time.Unix(0, int64(m.At)).Sub(began).Round(time.Microsecond)
		fmt.Fprintf(w, "%s: at %v %s decided %s\n", key, at, j.nodes[m.Node], j.text(m, shown))
	}
}

// shownOf returns the values of a key that any copy shows.
func shownOf(key string, copies []Copy) (values []string) {
	for _, c := range copies {
		if c.Key == key {
			values = append(values, c.Values...)
		}
	}
	return values
}

// text says what a write was.
func (j *Journal) text(m *write, shown []string) string {
	var parts []string
	for i, id := range m.Ops {
		op := j.ops[id]
		parts = append(parts, fmt.Sprintf("%s, attempt %d, %s", verbs()[op.Verb], m.told[i].Attempt, outcomes()[op.Outcome]))
	}
	for _, x := range m.Delta.Siblings {
		parts = append(parts, fmt.Sprintf("%q under %s", x.Value, dotText(x.Dot)))
	}
	over := j.overwritten(m)
	still := slices.DeleteFunc(slices.Clone(over), func(v string) bool { return !slices.Contains(shown, v) })
	parts = append(parts, fmt.Sprintf("over %d values, of those shown %q", len(over), still))
	if m.Lost {
		parts = append(parts, "not known to be stored")
	}
	return strings.Join(parts, "; ")
}

// overwritten returns the values of the key that a write overwrites wherever they meet.
func (j *Journal) overwritten(m *write) (values []string) {
	for _, other := range j.writes[m.Key] {
		for _, x := range other.Delta.Siblings {
			if other != m && m.Replaces(x) {
				values = append(values, string(x.Value))
			}
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

func dotText(d causal.Dot) string {
	return fmt.Sprintf("%04x.%d:%d", d.Actor.Boot>>48, d.Actor.Seq, d.Counter)
}

func verbs() map[request.Verb]string {
	return map[request.Verb]string{request.Put: "put", request.PutSeen: "put with a context", request.DeleteSeen: "delete with a context",
		request.Delete: "delete", request.Modify: "modify"}
}

func outcomes() map[check.Outcome]string {
	return map[check.Outcome]string{check.Done: "acknowledged", check.Maybe: "not acknowledged"}
}
