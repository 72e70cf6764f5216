package replica

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/replica/merkle"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// pulled counts what a pull needed.
type pulled struct{ questions, rows, changed, bytes int }

// pull takes from there what here lacks in a partition, over the codec, in chunks of at most chunk bytes.
func pull(t *testing.T, here, there *Store, p ring.Partition, leaves *merkle.Leaves, tombstones bool, chunk int) (sum pulled) {
	t.Helper()
	return pullOf(t, here, there, p, testPartitions, leaves, tombstones, chunk)
}

// pullOf is pull in a ring of that many partitions.
func pullOf(t *testing.T, here, there *Store, p ring.Partition, partitions int, leaves *merkle.Leaves, tombstones bool, chunk int) (sum pulled) {
	t.Helper()
	ctx := t.Context()
	for from, more := (Cursor{}), true; more; {
		have, to, err := here.Sketch(ctx, p, leaves, from)
		if err != nil {
			t.Fatal(err)
		}
		q := RowsQuestion{Partition: p, Leaves: leaves, Tombstones: tombstones, From: from, To: to, Have: have, BytesMax: chunk}
		asked := q.Append(nil)
		if q, err = DecodeRowsQuestion(asked); err != nil {
			t.Fatal(err)
		}
		a, err := there.Rows(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		answered := a.Append(nil)
		if a, err = DecodeRowsAnswer(answered, p, partitions); err != nil {
			t.Fatal(err)
		}
		got, err := here.AcceptRows(ctx, a.Rows, apart)
		if err != nil || got.Refused+got.Conflicts > 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		sum.questions, sum.rows, sum.changed = sum.questions+1, sum.rows+len(a.Rows), sum.changed+got.Changed
		sum.bytes += len(asked) + len(answered)
		if a.Next == nil {
			a.Next = to
		}
		if more = a.Next != nil; more {
			from = *a.Next
		}
	}
	return sum
}

// diverge writes at random to two stores of which some writes reach both.
func diverge(t *testing.T, rng *rand.Rand, a, b *Store, n int) {
	for range n {
		name := fmt.Sprint("k", rng.IntN(n))
		el := setter(a, name, fmt.Sprint(rng.Uint64()))
		switch rng.IntN(5) {
		case 0:
			el = blind(a, name, "sibling")
		case 1:
			el.Mint = &put{} // a delete
		}
		el.Key.Space = uint8(rng.IntN(2))
		write(t, a, el)
		if rng.IntN(8) > 0 {
			write(t, b, &request.Write{Key: el.Key, Delta: el.Delta})
		}
	}
}

func TestPullsBothWaysMakeTwoStoresAgree(t *testing.T) {
	for seed := range uint64(15) {
		rng := rand.New(rand.NewPCG(seed, 3))
		a, b := openCounted(t), openCounted(t)
		diverge(t, rng, a, b, 200)
		diverge(t, rng, b, a, 200)
		chunk := 1 + rng.IntN(500)
		for p := range ring.Partition(testPartitions) {
			ta, _ := a.Tree(p)
			tb, _ := b.Tree(p)
			leaves := merkle.Compare(ta, tb)
			pull(t, a, b, p, leaves, false, chunk)
			pull(t, b, a, p, leaves, false, chunk)
			if a.Root(p) != b.Root(p) {
				t.Fatalf("seed %d: partition %d differs after pulls both ways", seed, p)
			}
		}
		wantTrees(t, a)
		wantTrees(t, b)
	}
}

// A new owner that pulls everything holds, tombstones and contexts included, all that the old one held.
func TestAPullOfEverythingBringsTombstonesToo(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	a, b := openCounted(t), openCounted(t)
	diverge(t, rng, a, openMem(t), 300)
	for p := range ring.Partition(testPartitions) {
		pull(t, b, a, p, merkle.AllLeaves(), true, 300)
		for space := range uint8(2) {
			err := a.ForEach(t.Context(), space, p, func(e Entry) error {
				r := &request.Read{Key: request.Key{Space: space, Partition: p, Name: e.Key}}
				if b.Read([]*request.Read{r}); r.Err != nil || !r.State.Covers(e.State) {
					return fmt.Errorf("%s: %v, %v", e.Key, r.State, r.Err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if again := pull(t, b, a, p, merkle.AllLeaves(), true, 300); again.rows != 0 {
			t.Fatalf("%d rows travel a second time", again.rows)
		}
	}
}

func TestATombstoneTravelsOnlyOverARow(t *testing.T) {
	a, b := openCounted(t), openCounted(t)
	known, unknown := setter(a, "known", "v"), setter(a, "unknown", "v")
	write(t, a, known, unknown)
	write(t, b, &request.Write{Key: known.Key, Delta: known.Delta})
	write(t, a, &request.Write{Key: known.Key, Mint: &put{}}, &request.Write{Key: unknown.Key, Mint: &put{}})
	sum := 0
	for p := range ring.Partition(testPartitions) {
		sum += pull(t, b, a, p, merkle.AllLeaves(), false, 1000).rows
	}
	if state := read(t, b, "known"); sum != 1 || !state.Tombstone() {
		t.Fatalf("%d rows, known is %v", sum, state)
	}
}

func TestAnAnswerIsBoundedAndResumes(t *testing.T) {
	a, b := openCounted(t), openCounted(t)
	p := ring.Partition(3)
	for i := range ChunkRowsMax + 10 {
		el := setter(a, fmt.Sprintf("k%06d", i), "value")
		el.Key.Partition = p
		write(t, a, el)
	}
	q := RowsQuestion{Partition: p, Leaves: merkle.AllLeaves(), BytesMax: ChunkBytesMax}
	all, err := a.Rows(t.Context(), q)
	if err != nil || len(all.Rows) != ChunkRowsMax || string(all.Next.Name) != fmt.Sprintf("k%06d", ChunkRowsMax) {
		t.Fatalf("%d rows, next %v, %v", len(all.Rows), all.Next, err)
	}
	q.From = *all.Next
	if rest, err := a.Rows(t.Context(), q); err != nil || len(rest.Rows) != 10 || rest.Next != nil {
		t.Fatalf("%d rows, next %v, %v", len(rest.Rows), rest.Next, err)
	}
	q.BytesMax = 0 // a question goes on by a row at least, whatever it asks
	if one, err := a.Rows(t.Context(), q); err != nil || len(one.Rows) != 1 || one.Next == nil {
		t.Fatalf("%d rows, next %v, %v", len(one.Rows), one.Next, err)
	}
	have, to, err := a.Sketch(t.Context(), p, merkle.AllLeaves(), Cursor{})
	if err != nil || len(have) != ChunkRowsMax+10 || to != nil {
		t.Fatalf("%d hashes, to %v, %v", len(have), to, err)
	}
	if _, _, err := b.Sketch(t.Context(), testPartitions, merkle.AllLeaves(), Cursor{}); err == nil {
		t.Fatal("a partition that does not exist was read")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q.BytesMax = ChunkBytesMax
	if _, err := a.Rows(ctx, q); err == nil {
		t.Fatal("a question whose asker has gone was answered")
	}
}

func TestCursorsAreInTheOrderOfRows(t *testing.T) {
	ordered := []Cursor{{}, {0, []byte("a")}, {0, []byte("a\x00")}, {0, []byte("b")}, {1, nil}, {1, []byte("a")}}
	for i, c := range ordered {
		for j, o := range ordered {
			if c.After(o) != (i > j) {
				t.Errorf("%v after %v: %v", c, o, c.After(o))
			}
		}
	}
}

func samplePull(t testing.TB) (question, answer []byte, p ring.Partition) {
	s := openMem(t)
	el := setter(s, "k", "value")
	write(t, s, el)
	p = el.Key.Partition
	q := RowsQuestion{Partition: p, Leaves: merkle.AllLeaves(), Tombstones: true, From: Cursor{1, []byte("a")}, To: &Cursor{2, nil},
		Have: []RowHash{{1, 2}, {3, 4}}, BytesMax: 100}
	a := RowsAnswer{Rows: []*request.Write{{Key: el.Key, Delta: el.Delta}}, Next: &Cursor{0, []byte("l")}}
	return q.Append(nil), a.Append(nil), p
}

func TestAnAnswerOfOtherRowsIsRefused(t *testing.T) {
	_, good, p := samplePull(t)
	if _, err := DecodeRowsAnswer(good, p, testPartitions); err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeRowsAnswer(good, p+1, testPartitions); err == nil {
		t.Error("a row of another partition was accepted")
	}
	delta := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 1}, []causal.Version{{}}, never)
	for name, el := range map[string]*request.Write{
		"a hint":             {Key: keyOf("k"), Delta: delta, For: ring.NodeID{1}},
		"a fallback's write": {Key: keyOf("k"), Delta: delta, Role: request.RoleFallback},
	} {
		a := RowsAnswer{Rows: []*request.Write{el}}
		if _, err := DecodeRowsAnswer(a.Append(nil), el.Key.Partition, testPartitions); err == nil {
			t.Errorf("%s was accepted as a row", name)
		}
	}
	for _, q := range []RowsQuestion{{BytesMax: ChunkBytesMax + 1}, {Have: make([]RowHash, SketchRowsMax+1)}, {From: Cursor{Space: request.SpacesMax}}} {
		q.Leaves = merkle.AllLeaves()
		if _, err := DecodeRowsQuestion(q.Append(nil)); err == nil {
			t.Errorf("a question beyond the caps was accepted: %d bytes, %d hashes", q.BytesMax, len(q.Have))
		}
	}
}

func FuzzPullCodec(f *testing.F) {
	question, answer, p := samplePull(f)
	f.Add(question)
	f.Add(answer)
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := DecodeRowsQuestion(b); err == nil && !bytes.Equal(q.Append(nil), b) {
			t.Fatalf("question %x becomes %x", b, q.Append(nil))
		}
		if a, err := DecodeRowsAnswer(b, p, testPartitions); err == nil && !bytes.Equal(a.Append(nil), b) {
			t.Fatalf("answer %x becomes %x", b, a.Append(nil))
		}
	})
}
