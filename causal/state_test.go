package causal

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// values returns the siblings' values, newest first.
func values(s State) string {
	var out []string
	for _, x := range s.Siblings {
		out = append(out, string(x.Value))
	}
	return strings.Join(out, " ")
}

// clockOf writes a context as the paper writes a vector clock.
func clockOf(c Context, names map[Actor]string) string {
	var out []string
	c.Each(func(a Actor, n uint64) bool {
		out = append(out, fmt.Sprintf("(%s,%d)", names[a], n))
		return true
	})
	return "[" + strings.Join(out, ",") + "]"
}

func at(ms int64, value string) []Version {
	return []Version{{Stamp: Stamp{TimeOf(ms, 0), 99}, Value: []byte(value)}}
}

// store is what a replica does with a put: it returns its new state and the delta that the others get.
func store(s State, seen Context, a Actor, vs []Version) (State, State) {
	d := s.Put(seen, a, vs, nil)
	return Sync(s, d), d
}

// Dynamo (SOSP 2007), Figure 3: the version evolution of an object over time.
func TestPaperFigure3(t *testing.T) {
	sx, sy, sz := Actor{1, 1}, Actor{2, 1}, Actor{3, 1}
	names := map[Actor]string{sx: "Sx", sy: "Sy", sz: "Sz"}
	d1, _ := store(State{}, Context{}, sx, at(1, "D1"))
	d2, _ := store(d1, d1.Context(nil), sx, at(2, "D2"))
	d3, _ := store(d2, d2.Context(nil), sy, at(3, "D3")) // Sy and Sz both start from D2
	d4, _ := store(d2, d2.Context(nil), sz, at(4, "D4"))
	both := Sync(d3, d4)
	d5, _ := store(both, both.Context(nil), sx, at(5, "D5"))
	for _, c := range []struct {
		name  string
		state State
		clock string
		shows string
	}{
		{"D1 is written by Sx", d1, "[(Sx,1)]", "D1"},
		{"D2 overwrites D1", d2, "[(Sx,2)]", "D2"},
		{"D3 is written by Sy", d3, "[(Sx,2),(Sy,1)]", "D3"},
		{"D4 is written by Sz", d4, "[(Sx,2),(Sz,1)]", "D4"},
		{"a node with D1 that receives D2 drops D1", Sync(d1, d2), "[(Sx,2)]", "D2"},
		{"a node with D3 that receives D4 keeps both", both, "[(Sx,2),(Sy,1),(Sz,1)]", "D4 D3"},
		{"the reader reconciles, and Sx writes D5", d5, "[(Sx,3),(Sy,1),(Sz,1)]", "D5"},
		{"D5 subsumes D3", Sync(d3, d5), "[(Sx,3),(Sy,1),(Sz,1)]", "D5"},
		{"D5 subsumes D4", Sync(d5, d4), "[(Sx,3),(Sy,1),(Sz,1)]", "D5"},
	} {
		if clock := clockOf(c.state.Seen, names); clock != c.clock || values(c.state) != c.shows {
			t.Errorf("%s: %s shows %s, want %s shows %s", c.name, clock, values(c.state), c.clock, c.shows)
		}
	}
}

func TestContextOfAPutCoversNothingThatItsClientWasNotShown(t *testing.T) {
	a := Actor{1, 1}
	s, _ := store(State{}, Context{}, a, at(1, "x"))
	s, y := store(s, Context{}, a, at(2, "y"))
	s, _ = store(s, y.Context(nil), a, at(3, "z"))
	if values(s) != "z x" {
		t.Errorf("blind x, blind y giving c, put with c: %s, want z x", values(s))
	}
}

// Two clients that read, change and write in turns never hold more siblings than there are writers.
func TestInterleavedClientsDoNotGrowSiblings(t *testing.T) {
	a := Actor{1, 1}
	s := State{}
	var seen [2]Context
	for i := range 1000 {
		s, _ = store(s, seen[i%2], a, at(int64(i), fmt.Sprint(i)))
		seen[i%2] = s.Context(nil)
		if len(s.Siblings) > 2 {
			t.Fatalf("put %d: %d siblings", i, len(s.Siblings))
		}
	}
}

// The doomstone: a fallback holds an old tombstone of a key that was reaped and written anew.
func TestRecreatedKeySurvivesAnOldTombstoneOnlyUnderANewActor(t *testing.T) {
	old, fresh := Actor{1, 1}, Actor{1, 2}
	s, _ := store(State{}, Context{}, old, at(1, "old"))
	tombstone, _ := store(s, s.Context(nil), Actor{}, nil)
	if !tombstone.Tombstone() || tombstone.IsZero() || tombstone.Digest() != 0 {
		t.Fatalf("not a tombstone: %+v", tombstone)
	}
	anew, _ := store(State{}, Context{}, fresh, at(2, "new"))
	if got := values(Sync(anew, tombstone)); got != "new" {
		t.Errorf("under a new actor: %q", got)
	}
	doomed, _ := store(State{}, Context{}, old, at(2, "new"))
	if got := values(Sync(doomed, tombstone)); got != "" {
		t.Errorf("under the old actor the tombstone should have covered it: %q", got)
	}
}

// A node lost the write that it had sent on, and writes again: only a new actor keeps both.
func TestWriteAfterALossIsASiblingOfTheLostOne(t *testing.T) {
	first, reboot := Actor{1, 1}, Actor{4, 1}
	base, _ := store(State{}, Context{}, first, at(1, "v1"))
	peer, _ := store(base, base.Context(nil), first, at(2, "v2")) // known to the peer alone
	back, _ := store(base, base.Context(nil), reboot, at(3, "v3"))
	if got := values(Sync(peer, back)); got != "v3 v2" {
		t.Errorf("got %q", got)
	}
}

// Holding some state is not enough to go on under one's actor: it may be an older copy of what one has forgotten.
func TestNodeThatForgotAndWasGivenAnOlderCopyNeedsANewActor(t *testing.T) {
	a, fresh := Actor{1, 1}, Actor{1, 2}
	older, _ := store(State{}, Context{}, a, at(1, "v1"))
	newer, _ := store(older, older.Context(nil), a, at(2, "v2")) // handed off to one node; another gives back older
	reused, _ := store(older, older.Context(nil), a, at(3, "v3"))
	renewed, _ := store(older, older.Context(nil), fresh, at(3, "v3"))
	if reused.Siblings[0].Dot != newer.Siblings[0].Dot {
		t.Error("the danger that this test is about is gone")
	}
	if got := values(Sync(newer, renewed)); got != "v3 v2" {
		t.Errorf("under a new actor: %q", got)
	}
}

func TestLateHintMergesAndNeverOverwrites(t *testing.T) {
	a, b := Actor{1, 1}, Actor{2, 1}
	s, hint := store(State{}, Context{}, a, at(1, "old"))
	s, _ = store(s, s.Context(nil), b, at(2, "new"))
	if got := values(Sync(s, hint)); got != "new" {
		t.Errorf("an overwritten value came back: %q", got)
	}
	_, other := store(State{}, Context{}, Actor{3, 1}, at(0, "kept"))
	if got := values(Sync(s, other)); got != "new kept" {
		t.Errorf("got %q", got)
	}
}

func TestTwinsFallTogether(t *testing.T) {
	a, b, c := Actor{1, 1}, Actor{2, 1}, Actor{3, 1}
	v := at(1, "v")
	atA, fromA := store(State{}, Context{}, a, v)
	atB, _ := store(State{}, Context{}, b, v) // retried after a lost reply
	overwritten, _ := store(atA, atA.Context(nil), a, at(2, "w"))
	deleted, _ := store(atB, atB.Context(nil), Actor{}, nil)
	elsewhere, _ := store(State{}, fromA.Context(nil), c, at(2, "w")) // its node never met either twin
	expired, _ := (State{atA.Seen, []Sibling{{atA.Siblings[0].Dot, Version{v[0].Stamp, 5, 0, v[0].Value}}}}).Expire(5, nil)
	for _, x := range []struct {
		name string
		a, b State
		want string
	}{
		{"both live: both are siblings", atA, atB, "v v"},
		{"one overwritten: the other does not come back", overwritten, atB, "w"},
		{"one deleted: the other does not come back", deleted, atA, ""},
		{"one overwritten by a context, unmet: the other does not come back", elsewhere, atB, "w"},
		{"one expired: the other goes by its own expiry", expired, atB, "v"},
	} {
		if got := values(Sync(x.a, x.b)); got != x.want || values(Sync(x.b, x.a)) != x.want {
			t.Errorf("%s: got %q, want %q", x.name, got, x.want)
		}
	}
}

// The retry may be executed by the very node where the client's bytes arrived.
func TestTwinMintedWhereItsBytesArrivedIsRememberedToo(t *testing.T) {
	home, other := Actor{99, 1}, Actor{2, 1}
	first, _ := store(State{}, Context{}, other, at(1, "v"))
	retried, _ := store(State{}, Context{}, home, at(1, "v"))
	retried, _ = store(retried, retried.Context(nil), home, at(2, "w"))
	if got := values(Sync(first, retried)); got != "w" {
		t.Errorf("got %q, want w", got)
	}
}

func TestPutRemembersOnlyWhatIsNotSettled(t *testing.T) {
	a := Actor{1, 1}
	s, _ := store(State{}, Context{}, a, at(1, "v"))
	stamp := s.Siblings[0].Stamp
	settled := func(t Stamp) bool { return t == stamp }
	for _, c := range []struct {
		name    string
		delta   State
		remembs bool
	}{
		{"overwritten", s.Put(s.Seen, a, at(2, "w"), nil), true},
		{"overwritten, settled", s.Put(s.Seen, a, at(2, "w"), settled), false},
		{"overwritten, settled, and named by the client", s.Put(s.Context(nil), a, at(2, "w"), settled), false},
		{"not covered", s.Put(Context{}, a, at(2, "w"), nil), false},
		{"rewritten", s.Put(s.Seen, a, at(1, "w"), nil), false},
		{"rewritten, and named by the client", s.Put(s.Context(nil), a, at(1, "w"), nil), false},
		{"deleted", s.Put(s.Seen, Actor{}, nil, nil), true},
	} {
		if got := c.delta.Seen.HasStamp(stamp); got != c.remembs {
			t.Errorf("%s: remembered %v, want %v", c.name, got, c.remembs)
		}
	}
	if s.Context(settled).HasStamp(stamp) || !s.Context(nil).HasStamp(stamp) {
		t.Error("a reader's context must name what is not settled, and only that")
	}
}

func TestPutOfSeveralVersionsMintsOneDotEach(t *testing.T) {
	a := Actor{1, 1}
	s, _ := store(State{}, Context{}, a, at(1, "x"))
	s, _ = store(s, Context{}, a, at(2, "y"))
	s, d := store(s, s.Seen, a, []Version{s.Siblings[1].Version, s.Siblings[0].Version})
	if values(s) != "y x" || len(d.Siblings) != 2 || s.Seen.Max(a) != 4 || !d.Seen.Covers(s.Seen) {
		t.Errorf("got %+v", s)
	}
}

// A context that knows more of an actor than the state must not swallow the new value.
func TestPutNeverMintsADotThatItsContextCovers(t *testing.T) {
	a := Actor{1, 1}
	s, _ := store(State{}, Context{}, a, at(1, "x"))
	s, d := store(s, Context{}.Add(Dot{a, 7}), a, at(2, "y"))
	if values(s) != "y x" || d.Siblings[0].Dot.Counter != 8 {
		t.Errorf("got %+v", s)
	}
}

func TestExpireDropsWhatIsDueAndKeepsItsDots(t *testing.T) {
	a := Actor{1, 1}
	vs := []Version{{Stamp{1, 1}, 10, 0, []byte("due")}, {Stamp{2, 1}, 11, 0, []byte("later")}, {Stamp{3, 1}, 0, 0, []byte("never")}}
	s, _ := store(State{}, Context{}, a, vs)
	if _, changed := s.Expire(9, nil); changed {
		t.Error("expired before its time")
	}
	got, changed := s.Expire(10, nil)
	if !changed || values(got) != "never later" || !got.Seen.Covers(s.Seen) {
		t.Errorf("got %+v, %v", got, changed)
	}
	if values(Sync(s, got)) != "never later" {
		t.Error("another replica brought it back")
	}
}

// A replica that missed an EXPIRE sweeps the value by its old expiry; the others acknowledged the new one.
func TestExpireSparesWhatWasGivenALaterExpiryElsewhere(t *testing.T) {
	a := Actor{1, 1}
	v := Version{Stamp: Stamp{1, 1}, ExpireAt: 10, Value: []byte("v")}
	s, _ := store(State{}, Context{}, a, []Version{v})
	v.ExpireAt = 100
	extended, _ := store(s, s.Context(nil), a, []Version{v})
	swept, _ := s.Expire(10, nil)
	if got := values(Sync(swept, extended)); got != "v" {
		t.Errorf("got %q, want the value with its new expiry", got)
	}
}

func TestWinnerIsHighestStampThenHighestDot(t *testing.T) {
	_, x := store(State{}, Context{}, Actor{1, 1}, at(1, "x"))
	_, y := store(State{}, Context{}, Actor{2, 1}, at(1, "y"))
	_, z := store(State{}, Context{}, Actor{0, 1}, at(2, "z"))
	s := Sync(Sync(x, y), z)
	if w, ok := s.Winner(); !ok || values(s) != "z y x" || string(w.Value) != "z" {
		t.Errorf("got %s", values(s))
	}
	if _, ok := (State{}).Winner(); ok {
		t.Error("nothing has a winner")
	}
}

func TestPutWithoutAnActorPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("minted a dot for nobody")
		}
	}()
	State{}.Put(Context{}, Actor{}, at(1, "v"), nil)
}

// The hot path: what a node does with a SET that it coordinates, and with the delta that a replica receives.
func TestHotPathAllocatesLittle(t *testing.T) {
	s := stateOf(1)
	encoded := s.Append(nil)
	vs := at(9, "v")
	delta := s.Put(s.Seen, Actor{1, 1}, vs, oddSettled)
	buf, seen := make([]byte, 0, 1024), s.Seen.Append(nil)
	decodeAll := func(b []byte, n int) {
		m := Slab{States: n}
		for range n {
			_, _, _ = m.DecodeState(b)
		}
	}
	for name, c := range map[string]struct {
		most float64
		f    func()
	}{
		"Put":                       {3, func() { s.Put(s.Seen, Actor{1, 1}, vs, oddSettled) }},
		"Sync of equals":            {0, func() { Sync(s, s) }},
		"Sync with a descendant":    {0, func() { Sync(s, delta) }},
		"Sync with an ancestor":     {0, func() { Sync(delta, s) }},
		"Append":                    {0, func() { s.Append(buf) }},
		"PeekWinner":                {0, func() { _, _, _ = PeekWinner(encoded) }},
		"Digest":                    {0, func() { s.Digest() }},
		"DecodeState":               {1, func() { _, _, _ = DecodeState(encoded) }},
		"DecodeContext":             {1, func() { _, _, _ = DecodeContext(seen) }},
		"a context of one dot":      {1, func() { _ = Context{}.Add(Dot{Actor{1, 1}, 7}) }},
		"64 states of one slab":     {2, func() { decodeAll(encoded, slabStatesMax) }},
		"Covers":                    {0, func() { s.Covers(delta) }},
		"Context of settled stamps": {0, func() { s.Context(func(Stamp) bool { return true }) }},
	} {
		if got := testing.AllocsPerRun(100, c.f); got > c.most {
			t.Errorf("%s allocates %v times, want %v at most", name, got, c.most)
		}
	}
}

func TestContextAgreesWithASetOfDots(t *testing.T) {
	a, b := Actor{1, 1}, Actor{1, 2}
	// Every subset of three dots of one actor and two of another, against every other.
	dots := []Dot{{a, 1}, {a, 2}, {a, 3}, {b, 1}, {b, 3}}
	build := func(bits int) (c Context) {
		for _, i := range []int{4, 1, 0, 3, 2} {
			if bits>>i&1 == 1 {
				c = c.Add(dots[i])
			}
		}
		return c
	}
	for x := range 1 << len(dots) {
		for y := range 1 << len(dots) {
			cx, cy, both := build(x), build(y), build(x|y)
			if got := cx.Join(cy); !got.Equal(both) {
				t.Fatalf("%+v join %+v: %+v", cx, cy, got)
			}
			if cx.Covers(cy) != (x&y == y) || cx.Equal(cy) != (x == y) {
				t.Fatalf("%+v covers %+v: %v", cx, cy, cx.Covers(cy))
			}
		}
		for i, d := range dots {
			if build(x).Has(d) != (x>>i&1 == 1) {
				t.Fatalf("%05b has %v: wrong", x, d)
			}
		}
	}
}

func TestContextRefusesWhatIsNoDot(t *testing.T) {
	a := Actor{1, 1}
	for _, d := range []Dot{{a, 0}, {a, CounterMax + 1}, {Actor{}, 1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("added %v", d)
				}
			}()
			Context{}.Add(d)
		}()
	}
	if (Context{}).Has(Dot{a, 0}) || contextOf(1, 0, 0).Has(Dot{a, 0}) {
		t.Error("counter 0 is in a context")
	}
}

func TestContextRemembersStampsApartFromDots(t *testing.T) {
	c := Context{}.AddStamp(Stamp{2, 1}).AddStamp(Stamp{1, 1}).AddStamp(Stamp{2, 1}).AddStamp(Stamp{})
	if len(c.stamps) != 2 || !slices.IsSortedFunc(c.stamps, Stamp.Compare) || c.IsZero() {
		t.Errorf("got %+v", c.stamps)
	}
	if !(Context{}).Covers(c) {
		t.Error("Covers compared stamps")
	}
	if got := c.Prune(oddSettled); got.HasStamp(Stamp{1, 1}) || !got.HasStamp(Stamp{2, 1}) || !c.HasStamp(Stamp{1, 1}) {
		t.Errorf("pruned to %+v, from %+v", got, c)
	}
}

func TestEachStopsWhenTold(t *testing.T) {
	n := 0
	contextOf(3, 1, 0).Each(func(Actor, uint64) bool { n++; return n < 2 })
	if n != 2 {
		t.Errorf("called %d times", n)
	}
}

func TestConflictFindsADotWithTwoContents(t *testing.T) {
	s := State{}.Put(Context{}, Actor{1, 1}, []Version{{Stamp: Stamp{9, 1}, Value: []byte("v")}, {Stamp: Stamp{8, 1}}}, nil)
	if dot, found := s.Conflict(s); found {
		t.Errorf("a state conflicts with itself in %v", dot)
	}
	for name, change := range map[string]func(*Sibling){
		"value":  func(x *Sibling) { x.Value = []byte("w") },
		"expiry": func(x *Sibling) { x.ExpireAt = 1 },
		"stamp":  func(x *Sibling) { x.Stamp.Time++ },
	} {
		o := State{s.Seen, []Sibling{s.Siblings[0], s.Siblings[1]}}
		change(&o.Siblings[1])
		if dot, found := s.Conflict(o); !found || dot != s.Siblings[1].Dot {
			t.Errorf("another %s: %v, %v", name, dot, found)
		}
	}
}
