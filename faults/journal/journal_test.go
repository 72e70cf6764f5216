package journal

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/coordinator"
	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/request"
)

// scribe is two nodes that keep a journal.
type scribe struct {
	t   *testing.T
	now int64
	out [2]bytes.Buffer
	j   [2]*node.Journal
}

func newScribe(t *testing.T) *scribe {
	s := &scribe{t: t}
	for i := range s.j {
		s.start(i)
	}
	return s
}

// start begins a life of a node.
func (s *scribe) start(i int) {
	j, err := node.NewJournal(&s.out[i], func() time.Time { s.now++; return time.Unix(0, s.now) })
	if err != nil {
		s.t.Fatal(err)
	}
	s.j[i] = j
}

// actor is under whom a node mints.
func actor(i int) causal.Actor { return causal.Actor{Boot: uint64(i + 1), Seq: 1} }

// write lets a node write over a state, and returns what it added. No value deletes. It forgets all stamps too early, so that
// nothing but its operation tells a twin.
func (s *scribe) write(i int, stamp int64, over causal.State, value string) causal.State {
	op := &request.Op{Verb: request.Delete, Key: request.Key{Name: []byte("k")}, Stamp: causal.Stamp{Time: causal.Time(stamp), Node: 9}}
	var versions []causal.Version
	if value != "" {
		op.Verb = request.Put
		versions = []causal.Version{{Stamp: op.Stamp, Value: []byte(value)}}
	}
	settled := func(causal.Stamp) bool { return true }
	delta := over.Put(over.Context(settled), actor(i), versions, settled)
	s.j[i].Deciding(op.Key, coordinator.Minted{Ops: []*request.Op{op}}, delta)
	s.j[i].Minted(op.Key, coordinator.Minted{Ops: []*request.Op{op}}, delta, nil)
	return delta
}

// decide lets a node decide a write and be killed before it says whether it was stored.
func (s *scribe) decide(i int, stamp int64, over causal.State, value string) causal.State {
	before := s.out[i].Len()
	delta := s.write(i, stamp, over, value)
	lines := bytes.SplitAfter(s.out[i].Bytes()[before:], []byte("\n"))
	s.out[i].Truncate(before + len(lines[0]))
	return delta
}

// answer lets a node answer the operation of a stamp.
func (s *scribe) answer(i int, stamp int64, err error) {
	s.j[i].Answered([]*request.Op{{Verb: request.Put, Key: request.Key{Name: []byte("k")}, Stamp: causal.Stamp{Time: causal.Time(stamp), Node: 9},
		Result: request.Result{Err: err}}})
}

func (s *scribe) journal() *Journal {
	j := New()
	for i, name := range []string{"one", "two"} {
		if err := j.Read(name, &s.out[i]); err != nil {
			s.t.Fatal(err)
		}
	}
	return j
}

// show is what a node shows at the end: values, under all dots of states.
func show(values []string, met ...causal.State) Copy {
	c := Copy{Node: "one", Key: "k", Values: values}
	for _, s := range met {
		c.Seen = c.Seen.Join(s.Seen)
	}
	return c
}

func TestWhatANodeOverwroteMustNotShow(t *testing.T) {
	none := causal.State{}
	for _, c := range []struct {
		name, want string // want: the checker
		looked     int
		play       func(s *scribe) Copy
	}{
		{"the value that overwrote", "", 1, func(s *scribe) Copy {
			a := s.write(0, 1, none, "a")
			b := s.write(0, 2, a, "b")
			s.answer(0, 2, nil)
			return show([]string{"b"}, a, b)
		}},
		{"an overwritten value", Back, 2, func(s *scribe) Copy {
			a := s.write(0, 1, none, "a")
			b := s.write(1, 2, a, "b")
			s.answer(1, 2, nil)
			return show([]string{"b", "a"}, a, b)
		}},
		{"an older value, after a delete that had met only the newer", "", 1, func(s *scribe) Copy {
			a := s.write(0, 1, none, "a")
			b := s.write(1, 2, none, "b")
			d := s.write(1, 3, b, "")
			s.answer(1, 3, nil)
			return show([]string{"a"}, a, b, d)
		}},
		{"an older value, after a delete that had met it", Back, 1, func(s *scribe) Copy {
			a := s.write(0, 1, none, "a")
			b := s.write(1, 2, none, "b")
			d := s.write(1, 3, causal.Sync(a, b), "")
			s.answer(1, 3, nil)
			return show([]string{"a"}, a, b, d)
		}},
		{"the twin of an overwritten value", Back, 2, func(s *scribe) Copy {
			twin, a := s.write(0, 1, none, "a"), s.write(1, 1, none, "a")
			d := s.write(1, 2, a, "")
			s.answer(1, 2, nil)
			return show([]string{"a"}, twin, d)
		}},
		{"overwritten without an acknowledgement", "", 1, func(s *scribe) Copy {
			a := s.write(0, 1, none, "a")
			s.write(1, 2, a, "b")
			s.answer(1, 2, errors.New("MAYBE"))
			return show([]string{"a"}, a)
		}},
		{"a dot minted twice", Dots, 1, func(s *scribe) Copy {
			s.write(0, 1, none, "a")
			return show([]string{"b"}, s.write(0, 2, none, "b"))
		}},
		{"a value that is missing", Lost, 1, func(s *scribe) Copy {
			a, b := s.write(0, 1, none, "a"), s.write(1, 2, none, "b")
			s.answer(0, 1, nil)
			return show([]string{"b"}, a, b)
		}},
		{"a value that is missing and was not acknowledged", "", 1, func(s *scribe) Copy {
			a, b := s.write(0, 1, none, "a"), s.write(1, 2, none, "b")
			return show([]string{"b"}, a, b)
		}},
		{"a value that a node overwrote before it was killed", "", 1, func(s *scribe) Copy {
			a := s.write(0, 1, none, "a")
			b := s.decide(1, 2, a, "b")
			s.answer(0, 1, nil)
			return show([]string{"b"}, a, b)
		}},
		{"a value that a killed node meant to overwrite", "", 1, func(s *scribe) Copy {
			a := s.write(0, 1, none, "a")
			s.decide(1, 2, a, "b")
			s.answer(1, 2, nil)
			return show([]string{"a"}, a)
		}},
		{"a dot of a write that was refused", "", 1, func(s *scribe) Copy {
			s.decide(0, 1, none, "a")
			return show([]string{"b"}, s.write(0, 2, none, "b"))
		}},
		{"a value of one attempt, shown once beside its twin", "", 2, func(s *scribe) Copy {
			a, twin := s.write(0, 1, none, "a"), s.write(1, 1, none, "a")
			s.answer(0, 1, nil)
			return show([]string{"a"}, a, twin)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScribe(t)
			shown := c.play(s)
			found, looked := s.journal().Check([]Copy{shown})
			if looked != c.looked {
				t.Errorf("looked at %d values, want %d", looked, c.looked)
			}
			if c.want == "" && len(found) > 0 || c.want != "" && (!all(found, c.want)) {
				t.Errorf("found %v, want %q", found, c.want)
			}
		})
	}
}

// all reports whether there are violations, all of one checker.
func all(found []check.Violation, name string) bool {
	return len(found) > 0 && !slices.ContainsFunc(found, func(v check.Violation) bool { return v.Name != name })
}

func TestALineIsTornOnlyWhereALifeEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		next func(s *scribe)
		torn bool
	}{
		{"at the end", func(*scribe) {}, false},
		{"before the next life", func(s *scribe) { s.start(0); s.answer(0, 2, nil) }, false},
		{"within a life", func(s *scribe) { s.out[0].WriteString("\n"); s.answer(0, 2, nil) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScribe(t)
			s.answer(0, 1, nil)
			s.out[0].WriteString(`{"At":3,"Ke`)
			c.next(s)
			if err := New().Read("one", &s.out[0]); (err != nil) != c.torn {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTheTellingNamesWhatWasOverwrittenOfWhatIsShown(t *testing.T) {
	s := newScribe(t)
	a := s.write(0, 1, causal.State{}, "a")
	b := s.write(1, 2, a, "b")
	s.answer(1, 2, nil)
	var out bytes.Buffer
	s.journal().Tell(&out, "k", []Copy{show([]string{"a"}, a, b)}, 1, time.Unix(0, 0))
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `two decided put, attempt 0, acknowledged; "b" under`) ||
		!strings.Contains(got, `of those shown ["a"]`) {
		t.Error(got)
	}
}

type brokenDisk struct{}

func (brokenDisk) Write(p []byte) (int, error) {
	if len(p) > 2 {
		return 0, errors.New("no space")
	}
	return len(p), nil
}

func TestAJournalThatIsNotWholeEndsItsNode(t *testing.T) {
	j, err := node.NewJournal(brokenDisk{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("the line is lost, and nobody knows")
		}
	}()
	j.Answered([]*request.Op{{Verb: request.Put}})
}

func TestWritesThatHaveNotSeenEachOtherAreAFork(t *testing.T) {
	for _, chain := range []bool{true, false} {
		s := newScribe(t)
		first := s.write(0, 1, causal.State{}, "1")
		second := s.write(1, 2, first, "2")
		if !chain {
			second = first
		}
		s.write(0, 3, second, "2 or 3")
		if j := s.journal(); j.Forked("k") == chain || j.Forked("other") {
			t.Errorf("a chain: %v; forked: %v, and another key %v", chain, j.Forked("k"), j.Forked("other"))
		}
	}
}
