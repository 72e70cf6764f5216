package merkle

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// run carries an exchange out over the codec, and returns the leaves found and the bytes that crossed.
func run(t *testing.T, local, remote *Tree) (found *Leaves, bytes int) {
	t.Helper()
	roots, err := DecodeRoots(AppendRoots(nil, []Root{{remote.Depth(), remote.Root()}}), 1)
	if err != nil {
		t.Fatal(err)
	}
	x := NewExchange(local, roots[0])
	for q, more := x.Next(); more; q, more = x.Next() {
		asked := q.Append(nil)
		if q, err = DecodeQuestion(asked); err != nil {
			t.Fatal(err)
		}
		answered := remote.Answer(q).Append(nil)
		a, err := DecodeAnswer(answered)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Hear(a); err != nil {
			t.Fatal(err)
		}
		bytes += len(asked) + len(answered)
	}
	return x.Differing(), bytes
}

func TestAnExchangeFindsExactlyTheLeavesThatDiffer(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 2))
		n, d := rng.IntN(2000), rng.IntN(20)
		if seed%10 == 0 {
			d = 3000 // whole subtrees
		}
		a, b, ta, tb := twins(rng, n, d, DepthMin+rng.IntN(2), DepthMin+rng.IntN(2))
		want := a.differ(b, min(ta.Depth(), tb.Depth()))
		got, _ := run(t, ta, tb)
		if want.Len() == 0 {
			want = &Leaves{depth: got.depth}
		}
		if *got != *want {
			t.Fatalf("seed %d: %d leaves found, %d differ", seed, got.Len(), want.Len())
		}
	}
}

func TestEqualTreesAskNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	_, _, ta, tb := twins(rng, 1000, 0, DepthMax, DepthMin)
	if got, bytes := run(t, ta, tb); got.Len() != 0 || bytes != 0 {
		t.Fatalf("%d leaves, %d bytes", got.Len(), bytes)
	}
}

func TestOneRowCostsAPathOfTheTree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	_, _, ta, tb := twins(rng, 100_000, 0, DepthMax, DepthMax)
	tb.Change(HashKey(0, []byte("one more")), 0, 1)
	got, bytes := run(t, ta, tb)
	if most := DepthMax * (2 + sumBytes*Fan + 6); got.Len() != 1 || bytes > most {
		t.Fatalf("%d leaves, %d bytes of at most %d", got.Len(), bytes, most)
	}
}

func TestAnEmptySideIsAskedAsAnyOther(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	a, _, ta, _ := twins(rng, 100, 0, DepthMax, DepthMax)
	want := a.differ(rows{}, DepthMax)
	for name, pair := range map[string][2]*Tree{"here": {nil, ta}, "there": {ta, nil}} {
		if got, _ := run(t, pair[0], pair[1]); *got != *want {
			t.Errorf("empty %s: %d leaves, not %d", name, got.Len(), want.Len())
		}
	}
}

func TestAnswersThatDoNotFitAreRefused(t *testing.T) {
	ta := New(DepthMax)
	ta.Change(1, 0, 1)
	x := NewExchange(ta, Root{Depth: DepthMax})
	for _, a := range []Answer{nil, make(Answer, 2)} {
		if err := x.Hear(a); !errors.Is(err, ErrAnswer) {
			t.Errorf("%d answers: %v", len(a), err)
		}
	}
	if a := New(DepthMin).Answer(Question{Level: DepthMin, Parents: []uint16{0}}); a != nil {
		t.Error("a shallow tree answered below its leaves")
	}
}

func TestSetsOfLeaves(t *testing.T) {
	key := HashKey(0, []byte("k"))
	var none Leaves
	one := &Leaves{depth: DepthMax}
	one.add(key.leaf(DepthMax))
	if none.Has(key) || !one.Has(key) || one.Has(^key) || !AllLeaves().Has(key) || !AllLeaves().Has(^key) {
		t.Fatal("membership")
	}
	both := *one
	both.Intersect(&Leaves{depth: DepthMax})
	if both.Len() != 0 {
		t.Fatal("intersection with nothing")
	}
	both = *one
	if both.Intersect(one); both.Len() != 1 {
		t.Fatal("intersection with itself")
	}
	if both.Intersect(AllLeaves()); both.Len() != 0 {
		t.Fatal("sets of different depths have nothing in common")
	}
}
