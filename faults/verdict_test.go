//go:build linux

package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/coordinator"
	"github.com/holdfastdb/holdfast/faults/history"
	"github.com/holdfastdb/holdfast/faults/journal"
	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/request"
)

// ended returns a run of three or five nodes in which nothing was wrong: each set of keys has one key, which one client wrote
// and which every node shows at the end.
func ended(nodes int) (record, *final, *nemesis) {
	done, f := newRecord(), newFinal()
	for _, keys := range []map[string]*history.Key{done.own, done.shared, done.versions} {
		name := []string{"own", "shared", "version"}[len(f.values)]
		keys[name] = &history.Key{Writes: []history.Write{{Value: "a", Begin: 1, End: 2}, {Value: "b", Begin: 3, End: 4, Over: []string{"a"}}},
			Reads: []history.Read{{Values: []string{"a"}, Begin: 2, End: 3, By: "node-1"}}}
		f.show(name, "b")
	}
	done.counters["counter"] = &history.Counter{Answers: []int64{1, 2}}
	f.show("counter", "2")
	done.acked = 8
	done.answers = []sample{{time.Second, time.Millisecond}}
	return done, f, quietNemesis(nodes, 1)
}

func (f *final) show(key string, values ...string) {
	k := &history.Key{Reads: []history.Read{{Values: values, Begin: time.Minute, End: time.Minute, By: "node-1 at the end"}}}
	f.values[key], f.plain[key] = k, k
}

// overwrite lets a node write down that it stored the value and deleted it, and show it at the end.
func (f *final) overwrite(t *testing.T, key, value string) {
	var out bytes.Buffer
	j, err := node.NewJournal(&out, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	set := &request.Op{Verb: request.Put, Key: request.Key{Name: []byte(key)}, Stamp: causal.Stamp{Time: 1, Node: 1}}
	del := &request.Op{Verb: request.Delete, Key: set.Key, Stamp: causal.Stamp{Time: 2, Node: 1}}
	stored := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 1, Seq: 1}, []causal.Version{{Stamp: set.Stamp, Value: []byte(value)}}, nil)
	for op, delta := range map[*request.Op]causal.State{set: stored, del: stored.Put(stored.Seen, causal.Actor{}, nil, nil)} {
		j.Deciding(op.Key, coordinator.Minted{Ops: []*request.Op{op}}, delta)
		j.Minted(op.Key, coordinator.Minted{Ops: []*request.Op{op}}, delta, nil)
	}
	j.Answered([]*request.Op{set, del})
	if err := f.journal.Read("node-1", &out); err != nil {
		t.Fatal(err)
	}
	f.copies = []journal.Copy{{Node: "node-1", Key: key, Seen: stored.Seen, Values: []string{value}}}
}

func TestEveryCheckerFindsItsViolation(t *testing.T) {
	for _, c := range []struct {
		name, checker string
		nodes         int
		spoil         func(*record, *final, *nemesis)
	}{
		{"nothing wrong", "", 3, func(*record, *final, *nemesis) {}},
		{"nothing wrong, sloppy quorums", "", 5, func(*record, *final, *nemesis) {}},
		{"a register is empty", checkLost, 3, func(_ *record, f *final, _ *nemesis) { f.show("shared") }},
		{"a register of one client is empty", checkLost, 5, func(_ *record, f *final, _ *nemesis) { f.show("own") }},
		{"a sibling is gone", checkLost, 5, func(_ *record, f *final, _ *nemesis) { f.show("version") }},
		{"an overwritten value during the run", checkBack, 3, func(r *record, _ *final, _ *nemesis) {
			r.shared["shared"].Reads = append(r.shared["shared"].Reads, history.Read{Values: []string{"a"}, Begin: 5, End: 6})
		}},
		{"a covered value", checkBack, 5, func(_ *record, f *final, _ *nemesis) { f.show("version", "a", "b") }},
		{"a refused value", checkInvented, 5, func(r *record, _ *final, _ *nemesis) {
			r.own["own"].Reads = append(r.own["own"].Reads, history.Read{Values: []string{"refused"}, Begin: 5, End: 6})
		}},
		{"a value that a node overwrote", checkOverwritten, 5, func(_ *record, f *final, _ *nemesis) { f.overwrite(t, "own", "b") }},
		{"an increment is gone", checkCounters, 3, func(_ *record, f *final, _ *nemesis) { f.show("counter", "1") }},
		{"copies differ", checkConverged, 3, func(_ *record, f *final, _ *nemesis) { f.unequal = []string{"own ..."} }},
		{"a late answer", checkAnswers, 3, func(r *record, _ *final, n *nemesis) {
			n.episodes = []*episode{{kind: kind{name: "cut"}, victims: []int{1}, end: time.Minute}}
			r.odd = []oddity{{outcome: ok, server: 1, end: answerMax + 1}}
		}},
		{"a late answer of a node that was stopped", "", 3, func(r *record, _ *final, n *nemesis) {
			n.episodes = []*episode{{kind: kind{name: "stop", silent: true}, victims: []int{1}, end: time.Minute}}
			r.odd = []oddity{{outcome: ok, server: 1, end: answerMax + 1}}
		}},
		{"an answer that is no promise", checkAnswers, 3, func(r *record, _ *final, _ *nemesis) { r.odd = []oddity{{outcome: wrong}} }},
		{"a refusal in a calm", checkCalm, 3, func(r *record, _ *final, _ *nemesis) { r.odd = []oddity{{outcome: noQuorum}} }},
		{"a node is gone", checkAlive, 3, func(_ *record, _ *final, n *nemesis) { n.ended = []string{"node-1"} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			done, f, n := ended(c.nodes)
			c.spoil(&done, f, n)
			v := judge(done, f, n, n.cluster)
			var found []string
			for _, x := range v.violations {
				found = append(found, x.checker)
			}
			if c.checker == "" && len(found) > 0 || c.checker != "" && !slices.Contains(found, c.checker) {
				t.Errorf("found %q in %v, want %q", found, v.violations, c.checker)
			}
		})
	}
}

func TestTheSummaryIsTheLastLine(t *testing.T) {
	done, f, n := ended(3)
	v := judge(done, f, n, n.cluster)
	v.broken(errors.New("hints are left"))
	var out bytes.Buffer
	v.print(&out, options{seed: 7, nodes: 3}, time.Minute)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "faults: seed 7: 3 nodes, 0 faults") || !strings.Contains(last, "1 violations") {
		t.Errorf("the last line is %q", last)
	}
}

func TestOutcomesAreReadOffTheAnswer(t *testing.T) {
	for _, c := range []struct {
		err  error
		want outcome
	}{
		{nil, ok}, {errors.New("EOF"), lost}, {redis.Error("NOQUORUM 'set' was not executed"), noQuorum}, {redis.Error("MAYBE ..."), maybe},
		{redis.Error("TRYAGAIN ..."), tryAgain}, {redis.Error("TOOBIG ..."), tooBig}, {redis.Error("ERR internal error"), wrong},
	} {
		if got := outcomeOf(c.err); got != c.want {
			t.Errorf("%v is %s, want %s", c.err, got, c.want)
		}
	}
}
