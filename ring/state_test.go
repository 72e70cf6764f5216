package ring

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// randomMember draws from few ids, epochs and names, so that merges meet every kind of tie.
func randomMember(rng *rand.Rand) Member {
	m := Member{ID: testID(byte(1 + rng.IntN(4))), Epoch: uint64(rng.IntN(3)), Status: Status(rng.IntN(int(statusEnd))), Weight: rng.IntN(3) - 1}
	m.Name, m.Zone, m.RESP = "n"+string(rune('a'+rng.IntN(2))), strings.Repeat("z", rng.IntN(2)), "h:1"
	return m
}

func randomState(rng *rand.Rand) State {
	s := State{Cluster: Cluster{ID: testID(9), Name: "test", Q: 2, N: 2, R: 1, W: 1}}
	if rng.IntN(10) == 0 {
		return State{}
	}
	for i := range byte(4) {
		m := randomMember(rng)
		m.ID = testID(i + 1)
		if rng.IntN(3) > 0 || i == 0 {
			s.Members = append(s.Members, m)
		}
	}
	s.Layout = randomLayout(rng, s.Members)
	for _, m := range s.Members {
		if rng.IntN(2) == 0 {
			s.Reports = append(s.Reports, randomReport(rng, m.ID))
		}
	}
	return s
}

// randomLayout has two partitions of one owner, perhaps about to be another.
func randomLayout(rng *rand.Rand, members []Member) *Layout {
	l := &Layout{Version: uint64(1 + rng.IntN(2)), Q: 2, N: 2, Since: []uint64{1, 1}}
	for p := range Partition(2) {
		l.Owners = append(l.Owners, []NodeID{members[rng.IntN(len(members))].ID})
		next := members[rng.IntN(len(members))].ID
		if next != l.Owners[p][0] && rng.IntN(2) == 0 {
			l.Changes = append(l.Changes, Change{Partition: p, Phase: Phase(rng.IntN(2)), Began: 1, Next: []NodeID{next}})
		}
	}
	l.Members = l.nodes()
	return l
}

func randomReport(rng *rand.Rand, id NodeID) Report {
	r := Report{Node: id, Seq: uint64(rng.IntN(2)), Acked: Edition{uint64(rng.IntN(2)), [16]byte{byte(rng.IntN(2))}}, Empty: rng.IntN(2) == 0}
	for p := range Partition(2) {
		if rng.IntN(2) == 0 {
			r.Held = append(r.Held, Held{p, uint64(1 + rng.IntN(2))})
		}
	}
	return r
}

func TestMergeMemberLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 1))
	for range 20_000 {
		a, b, c := randomMember(rng), randomMember(rng), randomMember(rng)
		b.ID, c.ID = a.ID, a.ID
		if ab, ba := MergeMember(a, b), MergeMember(b, a); ab != ba {
			t.Fatalf("order matters:\n%+v\n%+v", ab, ba)
		}
		if l, r := MergeMember(MergeMember(a, b), c), MergeMember(a, MergeMember(b, c)); l != r {
			t.Fatalf("grouping matters: %+v %+v %+v\n%+v\n%+v", a, b, c, l, r)
		}
		ab := MergeMember(a, b)
		if MergeMember(ab, b) != ab || MergeMember(a, a) != a {
			t.Fatal("not idempotent")
		}
	}
}

func TestMergeMember(t *testing.T) {
	old := Member{ID: testID(1), Name: "old", Status: Removed, Epoch: 1}
	back := Member{ID: testID(1), Name: "back", Status: Active, Epoch: 7}
	if got := MergeMember(old, back); got.Status != Removed || got.Name != "back" {
		t.Errorf("removed is not for ever: %+v", got)
	}
	old.Status = Leaving
	back.Status = Leaving // an operator's word outlives the node's own news
	if got := MergeMember(old, back); got != back {
		t.Errorf("the higher epoch lost: %+v", got)
	}
	if !panics(func() { MergeMember(old, Member{ID: testID(2)}) }) {
		t.Error("two ids merged")
	}
}

func mustMerge(t *testing.T, a, b State) State {
	t.Helper()
	s, err := Merge(a, b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMergeStateLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 2))
	same := func(a, b State) bool { return bytes.Equal(a.Encode(), b.Encode()) }
	for range 5000 {
		a, b, c := randomState(rng), randomState(rng), randomState(rng)
		ab := mustMerge(t, a, b)
		if !same(ab, mustMerge(t, b, a)) {
			t.Fatal("order matters")
		}
		if !same(mustMerge(t, ab, c), mustMerge(t, a, mustMerge(t, b, c))) {
			t.Fatal("grouping matters")
		}
		if !same(mustMerge(t, ab, b), ab) || !same(mustMerge(t, a, a), a) {
			t.Fatal("not idempotent")
		}
		if err := ab.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMergeRefusesForeignAndTooMany(t *testing.T) {
	a, b := State{Cluster: Cluster{ID: testID(1)}}, State{Cluster: Cluster{ID: testID(2)}}
	if _, err := Merge(a, b); !errors.Is(err, ErrForeign) {
		t.Errorf("foreign: %v", err)
	}
	b.Cluster.ID = a.Cluster.ID
	rng := rand.New(rand.NewPCG(6, 3))
	a.Members = testMembers(rng, RecordsMax, 0)
	sortMembers(a.Members)
	if _, err := Merge(a, b); err != nil {
		t.Errorf("at the cap: %v", err)
	}
	b.Members = testMembers(rng, 1, 0)
	if _, err := Merge(a, b); !errors.Is(err, ErrTooManyMembers) {
		t.Errorf("one over: %v", err)
	}
}

// validState returns a document that breaks no rule. Its layout was not encoded yet: tests may break it.
func validState() State {
	rng := rand.New(rand.NewPCG(6, 4))
	s := State{Cluster: Cluster{ID: testID(9), Name: "test", Q: 8, N: 3, R: 2, W: 2}, Members: testMembers(rng, 4, 2)}
	sortMembers(s.Members)
	s.Layout, _ = Plan(nil, s.Members, 8, 3)
	for p := range Partition(2) {
		out := s.Layout.Owners[p][2]
		in := slices.IndexFunc(s.Members, func(m Member) bool { return !slices.Contains(s.Layout.Owners[p], m.ID) })
		next := exchanged(s.Layout.Owners[p], nil, out, s.Members[in].ID)
		s.Layout.Changes = append(s.Layout.Changes, Change{Partition: p, Phase: Phase(p), Began: 1, Next: next})
	}
	for _, m := range s.Members[:2] {
		s.Reports = append(s.Reports, Report{Node: m.ID, Seq: 3, Acked: s.Edition(), Held: []Held{{1, 1}, {4, 1}}})
	}
	s.Layout = s.Layout.revised()
	return s
}

func TestStateComesBackFromItsBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 5))
	for range 2000 {
		s := randomState(rng)
		back, err := DecodeState(s.Encode())
		if err != nil || !bytes.Equal(back.Encode(), s.Encode()) || !slices.Equal(back.Members, s.Members) {
			t.Fatalf("%v: %+v\n%+v", err, s, back)
		}
	}
}

func TestCheckKnowsEveryRule(t *testing.T) {
	for _, c := range []struct {
		proves string
		breaks func(*State)
	}{
		{"members sorted", func(s *State) { slices.Reverse(s.Members) }},
		{"members once", func(s *State) { s.Members[1] = s.Members[0] }},
		{"member has an id", func(s *State) { s.Members[0].ID = NodeID{} }},
		{"status known", func(s *State) { s.Members[0].Status = statusEnd }},
		{"name one over", func(s *State) { s.Members[0].Name = strings.Repeat("x", NameBytesMax+1) }},
		{"address one over", func(s *State) { s.Members[0].Peer = strings.Repeat("x", AddressBytesMax+1) }},
		{"cluster name one over", func(s *State) { s.Cluster.Name = strings.Repeat("x", NameBytesMax+1) }},
		{"Q a power of two", func(s *State) { s.Cluster.Q = 7 }},
		{"R within N", func(s *State) { s.Cluster.R = 4 }},
		{"W within N", func(s *State) { s.Cluster.W = 0 }},
		{"N within its cap", func(s *State) { s.Cluster.N = ReplicasMax + 1 }},
		{"layout there", func(s *State) { s.Layout = nil }},
		{"layout of this Q", func(s *State) { s.Cluster.Q = 16 }},
		{"layout of this N", func(s *State) { s.Cluster.N = 4 }},
		{"layout versioned", func(s *State) { s.Layout.Version = 0 }},
		{"somebody owns", func(s *State) { s.Layout.Owners[3] = nil }},
		{"no more than N own", func(s *State) { s.Layout.Owners[3] = append(s.Layout.Owners[3], testID(1)) }},
		{"owners distinct", func(s *State) { s.Layout.Owners[0][1] = s.Layout.Owners[0][0] }},
		{"owners are the layout's members", func(s *State) { s.Layout.Owners[0][0] = testID(77) }},
		{"the layout's members once", func(s *State) { s.Layout.Members[1] = s.Layout.Members[0] }},
		{"the layout's members are members", func(s *State) {
			s.Layout.Members = append([]NodeID{testID(0)}, s.Layout.Members...)
		}},
		{"the layout's members sorted", func(s *State) { slices.Reverse(s.Layout.Members) }},
		{"roles since a layout", func(s *State) { s.Layout.Since[2] = 0 }},
		{"roles since no later layout", func(s *State) { s.Layout.Since[2] = s.Layout.Version + 1 }},
		{"changes sorted", func(s *State) { slices.Reverse(s.Layout.Changes) }},
		{"a partition changes once", func(s *State) { s.Layout.Changes[1] = s.Layout.Changes[0] }},
		{"a change of a partition", func(s *State) { s.Layout.Changes[1].Partition = 8 }},
		{"a phase known", func(s *State) { s.Layout.Changes[0].Phase = phaseEnd }},
		{"a change begun in no later layout", func(s *State) { s.Layout.Changes[0].Began = s.Layout.Version + 1 }},
		{"a change to somebody", func(s *State) { s.Layout.Changes[0].Next = nil }},
		{"a change of something", func(s *State) { s.Layout.Changes[0].Next = s.Layout.Owners[s.Layout.Changes[0].Partition] }},
		{"a change of one owner", func(s *State) { s.Layout.Changes[0].Next = s.Layout.Changes[0].Next[:1] }},
		{"reports sorted", func(s *State) { slices.Reverse(s.Reports) }},
		{"reports of members", func(s *State) { s.Reports[0].Node = testID(0) }},
		{"partitions held sorted", func(s *State) { slices.Reverse(s.Reports[0].Held) }},
		{"partitions held exist", func(s *State) { s.Reports[0].Held[1].Partition = 8 }},
		{"changes held one over", func(s *State) { s.Reports[0].Held = make([]Held, ChangesMax+1) }},
		{"no members without a cluster", func(s *State) { s.Cluster = Cluster{} }},
		{"members one over", func(s *State) {
			s.Members = append(s.Members, testMembers(rand.New(rand.NewPCG(6, 6)), RecordsMax+1-len(s.Members), 0)...)
			sortMembers(s.Members)
		}},
	} {
		s := validState()
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		c.breaks(&s)
		if err := s.Check(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", c.proves, err)
		}
		if s.IsZero() {
			continue
		}
		if _, err := DecodeState(s.Encode()); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s, decoded: %v", c.proves, err)
		}
	}
}

func TestLargestStateFitsANote(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 7))
	s := State{Cluster: Cluster{ID: testID(9), Name: strings.Repeat("c", NameBytesMax), Q: PartitionsMax, N: ReplicasMax, R: 1, W: 1}, Members: testMembers(rng, MembersMax, 0)}
	for i := range s.Members {
		m := &s.Members[i]
		m.Name, m.Zone, m.Version = strings.Repeat("n", NameBytesMax), strings.Repeat("z", NameBytesMax), strings.Repeat("v", NameBytesMax)
		for _, a := range []*string{&m.RESP, &m.Memcache, &m.HTTP, &m.Peer, &m.Gossip} {
			*a = strings.Repeat("a", AddressBytesMax)
		}
	}
	sortMembers(s.Members)
	s.Layout = &Layout{Version: 1, Q: PartitionsMax, N: ReplicasMax, Since: slices.Repeat([]uint64{1}, PartitionsMax)}
	for p := range PartitionsMax {
		var owners []NodeID
		for k := range ReplicasMax {
			owners = append(owners, s.Members[(p+k)%MembersMax].ID)
		}
		s.Layout.Owners = append(s.Layout.Owners, owners)
	}
	s.Layout.Members = s.Layout.nodes()
	for p := range Partition(ChangesMax) {
		next := s.Layout.Owners[p][1:]
		s.Layout.Changes = append(s.Layout.Changes, Change{Partition: p, Began: 1, Next: next})
	}
	for _, m := range s.Members[:MembersMax] {
		r := Report{Node: m.ID, Seq: math.MaxUint64}
		for p := range Partition(ChangesMax) {
			r.Held = append(r.Held, Held{p, math.MaxUint64})
		}
		s.Reports = append(s.Reports, r)
	}
	for _, m := range testMembers(rng, RecordsMax-MembersMax, 0) {
		m.Name, m.Zone, m.Weight = strings.Repeat("n", NameBytesMax), strings.Repeat("z", NameBytesMax), WeightMax
		s.Members = append(s.Members, m.struckOff())
		s.Reports = append(s.Reports, Report{Node: m.ID, Seq: math.MaxUint64, Empty: true})
	}
	sortMembers(s.Members)
	slices.SortFunc(s.Reports, func(a, b Report) int { return a.Node.Compare(b.Node) })
	note := Note{State: s}.Encode()
	if _, err := DecodeNote(note); err != nil {
		t.Fatalf("%d bytes: %v", len(note), err)
	}
	t.Logf("%d bytes of %d", len(note), NoteBytesMax)
	if _, err := DecodeNote(append(note, make([]byte, NoteBytesMax+1-len(note))...)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("one over the cap: %v", err)
	}
}

func TestTextsOfIDsAndStatuses(t *testing.T) {
	id := NodeID{0xab, 15: 0x01}
	text, _ := id.MarshalText()
	var back NodeID
	if err := back.UnmarshalText(bytes.ToUpper(text)); err != nil || back != id {
		t.Errorf("%s came back as %v, %v", text, back, err)
	}
	for _, bad := range []string{"", "ab", strings.Repeat("g", 32), strings.Repeat("0", 33), strings.Repeat("0", 31)} {
		if _, err := ParseNodeID(bad); !errors.Is(err, ErrBadNodeID) {
			t.Errorf("ParseNodeID(%q): %v", bad, err)
		}
	}
	for s := range statusEnd {
		text, err := s.MarshalText()
		var back Status
		if err != nil || back.UnmarshalText(text) != nil || back != s {
			t.Errorf("status %d is %q", s, text)
		}
	}
	if _, err := statusEnd.MarshalText(); err == nil {
		t.Error("no such status was marshalled")
	}
	if err := new(Status).UnmarshalText([]byte("gone")); err == nil {
		t.Error("no such status was read")
	}
}

func FuzzDecodeState(f *testing.F) {
	f.Add(State{}.Encode())
	f.Add(validState().Encode())
	f.Add([]byte{codecVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeState(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("not ErrCorrupt: %v", err)
			}
			return
		}
		if !bytes.Equal(s.Encode(), b) {
			t.Fatalf("decoded %x, encodes as %x", b, s.Encode())
		}
	})
}

func FuzzDecodeNote(f *testing.F) {
	f.Add(Note{}.Encode())
	f.Add(Note{State: validState()}.Encode())
	f.Add(Note{Newcomers: sorted([]Newcomer{testNewcomer(1, 3), testNewcomer(2, 3)})}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := DecodeNote(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("not ErrCorrupt: %v", err)
			}
			return
		}
		if !bytes.Equal(n.Encode(), b) {
			t.Fatalf("decoded %x, encodes as %x", b, n.Encode())
		}
	})
}

// Whatever is not somebody else's report must be on disk before it rules.
func TestHearsayIsWhatOthersReportAlone(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 9))
	for range 20_000 {
		s, self := randomState(rng), testID(1)
		if s.IsZero() {
			continue
		}
		next := s
		next.Reports = nil
		for _, m := range s.Members {
			switch said, ok := s.Report(m.ID); {
			case m.ID != self && rng.IntN(2) == 0:
				next.Reports = append(next.Reports, randomReport(rng, m.ID))
			case ok:
				next.Reports = append(next.Reports, said)
			}
		}
		if !s.HearsayOnly(next, self) {
			t.Fatalf("%+v\n%+v", s, next)
		}
		other := next
		switch rng.IntN(4) {
		case 0:
			own, _ := next.Report(self)
			own.Node, own.Seq = self, own.Seq+1
			other = next.WithReport(own)
		case 1:
			other.Layout = s.Layout.revised()
			other.Layout.Version++
		case 2:
			other.Members = slices.Clone(s.Members)
			other.Members[0].Epoch++
		case 3:
			other.Cluster.W++
		}
		if s.HearsayOnly(other, self) || other.HearsayOnly(s, self) {
			t.Fatalf("took for hearsay:\n%+v\n%+v", s, other)
		}
	}
}
