//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/faults/history"
	"github.com/holdfastdb/holdfast/faults/journal"
)

// verdict is what a run showed.
type verdict struct {
	done       record
	final      *final
	nemesis    *nemesis
	strict     bool // every read quorum meets every write quorum
	violations []finding
	checked    map[string]int // things looked at, by checker
	forks      int            // increments by two coordinators at once
}

// finding is one violation and the checker that found it.
type finding struct{ checker, text string }

// The checkers, in the order of the report.
const (
	checkLost        = "acknowledged writes lost"
	checkBack        = "overwritten values back"
	checkInvented    = "refused or invented values"
	checkOverwritten = "values that a node had overwritten"
	checkDots        = "dots minted twice"
	checkCounters    = "counters miscounted"
	checkConverged   = "keys whose copies differ"
	checkAnswers     = "commands answered late or falsely"
	checkCalm        = "commands failed in a calm"
	checkAlive       = "nodes that ended by themselves"
	checkSettled     = "runs that did not settle"
)

func checkers() []string {
	return []string{checkLost, checkBack, checkInvented, checkOverwritten, checkDots, checkCounters, checkConverged, checkAnswers, checkCalm, checkAlive, checkSettled}
}

// judge checks all that the clients did and saw.
func judge(done record, f *final, n *nemesis, c *cluster) *verdict {
	v := &verdict{done: done, final: f, nemesis: n, strict: len(c.servers) <= copies, checked: map[string]int{}}
	v.registers()
	v.versions()
	v.journals()
	v.counters()
	v.answers()
	v.checked[checkLost], v.checked[checkAlive], v.checked[checkSettled] = done.acked, len(c.servers), 1
	v.checked[checkConverged] = len(done.keys())
	for _, key := range f.unequal {
		v.find(checkConverged, key)
	}
	for _, text := range n.ended {
		v.find(checkAlive, text)
	}
	return v
}

func (v *verdict) find(checker, text string) {
	v.violations = append(v.violations, finding{checker, text})
}

// broken adds what kept the run from its end.
func (v *verdict) broken(err error) {
	if err != nil {
		v.find(checkSettled, err.Error())
	}
}

// add sorts violations of a history by checker.
func (v *verdict) add(found []history.Violation) {
	checker := map[history.Kind]string{history.Lost: checkLost, history.Back: checkBack, history.Invented: checkInvented, history.Miscounted: checkCounters}
	for _, x := range found {
		v.find(checker[x.Kind], x.Text)
	}
}

// look counts the reads of a key that are checked.
func (v *verdict) look(k history.Key) history.Key {
	v.checked[checkBack] += len(k.Reads)
	v.checked[checkInvented] += len(k.Reads)
	return k
}

// with returns the key's writes with these reads.
func with(k history.Key, reads ...*history.Key) history.Key {
	k.Reads = nil
	for _, r := range reads {
		if r != nil {
			k.Reads = append(k.Reads, r.Reads...)
		}
	}
	return k
}

// registers checks the keys of SET, SETNX and DEL. With sloppy quorums a read in a partition may miss what is beyond it: only
// what is read at the end must be right.
func (v *verdict) registers() {
	for _, keys := range []map[string]*history.Key{v.done.own, v.done.shared} {
		for key, k := range keys {
			if v.strict {
				v.add(history.Register(key, v.look(with(*k, k, v.final.plain[key]))))
				continue
			}
			v.add(history.Shown(key, v.look(*k)))
		}
	}
	for key, k := range v.done.own {
		v.add(history.Mine(key, v.look(with(*k, v.final.plain[key]))))
	}
	for _, keys := range []map[string]*history.Key{v.done.own, v.done.shared} {
		for key, k := range keys {
			v.add(history.Sloppy(key, v.look(with(*k, v.final.values[key]))))
		}
	}
}

// versions checks the keys of PUTCTX and DELCTX.
func (v *verdict) versions() {
	for key, k := range v.done.versions {
		if v.strict {
			v.add(history.Versions(key, v.look(with(*k, k, v.final.values[key]))))
			continue
		}
		v.add(history.Shown(key, v.look(*k)))
		v.add(history.Versions(key, v.look(with(*k, v.final.values[key]))))
	}
}

// journals checks what every node shows at the end against what the nodes wrote down.
func (v *verdict) journals() {
	found, looked := v.final.journal.Check(v.final.copies)
	v.checked[checkOverwritten], v.checked[checkDots] = looked, v.final.journal.Len()
	checker := map[string]string{journal.Lost: checkLost, journal.Back: checkOverwritten, journal.Dots: checkDots}
	for _, x := range found {
		v.find(checker[x.Name], x.Text)
	}
}

func (v *verdict) counters() {
	for key, c := range v.done.counters {
		v.checked[checkCounters]++
		v.forks += c.Forks()
		if v.final.plain[key] == nil {
			continue // the run did not settle
		}
		for _, r := range v.final.plain[key].Reads {
			n, _ := strconv.ParseInt(strings.Join(append(r.Values, ""), ""), 10, 64) // a missing counter is 0
			v.add(c.Check(key+" at "+r.By, n, v.final.journal.Forked(key)))
		}
	}
}

// answers checks that answers came in time and were of a kind that may be, and that nothing failed while nothing was wrong.
func (v *verdict) answers() {
	v.checked[checkAnswers] = len(v.done.answers) + v.done.outcomes[lost]
	for _, a := range v.done.answers {
		if v.nemesis.calm(a.begin, a.begin+a.took) {
			v.checked[checkCalm]++
		}
	}
	for _, o := range v.done.odd {
		excused := v.nemesis.excuses(o.server, o.begin, o.end)
		switch {
		case o.outcome == wrong, !excused && o.end-o.begin > answerMax, !excused && o.outcome == lost:
			v.find(checkAnswers, o.String())
		case o.outcome != ok && o.outcome != tooBig && v.nemesis.calm(o.begin, o.end):
			v.find(checkCalm, o.String())
		}
	}
}

func (o oddity) String() string {
	return fmt.Sprintf("%s at %s from %v to %v: %s", o.command, netOf(o.server), o.begin.Round(time.Millisecond), o.end.Round(time.Millisecond), o.text)
}

// print reports, the summary last.
func (v *verdict) print(w io.Writer, o options, took time.Duration) {
	fmt.Fprintf(w, "faults: %s; %d nodes ended on a full disk\n", v.faults(), v.nemesis.ends)
	total := 0
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(v.done.outcomes)) {
		total += v.done.outcomes[k]
		parts = append(parts, fmt.Sprintf("%s %d", k, v.done.outcomes[k]))
	}
	fmt.Fprintf(w, "operations: %d: %s\n", total, strings.Join(parts, ", "))
	fmt.Fprintf(w, "latency: %s\n", latencies(v.done.answers))
	fmt.Fprintf(w, "at the end: no hints after %v; %d of %d keys differed then, none after %v more; %d increments by two coordinators at once\n",
		v.final.hintsTook.Round(time.Millisecond), v.final.first, len(v.done.keys()), v.final.stableIn.Round(time.Millisecond), v.forks)
	count := map[string]int{}
	for _, f := range v.violations {
		count[f.checker]++
	}
	for _, c := range checkers() {
		fmt.Fprintf(w, "%-35s %6d of %d\n", c, count[c], v.checked[c])
	}
	for _, f := range v.violations[:min(len(v.violations), ViolationsMax)] {
		fmt.Fprintf(w, "violation: %s: %s\n", f.checker, f.text)
	}
	if len(v.violations) > 0 {
		v.explain(w)
	}
	fmt.Fprintf(w, "faults: seed %d: %d nodes, %d faults, %d operations, %d acknowledged writes, %d lost, %d back, %d violations in %v\n", o.seed, o.nodes,
		len(v.nemesis.episodes), total, v.done.acked, count[checkLost], count[checkBack]+count[checkOverwritten], len(v.violations), took.Round(time.Second))
}

// explain tells what was done to the first key that a violation names.
func (v *verdict) explain(w io.Writer) {
	for _, f := range v.violations {
		key, _, _ := strings.Cut(f.text, ": ")
		for _, keys := range []map[string]*history.Key{v.done.own, v.done.shared, v.done.versions} {
			if k := keys[key]; k != nil {
				tellKey(w, key, k)
				v.final.journal.Tell(w, key, v.final.copies, toldMax, v.final.epoch)
				return
			}
		}
	}
}

// tellKey prints a key's last writes in the order of their begins.
func tellKey(w io.Writer, key string, k *history.Key) {
	all := slices.Concat(k.Writes, k.Refused)
	slices.SortFunc(all, func(a, b history.Write) int { return cmp.Compare(a.Begin, b.Begin) })
	for _, x := range all[max(0, len(all)-toldMax):] {
		what := "acknowledged at " + x.End.String()
		if x.End == history.Never {
			what = "never acknowledged"
		} else if slices.ContainsFunc(k.Refused, func(r history.Write) bool { return r.Begin == x.Begin && r.Value == x.Value }) {
			what = "refused at " + x.End.String()
		}
		fmt.Fprintf(w, "%s: at %v %q over %q, %s\n", key, x.Begin, x.Value, x.Over, what)
	}
}

// faults counts the faults by kind, in the menu's order.
func (v *verdict) faults() string {
	var parts []string
	for _, k := range v.nemesis.menu {
		n := 0
		for _, e := range v.nemesis.episodes {
			if e.name == k.name {
				n++
			}
		}
		parts = append(parts, fmt.Sprintf("%s %d", k.name, n))
	}
	return strings.Join(parts, ", ")
}

// latencies sorts, quickest first, and says how the answers are spread.
func latencies(answers []sample) string {
	slices.SortFunc(answers, func(a, b sample) int { return cmp.Compare(a.took, b.took) })
	n := len(answers)
	if n == 0 {
		return "none"
	}
	return fmt.Sprintf("p50 %v, p99 %v, max %v", answers[n/2].took.Round(10*time.Microsecond), answers[n-1-n/100].took.Round(10*time.Microsecond),
		answers[n-1].took.Round(time.Millisecond))
}
