package replica

import (
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// remove deletes all that is there.
func remove(t testing.TB, s *Store, name string) {
	t.Helper()
	seen := read(t, s, name).Seen
	write(t, s, &request.Write{Key: keyOf(name), Delta: causal.State{Seen: seen}})
}

// tombstonesOf walks the whole partition.
func tombstonesOf(t testing.TB, s *Store, p ring.Partition) (all []Tombstone) {
	t.Helper()
	for from, more := (Cursor{}), true; more; {
		found, next, err := s.Tombstones(t.Context(), p, from)
		if err != nil || len(found) > ReapKeysMax {
			t.Fatalf("%d tombstones, %v", len(found), err)
		}
		all = append(all, found...)
		if more = next != nil; more {
			from = *next
		}
	}
	return all
}

func TestTombstonesAreFoundHeldAndForgotten(t *testing.T) {
	s := openCounted(t)
	p, dead := keyOf("{p}").Partition, ReapKeysMax+5
	for i := range dead {
		write(t, s, setter(s, fmt.Sprintf("{p}dead%04d", i), "v"))
		remove(t, s, fmt.Sprintf("{p}dead%04d", i))
		if i%10 == 0 {
			write(t, s, setter(s, fmt.Sprintf("{p}live%04d", i), "v"))
		}
	}
	all := tombstonesOf(t, s, p)
	if len(all) != dead || s.TombstonesOf(p) != int64(dead) {
		t.Fatalf("found %d tombstones, counted %d, want %d", len(all), s.TombstonesOf(p), dead)
	}
	held, err := s.HoldTombstones(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, setter(s, "{p}dead0003", "again"))
	forgotten, err := s.ForgetTombstones(held)
	if err != nil {
		t.Fatal(err)
	}
	for i, gone := range forgotten {
		if gone != (string(held[i].Key.Name) != "{p}dead0003") {
			t.Fatalf("%s forgotten: %v", held[i].Key.Name, gone)
		}
	}
	for range 2 { // and after a restart
		wantTrees(t, s)
		wantValues(t, read(t, s, "{p}dead0003"), "again")
		if n := s.TombstonesOf(p); n != 0 || len(tombstonesOf(t, s, p)) != 0 || !read(t, s, "{p}dead0001").IsZero() {
			t.Fatalf("%d tombstones are left", n)
		}
		s = reopen(t, s)
	}
}

func TestTombstoneHeldIsJoinedWithTheRow(t *testing.T) {
	s := openMem(t)
	write(t, s, setter(s, "dead", "v"), setter(s, "lives", "v"))
	seen := read(t, s, "dead").Seen
	other := causal.Context{}.Add(causal.Dot{Actor: causal.Actor{Boot: 9, Seq: 9}, Counter: 1})
	held, err := s.HoldTombstones(t.Context(), []Tombstone{
		{Key: keyOf("dead"), State: causal.State{Seen: seen.Join(other)}},
		{Key: keyOf("lives"), State: causal.State{Seen: other}},
		{Key: keyOf("unknown"), State: causal.State{Seen: other}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !held[0].State.Tombstone() || !held[0].State.Seen.Equal(seen.Join(other)) || len(held[1].State.Siblings) != 1 || !held[2].State.Seen.Equal(other) {
		t.Fatalf("held %+v", held)
	}
}

func TestTombstoneThatWasForgottenHereIsNoSignOfALoss(t *testing.T) {
	s := openMem(t)
	write(t, s, setter(s, "k", "v"))
	remove(t, s, "k")
	before, all := s.Boot(), tombstonesOf(t, s, keyOf("k").Partition)
	for range 2 { // forgotten here, held elsewhere, and proposed from there
		held, err := s.HoldTombstones(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		if gone, err := s.ForgetTombstones(held); err != nil || !gone[0] {
			t.Fatal(gone, err)
		}
	}
	if s.Boot() != before {
		t.Fatal("new boot bits were drawn")
	}
}

func TestTracesOfAKey(t *testing.T) {
	cfg := memConfig(vfs.NewMem())
	cfg.MarkersPerTarget = 1
	s := openStore(t, cfg)
	write(t, s, setter(s, "{p}row", "v"), owing(setter(s, "{p}marker", "v"), targetA), standingIn(setter(s, "{p}data", "v"), targetB), setter(s, "{q}row", "v"))
	want := map[string]Trace{"{p}row": {Row: true}, "{p}marker": {Row: true, Hint: true}, "{p}data": {Hint: true}, "{p}none": {}}
	check := func() {
		t.Helper()
		for name, want := range want {
			found, err := s.Traces(context.Background(), []request.Key{keyOf("{q}row"), keyOf(name)})
			if err != nil || found[0] != (Trace{Row: true}) || found[1] != want {
				t.Errorf("%s: %+v, %v; want %+v", name, found, err, want)
			}
		}
	}
	check()
	write(t, s, owing(setter(s, "{p}second", "v"), targetA)) // one marker too many: the place is owed
	for name, trace := range want {
		trace.Hint = true
		want[name] = trace
	}
	check()
}

func TestWhatIsForgottenIsGoneFromTheDisk(t *testing.T) {
	s := openCounted(t) // counting reads a snapshot, which keeps what was deleted since
	write(t, s, setter(s, "gone", "v"), setter(s, "kept", "v"))
	compact(t, s)
	remove(t, s, "gone")
	p := keyOf("gone").Partition
	if _, err := s.ForgetTombstones(tombstonesOf(t, s, p)); err != nil {
		t.Fatal(err)
	}
	compact(t, s)
	if left := tombstonesOf(t, s, p); len(left) > 0 {
		t.Errorf("%d rows are left", len(left))
	}
	if m := s.db.Metrics(); m.Keys.TombstoneCount != 0 {
		t.Errorf("%d deletions, and what they delete, are still in the tables:\n%s", m.Keys.TombstoneCount, m)
	}
}

// compact rewrites all tables there are: a new one reaches from end to end, or one might only be moved.
func compact(t *testing.T, s *Store) {
	t.Helper()
	for _, end := range [][]byte{{0}, {0xff}} {
		if err := s.db.Set(end, nil, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff, 0xff}, true); err != nil {
		t.Fatal(err)
	}
}
