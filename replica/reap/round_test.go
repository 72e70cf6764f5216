package reap

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/ring"
)

func TestRoundGoesThroughItsPhases(t *testing.T) {
	r := NewRound(ids[:2], ids[:3], 3, time.Minute)
	answer := func(phase Phase, at time.Duration, said map[ring.NodeID][]Refusal) {
		t.Helper()
		if r.Phase() != phase || len(r.Asks()) != len(said) {
			t.Fatalf("phase %d asks %v, want phase %d and %d nodes", r.Phase(), r.Asks(), phase, len(said))
		}
		for _, id := range slices.Clone(r.Asks()) {
			r.Answer(id, said[id], at)
			r.Answer(id, said[id], at) // twice is once
		}
	}
	answer(Propose, 1, map[ring.NodeID][]Refusal{ids[0]: {None, None, None}, ids[1]: {None, Lives, None}})
	r.Wait(time.Minute)
	answer(Quiet, 0, nil)
	r.Wait(time.Minute + 1)
	answer(Clear, 2*time.Minute, map[ring.NodeID][]Refusal{ids[0]: {None, None}, ids[1]: {None, None}, ids[2]: {Hinted, None}})
	r.Wait(3*time.Minute - 1)
	answer(Last, 0, nil)
	r.Wait(3 * time.Minute)
	answer(Commit, 0, map[ring.NodeID][]Refusal{ids[0]: {None}, ids[1]: {Changed}})
	if r.Phase() != Over || !slices.Equal(r.Refused(), []Refusal{Hinted, Lives, Changed}) {
		t.Errorf("phase %d, refused %v", r.Phase(), r.Refused())
	}
}

func TestRoundLetsGoWhenNothingIsLeft(t *testing.T) {
	for name, end := range map[string]func(*Round){
		"a member does not answer":  func(r *Round) { r.Lost(ids[1], 0) },
		"all keys live":             func(r *Round) { r.Answer(ids[1], []Refusal{Lives, Differs}, 0) },
		"an answer for another set": func(r *Round) { r.Answer(ids[1], []Refusal{None}, 0) },
		"it is abandoned":           func(r *Round) { r.Abandon(Layout) },
	} {
		r := NewRound(ids[:2], ids[:2], 2, time.Minute)
		if end(r); r.Phase() != Release || !slices.Equal(r.Asks(), ids[:2]) || len(r.Keys()) > 0 {
			t.Errorf("%s: phase %d asks %v about %v", name, r.Phase(), r.Asks(), r.Keys())
		}
		r.Answer(ids[0], nil, 0)
		if r.Lost(ids[1], 0); r.Phase() != Over || len(r.Asks()) > 0 {
			t.Errorf("%s: after letting go phase %d asks %v", name, r.Phase(), r.Asks())
		}
	}
}

func TestCommitThatHasBegunIsNotAbandoned(t *testing.T) {
	for begun, want := range map[bool]Phase{false: Release, true: Commit} {
		r := NewRound(ids[:2], ids[:1], 1, 0)
		for r.Phase() != Commit {
			for _, id := range slices.Clone(r.Asks()) {
				r.Answer(id, []Refusal{None}, 0)
			}
			r.Wait(0)
		}
		if begun {
			r.Answer(ids[0], []Refusal{None}, 0)
		}
		if r.Abandon(Layout); r.Phase() != want {
			t.Errorf("answered: %v, phase %d, want %d", begun, r.Phase(), want)
		}
	}
}

func TestLostCommitIsNoReasonToKeepTheOthers(t *testing.T) {
	r := NewRound(ids[:2], ids[:1], 1, 0)
	for range 2 {
		for _, id := range slices.Clone(r.Asks()) {
			r.Answer(id, []Refusal{None}, 0)
		}
		r.Wait(0)
	}
	r.Lost(ids[0], 0)
	if r.Phase() != Commit || len(r.Keys()) != 1 || !slices.Equal(r.Asks(), ids[1:2]) {
		t.Errorf("phase %d, %d keys, asks %v", r.Phase(), len(r.Keys()), r.Asks())
	}
}

func TestWhenAPrimaryMayForget(t *testing.T) {
	held := Hold{Round: 5, Since: 3, Pauses: 1, At: 100}
	asked, later := Hold{Round: 5, Since: 3}, Hold{Since: 3, Pauses: 1, At: 120}
	for _, c := range []struct {
		what       string
		hold       Hold
		asked, now Hold
		want       Refusal
	}{
		{"as it was held", held, asked, later, None},
		{"after a restart", Hold{}, asked, later, Unknown},
		{"after a restart, asked with the zero round", Hold{}, Hold{Since: 3}, later, Unknown},
		{"another round", held, Hold{Round: 6, Since: 3}, later, Unknown},
		{"too soon", held, asked, Hold{Since: 3, Pauses: 1, At: 119}, Unknown},
		{"the asker goes by another layout", held, Hold{Round: 5, Since: 2}, later, Layout},
		{"the roles have changed", held, asked, Hold{Since: 4, Pauses: 1, At: 120}, Layout},
		{"after a pause", held, asked, Hold{Since: 3, Pauses: 2, At: 120}, Paused},
	} {
		if got := c.hold.MayCommit(c.asked, c.now, 10); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
	for _, c := range []struct {
		what  string
		hold  Hold
		round uint64
		now   time.Duration
		want  Refusal
	}{
		{"nothing is held", Hold{}, 7, 0, None},
		{"the same round again", held, 5, 101, None},
		{"another round", held, 7, 129, Busy},
		{"another round, when that one must be over", held, 7, 130, None},
	} {
		if got := c.hold.MayHold(Hold{Round: c.round}, c.now, 10); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

func TestWhenAMemberIsClear(t *testing.T) {
	good := Site{Layout: true, Steady: 10}
	change := func(f func(*Site)) Site { s := good; f(&s); return s }
	for _, c := range []struct {
		what  string
		site  Site
		found Found
		want  Refusal
	}{
		{"nothing at all", good, Found{}, None},
		{"a primary has the row", change(func(s *Site) { s.Primary = true }), Found{Row: true}, None},
		{"a former owner has the row", good, Found{Row: true}, Leftover},
		{"a hint", change(func(s *Site) { s.Primary = true }), Found{Row: true, Hint: true}, Hinted},
		{"the partition is owed", change(func(s *Site) { s.Owed = true }), Found{}, Hinted},
		{"hints wait to be stored", change(func(s *Site) { s.Due = true }), Found{}, Due},
		{"rows are on their way here", change(func(s *Site) { s.Pulling = true }), Found{}, Pulling},
		{"another layout", change(func(s *Site) { s.Layout = false }), Found{}, Layout},
		{"it has stood still", change(func(s *Site) { s.Steady = 9 }), Found{}, Paused},
	} {
		if got := c.site.Clear(c.found, 10); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

func TestEveryRefusalHasAName(t *testing.T) {
	if len(names) != int(Refusals) {
		t.Fatalf("%d names for %d refusals", len(names), Refusals)
	}
}
