package whole

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node/sim/check"
)

// Shrink leaves out the faults of a failed run one by one, as long as it still fails within a few tries, and returns the
// last run that failed. What a bubble runs at once runs in no fixed order, so that a script may fail only sometimes.
func Shrink(r *Result, play func(*Script) *Result) *Result {
	for i := 0; i < len(r.Script.Faults); {
		shorter := r.Script.without(i)
		again := r
		for range triesMax {
			if again = play(shorter); len(again.Violations) > 0 {
				break
			}
		}
		if len(again.Violations) > 0 {
			r = again
		} else {
			i++
		}
	}
	return r
}

// Keep writes the script, the violations, the history and the nodes' logs into a folder below dir, and returns its path.
func (r *Result) Keep(dir string) (string, error) {
	to := filepath.Join(dir, fmt.Sprintf("seed-%d", r.Script.Seed))
	if err := os.MkdirAll(to, 0o755); err != nil {
		return "", err
	}
	files := map[string]string{"script": r.Script.String(), "violations": strings.Join(r.Violations, "\n") + "\n", "history": r.History()}
	for i, log := range r.logs {
		files[fmt.Sprintf("node-%d.log", i+1)] = log
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(to, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return to, nil
}

// History is what happened, for people: what clients asked and were answered, what nodes wrote, what they hold.
func (r *Result) History() string {
	var b strings.Builder
	for _, a := range r.asked {
		fmt.Fprintf(&b, "%10s %10s  op %d client %d node %d: %s -> %s\n", moment(a.Begin), moment(a.End), a.ID, a.client, a.Node+1, a.text, a.reply)
	}
	b.WriteString("\nwrites as their coordinators decided them\n")
	for _, m := range r.history.Mints {
		fmt.Fprintf(&b, "%10s  node %d %s of ops %v%s: %s over %s\n", moment(m.At), m.Node+1, m.Key, m.Ops, marks(m), show(m.Delta), show(m.Base))
	}
	b.WriteString("\ncopies at the end\n")
	for _, f := range r.history.Final {
		fmt.Fprintf(&b, "%s node %d: %s\n", f.Key, f.Node+1, show(f.State))
	}
	return b.String()
}

func moment(m check.Moment) string { return time.Duration(m).Truncate(time.Microsecond).String() }

func marks(m *check.Mint) (text string) {
	for mark, set := range map[string]bool{" (retry)": m.Retry, " (dented)": m.Dented, " (lost)": m.Lost} {
		if set {
			text += mark
		}
	}
	return text
}

// show spells a state: its siblings, and all that it has seen.
func show(s causal.State) string {
	var b strings.Builder
	b.WriteString("[")
	for i, x := range s.Siblings {
		if i > 0 {
			b.WriteString(" ")
		}
		fmt.Fprintf(&b, "%q %v stamp %v", x.Value, x.Dot, x.Stamp)
		if x.ExpireAt != 0 {
			fmt.Fprintf(&b, " until %d", x.ExpireAt)
		}
	}
	b.WriteString("] seen ")
	s.Seen.Each(func(a causal.Actor, max uint64) bool {
		fmt.Fprintf(&b, "%v:%d ", a, max)
		return true
	})
	return b.String()
}
