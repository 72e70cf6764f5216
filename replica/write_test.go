package replica

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

func TestLaterElementsSeeEarlierOnes(t *testing.T) {
	s := openMem(t)
	write(t, s, blind(s, "k", "a"), blind(s, "k", "b"), setter(s, "other", "x"), blind(s, "k", "c"))
	wantValues(t, read(t, s, "k"), "c", "b", "a")
	write(t, s, blind(s, "k", "d"), setter(s, "k", "last"))
	wantValues(t, read(t, s, "k"), "last")
	if c := s.Total(); c.Keys != 2 || c.Rows != 2 || c.Siblings != 0 {
		t.Fatalf("counts %+v", c)
	}
}

func TestKnownDeltaWritesNothing(t *testing.T) {
	s := openMem(t)
	el := setter(s, "k", "v")
	write(t, s, el)
	if !el.Wrote {
		t.Fatal("the first write wrote nothing")
	}
	again := &request.Write{Key: el.Key, Delta: el.Delta}
	write(t, s, again)
	if again.Wrote {
		t.Fatal("a known delta was written")
	}
	none := &request.Write{Key: keyOf("none"), Delta: causal.State{}}
	write(t, s, none)
	if none.Wrote || s.Total().Rows != 1 {
		t.Fatal("nothing was written as a row")
	}
}

func TestDeclinedMintWritesNothing(t *testing.T) {
	s := openMem(t)
	el := &request.Write{Key: keyOf("k"), Mint: decline{}}
	write(t, s, el)
	if el.Wrote || !el.Delta.IsZero() || !read(t, s, "k").IsZero() {
		t.Fatalf("declined, but %+v", el)
	}
}

// A coordinator removes the survivors of its write. What overwrote the write, or its twin, is none: a copy of a write that was
// retried elsewhere, answered, and then overwritten may arrive that late.
func TestWhatOverwroteTheDeltaIsNoSurvivor(t *testing.T) {
	s := openMem(t)
	old := version(s, "old")
	first := &request.Write{Key: keyOf("k"), Mint: &put{versions: []causal.Version{old}}}
	write(t, s, first)
	write(t, s, setter(s, "k", "newer"))
	twin := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 99, Seq: 1}, []causal.Version{old}, nil)
	for name, late := range map[string]causal.State{"the write": first.Delta, "its twin": twin} {
		el := &request.Write{Key: keyOf("k"), Delta: late}
		write(t, s, el)
		wantValues(t, read(t, s, "k"), "newer")
		if !el.Survivor.IsZero() {
			t.Errorf("%s was overwritten by %q, which is told as its survivor", name, values(el.Survivor))
		}
	}
}

func TestSurvivorOutstampsTheDelta(t *testing.T) {
	s := openMem(t)
	old := version(s, "old")
	newer := blind(s, "k", "newer")
	write(t, s, newer)
	if !newer.Survivor.IsZero() {
		t.Fatal("a lone value outstamps itself")
	}
	el := &request.Write{Key: keyOf("k"), Mint: &put{seen: &causal.Context{}, versions: []causal.Version{old}}}
	write(t, s, el)
	wantValues(t, el.Survivor, "newer")
	if !el.Survivor.Seen.Covers(newer.Delta.Seen) || el.Survivor.Seen.Covers(el.Delta.Seen) {
		t.Fatal("the survivor's context does not cover it alone")
	}
	remove := &request.Write{Key: keyOf("k"), Mint: &put{seen: &el.Delta.Seen}}
	write(t, s, remove)
	if !remove.Survivor.IsZero() {
		t.Fatal("a delete has no survivor")
	}
}

func TestTombstoneStays(t *testing.T) {
	s := openMem(t)
	write(t, s, setter(s, "k", "v"), &request.Write{Key: keyOf("k"), Mint: &put{}})
	s = reopen(t, s)
	if state := read(t, s, "k"); !state.Tombstone() {
		t.Fatalf("state %v", state)
	}
	if c := s.Total(); c.Keys != 0 || c.Rows != 1 {
		t.Fatalf("counts %+v", c)
	}
}

func TestSiblingsCapRefusesOnlyLocalMints(t *testing.T) {
	s := openMem(t)
	for i := range request.SiblingsMax {
		write(t, s, blind(s, "k", fmt.Sprint(i)))
	}
	over := blind(s, "k", "over")
	if err := writeError(s, over); !errors.Is(err, request.ErrTooManySiblings) {
		t.Fatalf("one over the cap: %v", err)
	}
	if over.Wrote || !over.Delta.IsZero() || len(read(t, s, "k").Siblings) != request.SiblingsMax {
		t.Fatal("the refused write left something")
	}
	peer := openMem(t)
	theirs := blind(peer, "k", "theirs")
	write(t, peer, theirs)
	write(t, s, &request.Write{Key: keyOf("k"), Delta: theirs.Delta})
	if got := len(read(t, s, "k").Siblings); got != request.SiblingsMax+1 {
		t.Fatalf("%d siblings: a peer's delta was dropped", got)
	}
	write(t, s, setter(s, "k", "one"))
	wantValues(t, read(t, s, "k"), "one")
}

func TestStateBytesCapRefusesOnlyLocalMints(t *testing.T) {
	if testing.Short() {
		t.Skip("30 MiB")
	}
	s := openMem(t)
	value := strings.Repeat("v", request.ValueBytesMax)
	for range StateBytesMax / request.ValueBytesMax {
		write(t, s, blind(s, "k", value))
	}
	if err := writeError(s, blind(s, "k", value)); !errors.Is(err, request.ErrTooBig) {
		t.Fatalf("one over the cap: %v", err)
	}
	if got := len(read(t, s, "k").Siblings); got != StateBytesMax/request.ValueBytesMax {
		t.Fatalf("%d siblings", got)
	}
}

func TestRefusedElementLeavesTheOthersAlone(t *testing.T) {
	s := openMem(t)
	bad := &request.Write{Key: request.Key{Space: request.SpacesMax}, Mint: decline{}}
	good := setter(s, "k", "v")
	if err := s.Write(t.Context(), []*request.Write{bad, good}); err != nil || bad.Err == nil || good.Err != nil {
		t.Fatalf("%v, %v, %v", err, bad.Err, good.Err)
	}
	wantValues(t, read(t, s, "k"), "v")
}

// told is a context that tells a deadline and does not end by it.
type told struct {
	context.Context
	deadline time.Time
}

func (c told) Deadline() (time.Time, bool) { return c.deadline, true }

func TestExpiredContextIsNotExecuted(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, ctx := range map[string]context.Context{
		"cancelled":               cancelled,
		"its deadline has passed": told{t.Context(), time.Now().Add(-time.Nanosecond)},
	} {
		t.Run(name, func(t *testing.T) {
			s := openMem(t)
			el := setter(s, "k", "v")
			if err := s.Write(ctx, []*request.Write{el}); !errors.Is(err, request.ErrExpired) || !errors.Is(el.Err, request.ErrExpired) {
				t.Fatalf("%v, %v", err, el.Err)
			}
			if !read(t, s, "k").IsZero() {
				t.Fatal("it was executed")
			}
		})
	}
}

// Read, decision and write of a key are one step: of concurrent overwrites each replaces the one before, and a counter
// under one actor never repeats.
func TestConcurrentWritesOfAKeyAreAtomic(t *testing.T) {
	s := openMem(t)
	const writers, each = 4, 50
	var mu sync.Mutex
	dots := make(map[causal.Dot]string)
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			for i := range each {
				value := fmt.Sprint(n, i)
				els := []*request.Write{setter(s, "k", value), setter(s, fmt.Sprint("k", i%3), value)}
				if err := s.Write(context.Background(), els); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, el := range els {
					dot := el.Delta.Siblings[0].Dot
					if dots[dot] != "" {
						t.Errorf("dot %v was minted twice", dot)
					}
					dots[dot] = value
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	state := read(t, s, "k")
	if len(state.Siblings) != 1 || state.Siblings[0].Dot.Counter != writers*each {
		t.Fatalf("%d siblings, last dot %v", len(state.Siblings), state.Siblings[0].Dot)
	}
}

func TestDamagedRowIsReportedNotServed(t *testing.T) {
	s := openMem(t)
	k := keyOf("k")
	if err := s.putDurable(appendDataKey(nil, k), []byte{rowFormat, 0, 0xff}); err != nil {
		t.Fatal(err)
	}
	r := &request.Read{Key: k}
	if s.Read([]*request.Read{r}); !errors.Is(r.Err, request.ErrCorrupt) {
		t.Fatalf("read: %v", r.Err)
	}
	if err := writeError(s, setter(s, "k", "v")); !errors.Is(err, request.ErrCorrupt) {
		t.Fatalf("write: %v", err)
	}
}

func TestFullDiskRefusesAllButTheReserve(t *testing.T) {
	free := uint64(ReserveBytesMin)
	cfg := memConfig(vfs.NewMem())
	cfg.ReserveBytes = ReserveBytesMin
	cfg.FreeBytes = func() (uint64, error) { return free, nil }
	s := openStore(t, cfg)
	write(t, s, setter(s, "k", "v"))
	free--
	if !s.CheckSpace() {
		t.Fatal("a byte below the reserve is not low")
	}
	el := setter(s, "k", "w")
	if err := writeError(s, el); !errors.Is(err, request.ErrDiskLow) {
		t.Fatalf("write: %v", err)
	}
	el.Reserve = true
	write(t, s, el)
	wantValues(t, read(t, s, "k"), "w")
	free = 2 * ReserveBytesMin
	if s.CheckSpace() {
		t.Fatal("still low")
	}
	write(t, s, setter(s, "k", "x"))
}

func TestBytesWrittenSinceTheLastLookCount(t *testing.T) {
	cfg := memConfig(vfs.NewMem())
	cfg.ReserveBytes = ReserveBytesMin
	cfg.FreeBytes = func() (uint64, error) { return ReserveBytesMin + 1000, nil }
	s := openStore(t, cfg)
	write(t, s, setter(s, "k", strings.Repeat("v", 2000)))
	if err := writeError(s, setter(s, "k", "w")); !errors.Is(err, request.ErrDiskLow) {
		t.Fatalf("write: %v", err)
	}
}

func TestReserveOfADisk(t *testing.T) {
	for total, want := range map[uint64]uint64{0: ReserveBytesMin, 1 << 30: ReserveBytesMin, 10 << 30: 10 << 30 / 100 * 5, 1 << 40: ReserveBytesMax} {
		if got := reserveOf(total); got != want {
			t.Errorf("reserve of %d: %d, want %d", total, got, want)
		}
	}
}

func TestCountsAreExact(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openStore(t, memConfig(fs))
	write(t, s, setter(s, "a", "1"), blind(s, "b", "1"), blind(s, "b", "2"), setter(s, "c", "1"))
	write(t, s, &request.Write{Key: keyOf("c"), Mint: &put{}}, setter(s, "a", "longer than it was"))
	want := s.Total()
	if want.Keys != 2 || want.Rows != 3 || want.Siblings != 1 {
		t.Fatalf("counts %+v", want)
	}
	if err := s.Durable(t.Context()); err != nil {
		t.Fatal(err)
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	s = reopen(t, s)
	if got := s.Total(); got != want || !s.Counted() {
		t.Fatalf("after a clean restart %+v, want %+v", got, want)
	}
	s = openStore(t, memConfig(crashed))
	write(t, s, setter(s, "new", "1"))
	for !s.Counted() {
		runtime.Gosched()
	}
	if got := s.Total(); got.Keys != want.Keys+1 || got.Rows != want.Rows+1 || got.Siblings != want.Siblings {
		t.Fatalf("after a crash %+v, had %+v and one more", got, want)
	}
	if got := s.Keys(0, keyOf("b").Partition); got < 1 {
		t.Fatalf("%d keys in the partition of b", got)
	}
	if s.Keys(request.SpacesMax, 0) != 0 || s.Keys(0, testPartitions) != 0 {
		t.Fatal("places that do not exist hold keys")
	}
}

func FuzzCounts(f *testing.F) {
	t := newTally(testPartitions)
	t.at(place{1, 2}).add(Counts{1, 2, 3, 4})
	f.Add(t.append(nil))
	f.Add(newTally(testPartitions).append(nil))
	f.Fuzz(func(_ *testing.T, b []byte) { _ = newTally(testPartitions).load(b) })
}

func FuzzRow(f *testing.F) {
	actor := causal.Actor{Boot: 1, Seq: 2}
	state := causal.State{}.Put(causal.Context{}, actor, []causal.Version{{Stamp: causal.Stamp{Time: 1, Node: 1}, Value: []byte("v")}}, never)
	f.Add(appendRow(nil, row{actor, state}))
	f.Add(appendRow(nil, row{}))
	f.Add(appendHint(nil, hint{kind: hintMarker, since: 1, owed: state.Seen}))
	f.Add(appendHint(nil, hint{kind: hintData, since: 1, row: row{actor, state}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeRow(b); err == nil && string(appendRow(nil, r)) != string(b) {
			t.Fatalf("row %x becomes %x", b, appendRow(nil, r))
		}
		if h, err := decodeHint(b); err == nil && string(appendHint(nil, h)) != string(b) {
			t.Fatalf("hint %x becomes %x", b, appendHint(nil, h))
		}
	})
}

func FuzzKeys(f *testing.F) {
	k := request.Key{Space: 3, Partition: 7, Name: []byte("name")}
	f.Add(appendQueueKey(nil, [16]byte{1}, 5, k))
	f.Add(appendExpiryKey(nil, 5, k))
	f.Add(appendMarkKey(nil, [16]byte{1}, placeOf(k), 9))
	f.Add([]byte{2, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		if target, since, k, ok := splitQueueKey(b); ok && string(appendQueueKey(nil, target, since, k)[1:]) != string(b[1:]) {
			t.Fatalf("queue key %x", b)
		}
		if at, k, ok := splitExpiryKey(b); ok && at >= 0 && string(appendExpiryKey(nil, at, k)[1:]) != string(b[1:]) {
			t.Fatalf("expiry key %x", b)
		}
		if target, p, g, ok := splitMarkKey(b); ok && string(appendMarkKey(nil, target, p, g)[1:]) != string(b[1:]) {
			t.Fatalf("mark key %x", b)
		}
		if _, size, ok := splitQueueValue(b); ok && size < 0 {
			t.Fatalf("queue value %x", b)
		}
	})
}

// A state beyond what can be decoded again would be a row that nobody reads any more.
func TestStateThatCouldNotBeReadAgainIsRefused(t *testing.T) {
	s := openMem(t)
	var seen causal.Context
	for i := range uint64(causal.ActorsMax) {
		seen = seen.Add(causal.Dot{Actor: causal.Actor{Boot: 1, Seq: i + 1}, Counter: 1})
	}
	write(t, s, &request.Write{Key: keyOf("k"), Delta: causal.State{Seen: seen}})
	other := causal.Context{}.Add(causal.Dot{Actor: causal.Actor{Boot: 2, Seq: 1}, Counter: 1})
	for name, el := range map[string]*request.Write{
		"minted here": setter(s, "k", "v"),
		"from a peer": {Key: keyOf("k"), Delta: causal.State{Seen: other}},
	} {
		if err := writeError(s, el); !errors.Is(err, request.ErrTooBig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := read(t, s, "k"); !got.Seen.Equal(seen) || len(got.Siblings) != 0 {
		t.Error("the row is not what it was")
	}
}

// A row that is no row refuses its element alone, wherever in a batch it is read.
func TestEmptyRowRefusesItsElementAlone(t *testing.T) {
	s := openMem(t)
	write(t, s, setter(s, "a", "old"), setter(s, "c", "old"))
	if err := s.db.Set(appendDataKey(nil, keyOf("b")), nil, nil); err != nil {
		t.Fatal(err)
	}
	batch := []*request.Write{setter(s, "a", "new"), setter(s, "b", "new"), setter(s, "c", "new")}
	if err := s.Write(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
	if a, b, c := batch[0].Err, batch[1].Err, batch[2].Err; a != nil || !errors.Is(b, request.ErrCorrupt) || c != nil {
		t.Fatalf("answered %v, %v and %v", a, b, c)
	}
	wantValues(t, read(t, s, "c"), "new")
}
