package causal

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// checkBrief proves that a state that has a brief is what its brief expands to.
func checkBrief(t testing.TB, s State, boots *Boots) (ok bool) {
	t.Helper()
	encoded := s.Append(nil)
	brief, actor, ok := AppendBrief([]byte("before"), encoded, boots)
	if !ok {
		if string(brief) != "before" {
			t.Fatalf("%q behind what has no brief", brief)
		}
		return false
	}
	brief = brief[len("before"):]
	expanded, again := ExpandBrief([]byte("before"), brief, *boots)
	if string(expanded) != "before"+string(encoded) || again != actor || actor != s.Siblings[0].Dot.Actor {
		t.Fatalf("%+v of actor %v came back as %x of actor %v, want %x", s, actor, expanded, again, encoded)
	}
	if len(encoded) > len(brief)+BriefSaves {
		t.Fatalf("the brief of %+v is %d bytes shorter, at most %d were announced", s, len(encoded)-len(brief), BriefSaves)
	}
	return true
}

func TestBriefsExpandToTheirStates(t *testing.T) {
	a, b := Actor{7, 300}, Actor{8, 1}
	one := func(v Version) State { return State{}.Put(Context{}, a, []Version{v}, nil) }
	plain := one(Version{Stamp: Stamp{9, 7}, Value: bytes.Repeat([]byte("v"), 200)})
	unsettled := plain.Put(plain.Seen, a, []Version{{Stamp: Stamp{12, 8}}}, func(Stamp) bool { return false })
	gap := State{Seen: Context{}.Add(Dot{a, 3})}
	for name, c := range map[string]struct {
		state State
		want  bool
	}{
		"one value of a writer elsewhere":    {one(Version{Stamp: Stamp{9, 8}, Value: []byte("v")}), true},
		"one that expires, with flags":       {one(Version{Stamp{9, 7}, 1234567, 89, []byte("v")}), true},
		"one without bytes":                  {one(Version{Stamp: Stamp{9, 7}}), true},
		"an overwritten one, not settled":    {unsettled, true},
		"an overwritten one, settled":        {plain.Put(plain.Seen, a, []Version{{Stamp: Stamp{12, 8}}}, func(Stamp) bool { return true }), true},
		"no value has none":                  {State{}, false},
		"a tombstone has none":               {plain.Put(plain.Seen, Actor{}, nil, nil), false},
		"siblings have none":                 {Sync(plain, State{}.Put(Context{}, b, []Version{{Stamp: Stamp{3, 3}}}, nil)), false},
		"what another actor wrote over":      {plain.Put(plain.Seen, b, []Version{{Stamp: Stamp{12, 8}}}, nil), false},
		"a gap before the value's dot":       {gap.Put(Context{}, a, []Version{{Stamp: Stamp{12, 8}}}, nil), false},
		"a context that has seen what comes": {Sync(plain, State{Seen: Context{}.Add(Dot{a, 2})}), false},
	} {
		if got := checkBrief(t, c.state, new(Boots)); got != c.want {
			t.Errorf("%s: brief %v, want %v: %+v", name, got, c.want, c.state)
		}
	}
	for _, s := range sampleStates() {
		checkBrief(t, s, new(Boots))
	}
}

func TestBootsHaveNumbersUpToTheCap(t *testing.T) {
	var boots Boots
	of := func(boot uint64) State {
		return State{}.Put(Context{}, Actor{boot, 1}, []Version{{Stamp: Stamp{1, boot}, Value: []byte("v")}}, nil)
	}
	for boot := range uint64(BriefBootsMax) {
		if !checkBrief(t, of(boot+1), &boots) {
			t.Fatalf("no number for boot %d", boot+1)
		}
	}
	if checkBrief(t, of(BriefBootsMax+1), &boots) {
		t.Error("a number beyond the cap")
	}
	if !checkBrief(t, of(1), &boots) || !checkBrief(t, of(BriefBootsMax), &boots) {
		t.Error("a boot lost its number")
	}
}

// FuzzBrief takes any encoding, as a disk may hold it.
func FuzzBrief(f *testing.F) {
	for _, s := range sampleStates() {
		f.Add(s.Append(nil))
	}
	odd := State{}.Put(Context{}, Actor{1, 1}, []Version{{Stamp: Stamp{9, 1}, Value: []byte("value")}}, nil).Append(nil)
	f.Add(odd[:len(odd)-1])
	f.Add(append(odd[:len(odd)-1:len(odd)-1], 5))
	gap := bytes.Clone(odd)
	gap[len(gap)-2] = 1
	f.Add(gap)
	odd[5] |= briefStamps
	f.Add(odd)
	f.Fuzz(func(t *testing.T, b []byte) {
		var boots Boots
		if s, rest, err := DecodeState(b); err == nil && len(rest) == 0 {
			checkBrief(t, s, &boots)
		} else if brief, _, ok := AppendBrief(nil, b, &boots); ok {
			if again, _ := ExpandBrief(nil, brief, boots); !bytes.Equal(again, b) {
				t.Fatalf("%x came back as %x", b, again)
			}
		}
	})
}

func BenchmarkBrief(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	actor := Actor{rng.Uint64(), 70_000}
	encoded := State{}.Put(Context{}, actor, []Version{{Stamp: Stamp{Time(rng.Uint64()), rng.Uint64()}, Value: make([]byte, 100)}}, nil).Append(nil)
	var boots Boots
	brief, _, _ := AppendBrief(nil, encoded, &boots)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			brief, _, _ = AppendBrief(brief[:0], encoded, &boots)
		}
	})
	b.Run("expand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			encoded, _ = ExpandBrief(encoded[:0], brief, boots)
		}
	})
}
