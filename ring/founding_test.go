package ring

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// testNewcomer returns node i of those that share one --join, expecting k. Node 1 is the first seed.
func testNewcomer(i, k int) Newcomer {
	return Newcomer{
		Member:  Member{ID: testID(byte(i)), Name: fmt.Sprintf("node-%d", i), Gossip: fmt.Sprintf("10.0.0.%d:7946", i), Epoch: 1},
		Cluster: Cluster{Name: "holdfast", Q: 8, N: 3, R: 2, W: 2},
		Seeds:   []string{"10.0.0.1:7946", "10.0.0.2:7946"},
		Expect:  k,
	}
}

func sevens(b []byte) {
	for i := range b {
		b[i] = 7
	}
}

func TestFound(t *testing.T) {
	one, two, three := testNewcomer(1, 3), testNewcomer(2, 3), testNewcomer(3, 3)
	alone := testNewcomer(1, 0)
	alone.Seeds = nil
	byName := testNewcomer(1, 3)
	byName.Seeds, byName.First = []string{"node-1:7946"}, true
	rival := testNewcomer(3, 3)
	rival.Seeds = []string{rival.Member.Gossip}
	other := testNewcomer(3, 3)
	other.Cluster.W = 1
	otherExpect := testNewcomer(3, 2)
	for _, c := range []struct {
		proves string
		self   Newcomer
		met    []Newcomer
		nodes  int    // in the founded cluster; 0: it waits
		wait   string // a part of what it says
	}{
		{"alone without seeds", alone, nil, 1, ""},
		{"first seed, all met", one, []Newcomer{three, two}, 3, ""},
		{"itself among those met counts once", one, []Newcomer{one, two}, 0, "2 of 3"},
		{"the same node twice counts once", one, []Newcomer{two, two}, 0, "2 of 3"},
		{"more than expected all become members", one, []Newcomer{two, three, testNewcomer(4, 3)}, 4, ""},
		{"the missing seed is named", one, []Newcomer{three}, 0, "not heard from 10.0.0.2:7946"},
		{"others wait for the first seed", two, []Newcomer{one, three}, 0, "10.0.0.1:7946"},
		{"first seed by another name", byName, []Newcomer{two, three}, 3, ""},
		{"two founders found nothing", one, []Newcomer{two, rival}, 0, "node-3 would found"},
		{"other settings are named", one, []Newcomer{two, other}, 0, "node-3 has other settings"},
		{"another --expect is named", one, []Newcomer{two, otherExpect}, 0, "node-3 has other settings"},
	} {
		s, wait, err := Found(c.self, c.met, sevens)
		if err != nil || len(s.Members) != c.nodes || (c.nodes == 0) != (wait != "") || !strings.Contains(wait, c.wait) {
			t.Errorf("%s: %d members, wait %q, %v", c.proves, len(s.Members), wait, err)
			continue
		}
		if c.nodes > 0 {
			checkFounded(t, c.proves, s, c.nodes)
		}
	}
}

func checkFounded(t *testing.T, proves string, s State, nodes int) {
	t.Helper()
	if err := s.Check(); err != nil || s.Cluster.ID[15] != 7 || s.Cluster.Secret[31] != 7 || s.Layout.Version != 1 {
		t.Errorf("%s: %v, %+v", proves, err, s.Cluster)
	}
	for _, m := range s.Members {
		if m.Status != Active || m.Epoch != 2 {
			t.Errorf("%s: %s is %v, epoch %d", proves, m.Name, m.Status, m.Epoch)
		}
	}
	if c := count(s.Layout); len(c.copies) != nodes {
		t.Errorf("%s: %d nodes own", proves, len(c.copies))
	}
}

func TestFoundRefusesImpossibleSettings(t *testing.T) {
	for name, spoil := range map[string]func(*Newcomer){
		"Q": func(n *Newcomer) { n.Cluster.Q = 100 },
		"N": func(n *Newcomer) { n.Cluster.N = ReplicasMax + 1 },
		"R": func(n *Newcomer) { n.Cluster.R = 4 },
	} {
		n := testNewcomer(1, 1)
		spoil(&n)
		if _, _, err := Found(n, nil, sevens); err == nil {
			t.Errorf("%s: founded", name)
		}
	}
}

func TestFoundDrawsNothingWhileItWaits(t *testing.T) {
	_, wait, _ := Found(testNewcomer(2, 3), nil, func([]byte) { t.Error("drew random bits") })
	if wait == "" {
		t.Error("did not wait")
	}
}

func TestMergeNotesLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	draw := func() (n Note) {
		if n.State = randomState(rng); rng.IntN(2) == 0 || n.State.IsZero() {
			n.State = State{}
			for i := range 4 {
				if rng.IntN(2) == 0 {
					newcomer := testNewcomer(i+1, rng.IntN(3))
					newcomer.Member.Epoch, newcomer.First = uint64(rng.IntN(2)), rng.IntN(2) == 0
					n.Newcomers = append(n.Newcomers, newcomer)
				}
			}
		}
		return n
	}
	merge := func(a, b Note) Note {
		n, err := MergeNotes(a, b)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	same := func(a, b Note) bool { return bytes.Equal(a.Encode(), b.Encode()) }
	for range 5000 {
		a, b, c := draw(), draw(), draw()
		ab := merge(a, b)
		if !same(ab, merge(b, a)) || !same(merge(ab, c), merge(a, merge(b, c))) || !same(merge(ab, b), ab) || !same(merge(a, a), a) {
			t.Fatalf("a law is broken by\n%+v\n%+v\n%+v", a, b, c)
		}
		back, err := DecodeNote(ab.Encode())
		if err != nil || !same(back, ab) {
			t.Fatalf("decoded: %v", err)
		}
	}
}

func TestNotesHaveCaps(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 2))
	list := make([]Newcomer, NewcomersMax+1)
	for i := range list {
		list[i] = testNewcomer(1, 3)
		list[i].Member = testMember(rng, i, 0)
	}
	full := Note{Newcomers: sorted(list[:NewcomersMax])}
	if _, err := MergeNotes(full, Note{}); err != nil {
		t.Errorf("at the cap: %v", err)
	}
	if _, err := DecodeNote(full.Encode()); err != nil {
		t.Errorf("decoding at the cap: %v", err)
	}
	if _, err := MergeNotes(full, Note{Newcomers: list[NewcomersMax:]}); !errors.Is(err, ErrTooManyMembers) {
		t.Errorf("one over: %v", err)
	}
	if _, err := DecodeNote(Note{Newcomers: sorted(list)}.Encode()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("decoding one over: %v", err)
	}
	for name, spoil := range map[string]func(*Newcomer){
		"seeds":   func(n *Newcomer) { n.Seeds = make([]string, SeedsMax+1) },
		"seed":    func(n *Newcomer) { n.Seeds = []string{strings.Repeat("x", AddressBytesMax+1)} },
		"expect":  func(n *Newcomer) { n.Expect = NewcomersMax + 1 },
		"cluster": func(n *Newcomer) { n.Cluster.ID = testID(1) },
	} {
		n := testNewcomer(1, NewcomersMax)
		n.Seeds = make([]string, SeedsMax)
		if _, err := DecodeNote(Note{Newcomers: []Newcomer{n}}.Encode()); err != nil {
			t.Fatal(err)
		}
		spoil(&n)
		if _, err := DecodeNote(Note{Newcomers: []Newcomer{n}}.Encode()); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
