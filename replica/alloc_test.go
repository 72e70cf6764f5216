package replica

import (
	"context"
	"testing"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// What a replica allocates for what clients ask most, of rows in the cache. A batch of copies takes a third of an allocation a row, for what
// its rows lie in, and what they are decoded to.
func TestHotRowsAllocateLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector sync.Pool forgets")
	}
	s := openStore(t, Config{Dir: t.TempDir(), Partitions: 256, Sync: SyncNone, MemoryBytes: 64 << 20})
	var reads, same []*request.Read
	var copies []*request.Write
	for i := range 16 {
		el := benchWrites(s, i, 1)[0]
		write(t, s, el)
		copies = append(copies, &request.Write{Key: el.Key, Delta: el.Delta})
		reads = append(reads, &request.Read{Key: el.Key})
		same = append(same, &request.Read{Key: el.Key, Compare: true, Digest: el.Delta.Digest()})
	}
	next := func(w *request.Write) { // overwrites the copy, as another node would
		v := w.Delta.Siblings[0].Version
		v.Stamp.Time++
		w.Delta = w.Delta.Put(w.Delta.Seen, causal.Actor{Boot: 7, Seq: 7}, []causal.Version{v}, func(causal.Stamp) bool { return true })
	}
	const putsOfNext = 2
	ctx := context.Background()
	store := func(ws []*request.Write) func() {
		return func() {
			for _, w := range ws {
				next(w)
			}
			if err := s.Write(ctx, ws); err != nil || !ws[0].Wrote {
				t.Fatalf("not written: %v", err)
			}
		}
	}
	for _, c := range []struct {
		name string
		most float64
		f    func()
	}{
		{"a read", 2, func() { s.Read(reads[:1]) }},
		{"a read of what the asker has", 0, func() { s.Read(same[:1]) }},
		{"16 of those", 0, func() { s.Read(same) }},
		{"a copy", 3 + putsOfNext, store(copies[:1])},
		{"16 copies", 5 + 16*putsOfNext, store(copies)},
	} {
		if got := testing.AllocsPerRun(100, c.f); got > c.most {
			t.Errorf("%s: %v allocations, want %v at most", c.name, got, c.most)
		}
	}
}
