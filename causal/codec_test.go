package causal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"
)

// checkCodec proves all that holds of every encodable state.
func checkCodec(t testing.TB, s State) {
	t.Helper()
	b := s.Append([]byte("before"))[len("before"):]
	got, rest, err := DecodeState(append(b, "after"...))
	if err != nil || !got.Equal(s) || string(rest) != "after" {
		t.Fatalf("decoded %+v, rest %q, %v; want %+v", got, rest, err, s)
	}
	checkPeek(t, s, b)
	if c, rest, err := DecodeContext(s.Seen.Append(nil)); err != nil || len(rest) > 0 || !c.Equal(s.Seen) {
		t.Fatalf("context decoded as %+v, %v; want %+v", c, err, s.Seen)
	}
}

// checkPeek proves that what is read without decoding agrees with the decoded state.
func checkPeek(t testing.TB, s State, b []byte) {
	t.Helper()
	if d, err := DigestEncoded(b); err != nil || d != s.Digest() || (d == 0) != (len(s.Siblings) == 0) {
		t.Fatalf("DigestEncoded %x, %v; Digest %x of %+v", d, err, s.Digest(), s)
	}
	want, _ := s.Winner()
	x, n, err := PeekWinner(b)
	if err != nil || n != len(s.Siblings) || !equalSiblings(x, want) {
		t.Fatalf("PeekWinner %+v of %d, %v; want %+v of %d", x, n, err, want, len(s.Siblings))
	}
}

func sampleStates() []State {
	a, b := Actor{1, 1}, Actor{math.MaxUint64, math.MaxUint64}
	gaps := Context{}.Add(Dot{a, 1}).Add(Dot{a, 4}).Add(Dot{a, 9}).Add(Dot{b, CounterMax}).AddStamp(Stamp{3, 4})
	one := State{}.Put(Context{}, a, []Version{{Stamp: Stamp{9, 1}, Value: []byte("v")}}, nil)
	full := State{}.Put(gaps, b.next(), []Version{
		{Stamp{10, 1}, -1, math.MaxUint32, []byte("x")},
		{Stamp{11, 2}, math.MaxInt64, 1, nil},
		{Stamp{10, 1}, 5, 0, bytes.Repeat([]byte("y"), 300)},
	}, nil)
	return []State{{}, one, full, {Seen: gaps}, Sync(one, full), one.Put(one.Seen, Actor{}, nil, nil)}
}

func (a Actor) next() Actor { return Actor{a.Boot, a.Seq - 1} }

func TestCodecKeepsStates(t *testing.T) {
	for _, s := range sampleStates() {
		checkCodec(t, s)
	}
}

func TestDecodersRefuseEveryPrefix(t *testing.T) {
	for _, s := range sampleStates() {
		b := s.Append(nil)
		for i := range b {
			if _, _, err := DecodeState(b[:i]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%d of %d bytes: %v", i, len(b), err)
			}
		}
	}
}

func TestDecodeStateRefusesBrokenInvariants(t *testing.T) {
	a := Actor{1, 1}
	seen := Context{}.Add(Dot{a, 1}).Add(Dot{a, 2})
	x := Sibling{Dot{a, 1}, Version{Stamp: Stamp{5, 1}}}
	y := Sibling{Dot{a, 2}, Version{Stamp: Stamp{6, 1}}}
	twice := Sibling{Dot{a, 2}, Version{Stamp: Stamp{5, 1}}}
	for name, s := range map[string]State{
		"siblings oldest first":           {seen, []Sibling{x, y}},
		"one sibling twice":               {seen, []Sibling{y, y}},
		"one dot under two stamps":        {seen, []Sibling{y, twice}},
		"a sibling that is not seen":      {Context{}.Add(Dot{a, 1}), []Sibling{y, x}},
		"a sibling with remembered stamp": {seen.AddStamp(x.Stamp), []Sibling{y, x}},
		"no counter":                      {Context{entries: []entry{{actor: a}}}, nil},
		"no actor":                        {Context{entries: []entry{{base: 1}}}, nil},
		"actors in disorder":              {Context{entries: []entry{{actor: Actor{2, 1}, base: 1}, {actor: a, base: 1}}}, nil},
		"stamps in disorder":              {Context{stamps: []Stamp{{2, 1}, {1, 1}}}, nil},
		"a zero stamp":                    {Context{stamps: []Stamp{{}}}, nil},
		"a counter above the cap":         {Context{entries: []entry{{actor: a, base: CounterMax + 1}}}, nil},
		"a gap above the cap":             {Context{entries: []entry{{actor: a, extra: []uint64{CounterMax + 1}}}}, nil},
	} {
		if _, _, err := DecodeState(s.Append(nil)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := DecodeState((State{seen, []Sibling{y, x}}).Append(nil)); err != nil {
		t.Errorf("the same in order: %v", err)
	}
}

func TestDecodersRefuseLongVarints(t *testing.T) {
	if _, _, err := DecodeContext([]byte{0x80, 0, 0}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no actors in two bytes: %v", err)
	}
	if _, _, err := DecodeContext([]byte{0, 0}); err != nil {
		t.Errorf("no actors in one byte: %v", err)
	}
}

func contextOf(actors, gaps, stamps int) (c Context) {
	for i := range actors {
		c.entries = append(c.entries, entry{actor: Actor{1, uint64(i + 1)}, base: 1})
	}
	for i := range gaps {
		c.entries[0].extra = append(c.entries[0].extra, uint64(2*i+3))
	}
	for i := range stamps {
		c.stamps = append(c.stamps, Stamp{Time(i + 1), 1})
	}
	return c
}

func stateOf(siblings int) (s State) {
	a := Actor{1, 1}
	s.Seen.entries = []entry{{actor: a, base: uint64(siblings)}}
	for i := siblings; i > 0; i-- {
		s.Siblings = append(s.Siblings, Sibling{Dot{a, uint64(i)}, Version{Stamp: Stamp{Time(i), 1}}})
	}
	return s
}

func TestCapsHoldAtTheCapAndRefuseOneOver(t *testing.T) {
	for name, c := range map[string]struct {
		s  State
		ok bool
	}{
		"actors at the cap":     {State{Seen: contextOf(ActorsMax, 0, 0)}, true},
		"actors one over":       {State{Seen: contextOf(ActorsMax+1, 0, 0)}, false},
		"gaps at the cap":       {State{Seen: contextOf(1, GapsMax, 0)}, true},
		"gaps one over":         {State{Seen: contextOf(1, GapsMax+1, 0)}, false},
		"gaps spread, one over": {Sync(State{Seen: contextOf(1, GapsMax, 0)}, State{Seen: Context{}.Add(Dot{Actor{5, 5}, 9})}), false},
		"stamps at the cap":     {State{Seen: contextOf(0, 0, StampsMax)}, true},
		"stamps one over":       {State{Seen: contextOf(0, 0, StampsMax+1)}, false},
		"siblings at the cap":   {stateOf(SiblingsMax), true},
		"siblings one over":     {stateOf(SiblingsMax + 1), false},
		"counter at the cap":    {State{Seen: Context{}.Add(Dot{Actor{1, 1}, CounterMax})}, true},
	} {
		_, _, err := DecodeState(c.s.Append(nil))
		if (err == nil) != c.ok || c.s.Fits() != c.ok {
			t.Errorf("%s: decoding: %v, fits: %v", name, err, c.s.Fits())
		}
	}
}

// A core's cap is tried by its length alone, and by one value shared by many siblings: nobody has the memory to spare.
func TestCoreBytesAboveTheCapDoNotFit(t *testing.T) {
	s := stateOf(65)
	value := make([]byte, 16<<20)
	for i := range s.Siblings {
		s.Siblings[i].Value = value
	}
	if s.Fits() {
		t.Error("65 values of 16 MiB fit")
	}
	if _, _, ok := splitCore(binary.BigEndian.AppendUint32(nil, CoreBytesMax+1)); ok {
		t.Error("a core above the cap was accepted")
	}
	s.Siblings = s.Siblings[:63]
	if !s.Fits() {
		t.Error("63 values of 16 MiB do not fit")
	}
}

func TestHashEncodedIsTheDigestAndKnowsTombstonesApart(t *testing.T) {
	s := State{}.Put(Context{}, Actor{1, 1}, []Version{{Stamp: Stamp{9, 1}, Value: []byte("v")}}, nil)
	remembers := s
	remembers.Seen = s.Seen.AddStamp(Stamp{4, 4})
	for _, x := range []State{s, remembers} {
		if hash, live, err := HashEncoded(x.Append(nil)); err != nil || !live || hash != s.Digest() {
			t.Errorf("%#x, %v, %v; the digest is %#x", hash, live, err, s.Digest())
		}
	}
	gone, goneLive, _ := HashEncoded(State{Seen: s.Seen}.Append(nil))
	more, _, _ := HashEncoded(State{Seen: s.Seen.Add(Dot{Actor{1, 1}, 2})}.Append(nil))
	if goneLive || gone == 0 || gone == more {
		t.Errorf("tombstones hash to %#x and %#x, live %v", gone, more, goneLive)
	}
	if _, _, err := HashEncoded([]byte{0, 0, 0, 9}); err == nil {
		t.Error("a cut encoding has a hash")
	}
}

func TestDigestIgnoresRememberedStampsAndNothingElse(t *testing.T) {
	a := Actor{1, 1}
	v := Version{Stamp{9, 1}, 7, 3, []byte("v")}
	s := State{}.Put(Context{}, a, []Version{v}, nil)
	remembers := s
	remembers.Seen = s.Seen.AddStamp(Stamp{4, 4})
	if s.Digest() != remembers.Digest() {
		t.Error("a remembered stamp changes the digest")
	}
	if (State{Seen: s.Seen}).Digest() != 0 || (State{}).Digest() != 0 {
		t.Error("a tombstone's digest differs from absence")
	}
	for name, change := range map[string]func(*State){
		"seen":   func(s *State) { s.Seen = s.Seen.Add(Dot{a, 5}) },
		"stamp":  func(s *State) { s.Siblings[0].Stamp.Time++ },
		"expiry": func(s *State) { s.Siblings[0].ExpireAt++ },
		"flags":  func(s *State) { s.Siblings[0].Flags++ },
		"value":  func(s *State) { s.Siblings[0].Value = []byte("w") },
		"dot":    func(s *State) { s.Siblings[0].Dot.Counter++ },
	} {
		o := State{s.Seen, []Sibling{s.Siblings[0]}}
		change(&o)
		if o.Digest() == s.Digest() {
			t.Errorf("the digest does not cover the %s", name)
		}
	}
}

func FuzzDecodeState(f *testing.F) {
	for _, s := range sampleStates() {
		f.Add(s.Append(nil))
	}
	f.Add([]byte{0, 0, 0, 1, 0xff, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, _ = PeekWinner(b)
		_, _ = DigestEncoded(b)
		s, rest, err := DecodeState(b)
		if err != nil {
			return
		}
		used := b[:len(b)-len(rest)]
		if again := s.Append(nil); !bytes.Equal(again, used) {
			t.Fatalf("accepted %x, encodes as %x", used, again)
		}
		if !s.valid() || !s.Fits() {
			t.Fatalf("accepted %+v", s)
		}
		checkPeek(t, s, b)
	})
}

func FuzzDecodeContext(f *testing.F) {
	for _, s := range sampleStates() {
		f.Add(s.Seen.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, rest, err := DecodeContext(b)
		if err != nil {
			return
		}
		used := b[:len(b)-len(rest)]
		if again := c.Append(nil); !bytes.Equal(again, used) {
			t.Fatalf("accepted %x, encodes as %x", used, again)
		}
		for _, e := range c.entries {
			if e.max() == 0 || len(e.extra) > 0 && e.extra[0] <= e.base+1 {
				t.Fatalf("entry %+v is not compact", e)
			}
		}
	})
}

// States from one slab are as those decoded alone, and none reaches into another when it grows.
func TestSlabKeepsStatesApart(t *testing.T) {
	for _, expected := range []int{0, 1, 3, 1000} {
		slab := Slab{States: expected}
		var got, want []State
		for i := range 2*slabStatesMax + 3 {
			s := State{}
			for n := range 1 + i%3 {
				v := Version{Stamp: Stamp{Time: Time(1 + i + n), Node: 9}, Value: []byte{byte(i), byte(n)}}
				s = Sync(s, s.Put(Context{}, Actor{Boot: uint64(1 + n), Seq: uint64(1 + i)}, []Version{v}, nil))
			}
			decoded, rest, err := slab.DecodeState(s.Append(nil))
			if err != nil || len(rest) > 0 {
				t.Fatal(err)
			}
			got, want = append(got, decoded), append(want, s)
		}
		for i := range got {
			_ = append(got[i].Siblings, Sibling{})
			_ = append(got[i].Seen.entries, entry{})
		}
		for i := range got {
			if !got[i].Equal(want[i]) {
				t.Fatalf("state %d of a slab for %d is %+v, want %+v", i, expected, got[i], want[i])
			}
		}
	}
}
