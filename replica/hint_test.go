package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

var targetA, targetB = ring.NodeID{0xaa}, ring.NodeID{0xbb}

func owing(el *request.Write, targets ...ring.NodeID) *request.Write {
	el.Owed = targets
	return el
}

func standingIn(el *request.Write, target ring.NodeID) *request.Write {
	el.For = target
	return el
}

func wantHints(t testing.TB, s *Store, markers, data, marks int) {
	t.Helper()
	if st := s.HintStats(); st.Markers != markers || st.Data != data || st.Marks != marks {
		t.Fatalf("%d markers, %d data, %d marks; want %d, %d, %d", st.Markers, st.Data, st.Marks, markers, data, marks)
	}
}

func TestFallbackKeepsDataHints(t *testing.T) {
	s := openMem(t)
	one := standingIn(setter(s, "k", "1"), targetA)
	write(t, s, one, standingIn(blind(s, "k", "2"), targetA), standingIn(setter(s, "other", "x"), targetB))
	wantHints(t, s, 0, 3-1, 0)
	wantValues(t, read(t, s, "k"), "2", "1")
	if s.Total().Rows != 0 {
		t.Fatal("a hint became a row")
	}
	write(t, s, setter(s, "k", "own"))
	wantValues(t, read(t, s, "k"), "own", "2", "1")
	r := &request.Read{Key: keyOf("k"), Compare: true, Digest: read(t, s, "k").Digest()}
	if s.Read([]*request.Read{r}); !r.Same {
		t.Fatal("the digest is not that of row and hints")
	}
	bytes := s.HintStats().Bytes
	s = reopen(t, s)
	wantHints(t, s, 0, 2, 0)
	if got := s.HintStats().Bytes; got != bytes || bytes == 0 {
		t.Fatalf("%d bytes of hints after a restart, %d before", got, bytes)
	}
	wantValues(t, read(t, s, "k"), "own", "2", "1")
}

func TestMarkersAreCoalescedAndCancelledByDot(t *testing.T) {
	s := openMem(t)
	first := owing(setter(s, "k", "1"), targetA, targetB)
	second := owing(setter(s, "k", "2"), targetA)
	write(t, s, first, second)
	wantHints(t, s, 2, 0, 0)
	if err := s.CancelHint(targetA, keyOf("k"), first.Delta.Seen); err != nil {
		t.Fatal(err)
	}
	wantHints(t, s, 2, 0, 0)
	if err := s.CancelHint(targetA, keyOf("k"), second.Delta.Seen); err != nil {
		t.Fatal(err)
	}
	wantHints(t, s, 1, 0, 0)
	if got := s.Stats().HintsCancelled; got != 1 {
		t.Fatalf("%d cancelled", got)
	}
	if err := s.AddHints(t.Context(), []Owed{{targetA, keyOf("k"), second.Delta.Seen, true}, {targetB, keyOf("k"), second.Delta.Seen, true}}); err != nil {
		t.Fatal(err)
	}
	wantHints(t, s, 2, 0, 0)
	s = reopen(t, s)
	wantHints(t, s, 2, 0, 0)
}

func TestHintBytesCapRefusesBeforeMinting(t *testing.T) {
	cfg := memConfig(vfs.NewMem())
	cfg.HintBytesMax = 1000
	s := openStore(t, cfg)
	value := strings.Repeat("v", 500)
	write(t, s, standingIn(setter(s, "k", value), targetA))
	over := standingIn(setter(s, "other", value), targetA)
	if err := writeError(s, over); !errors.Is(err, request.ErrHintsFull) {
		t.Fatalf("one over the cap: %v", err)
	}
	if !over.Delta.IsZero() || over.Wrote || s.HintStats().Bytes > 1000 {
		t.Fatalf("the refused hint left something: %+v", over)
	}
	write(t, s, standingIn(setter(s, "k", strings.Repeat("w", 500)), targetA)) // replaces, does not grow
	write(t, s, owing(setter(s, "primary", value), targetA))                   // a marker has no data
	wantHints(t, s, 1, 1, 0)
}

func TestMarkersBeyondTheCapMarkThePartition(t *testing.T) {
	cfg := memConfig(vfs.NewMem())
	cfg.MarkersPerTarget = 2
	s := openStore(t, cfg)
	for i := range 5 {
		write(t, s, owing(setter(s, fmt.Sprintf("{p}%d", i), "v"), targetA))
	}
	wantHints(t, s, 2, 0, 1)
	s = reopen(t, s)
	wantHints(t, s, 2, 0, 1)
}

func TestOwedPartitionSurvivesAPowerCutAndIsPaid(t *testing.T) {
	fs := vfs.NewCrashableMem()
	cfg := memConfig(fs)
	cfg.Sync = SyncAlways
	s := openStore(t, cfg)
	write(t, s, setter(s, "k", "v"))
	if err := s.OwePartition(targetA, 0, keyOf("k").Partition); err != nil {
		t.Fatal(err)
	}
	if err := s.OwePartition(s.Node(), 0, keyOf("k").Partition); err != nil {
		t.Fatal(err)
	}
	if err := s.OwePartition(targetA, 0, testPartitions); err == nil {
		t.Fatal("a partition that does not exist owes")
	}
	cfg.FS = fs.CrashClone(vfs.CrashCloneCfg{})
	inBubble(t, cfg, func(t *testing.T, s *Store) {
		wantHints(t, s, 0, 0, 1)
		in := newInbox()
		if err := s.StartHandoff(in.handoff()); err != nil {
			t.Fatal(err)
		}
		settle(2 * handoffEvery)
		wantHints(t, s, 0, 0, 0)
		wantValues(t, in.got["k"], "v")
	})
}

// deleting is a write that removes what the context covers, and misses the target.
func deleting(name string, seen causal.Context, target ring.NodeID) *request.Write {
	return owing(&request.Write{Key: keyOf(name), Mint: &put{seen: &seen}}, target)
}

// A delete mints no dot: that the target acknowledged the dots does not mean that it knows them to be gone.
func TestMarkerOfADeleteIsNotCancelledByItsDots(t *testing.T) {
	s := openMem(t)
	one := owing(setter(s, "k", "1"), targetA)
	write(t, s, one)
	write(t, s, deleting("k", one.Delta.Seen, targetA))
	if err := s.CancelHint(targetA, keyOf("k"), one.Delta.Seen); err != nil {
		t.Fatal(err)
	}
	wantHints(t, s, 1, 0, 0)
}

// Nor does it when the marker is the delete's alone: the write that it deletes may be acknowledged late, its own marker delivered
// long ago. The same of a whole row that is owed, which may have lost what it knows of.
func TestMarkerOfADeleteAloneIsNotCancelledByItsDots(t *testing.T) {
	for name, owe := range map[string]func(s *Store, seen causal.Context){
		"in the delete's commit": func(s *Store, seen causal.Context) { write(t, s, deleting("k", seen, targetA)) },
		"after it": func(s *Store, seen causal.Context) {
			write(t, s, &request.Write{Key: keyOf("k"), Mint: &put{seen: &seen}})
			if err := s.AddHints(t.Context(), []Owed{{targetA, keyOf("k"), seen, false}}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openMem(t)
			one := setter(s, "k", "1")
			write(t, s, one)
			owe(s, one.Delta.Seen)
			wantHints(t, s, 1, 0, 0)
			if err := s.CancelHint(targetA, keyOf("k"), one.Delta.Seen); err != nil {
				t.Fatal(err)
			}
			wantHints(t, s, 1, 0, 0)
		})
	}
}

func TestDeleteDuringADeliveryIsDeliveredToo(t *testing.T) {
	cfg := memConfig(vfs.NewMem())
	cfg.Settled = func(causal.Stamp) bool { return true } // no remembered stamp tells the delete from the put
	inBubble(t, cfg, func(t *testing.T, s *Store) {
		one := owing(setter(s, "k", "1"), targetA)
		write(t, s, one)
		in := newInbox()
		in.during = sync.OnceFunc(func() { write(t, s, deleting("k", one.Delta.Seen, targetA)) })
		if err := s.StartHandoff(in.handoff()); err != nil {
			t.Fatal(err)
		}
		settle(3 * handoffEvery)
		wantHints(t, s, 0, 0, 0)
		wantValues(t, in.got["k"])
	})
}

// inbox is a target that keeps what it is given.
type inbox struct {
	sync.Mutex
	up     bool
	refuse string
	got    map[string]causal.State
	order  []string
	during func()
	calls  int
}

func newInbox() *inbox { return &inbox{up: true, got: make(map[string]causal.State)} }

func (in *inbox) handoff() Handoff {
	return Handoff{
		Ready: func(ring.NodeID, ring.Partition) bool { in.Lock(); defer in.Unlock(); return in.up },
		Deliver: func(_ context.Context, _ ring.NodeID, items []HandoffItem) ([]Outcome, error) {
			if in.during != nil {
				in.during()
			}
			in.Lock()
			defer in.Unlock()
			in.calls++
			outcomes := make([]Outcome, len(items))
			for i, item := range items {
				name := string(item.Key.Name)
				if name == in.refuse {
					continue
				}
				in.got[name] = causal.Sync(in.got[name], item.State)
				in.order = append(in.order, name)
				outcomes[i] = OutcomeStored
			}
			return outcomes, nil
		},
	}
}

func (in *inbox) setRefuse(name string) { in.Lock(); defer in.Unlock(); in.refuse = name }

func (in *inbox) setUp(up bool) { in.Lock(); defer in.Unlock(); in.up = up }

// Of what is owed to one node some may have to wait for it, and some be due to others.
func TestOnlyWhatIsReadyIsDelivered(t *testing.T) {
	cfg := memConfig(vfs.NewMem())
	cfg.MarkersPerTarget = 2
	inBubble(t, cfg, func(t *testing.T, s *Store) {
		write(t, s, owing(setter(s, "{p}1", "v"), targetA), owing(setter(s, "{q}1", "v"), targetA),
			owing(setter(s, "{p}2", "v"), targetA), owing(setter(s, "{q}2", "v"), targetA)) // two markers, two marks
		write(t, s, standingIn(setter(s, "{p}data", "v"), targetA), standingIn(setter(s, "{q}data", "v"), targetA))
		wantHints(t, s, 2, 2, 2)
		in := newInbox()
		h := in.handoff()
		up := h.Ready
		h.Ready = func(id ring.NodeID, p ring.Partition) bool { return up(id, p) || p == keyOf("{q}").Partition }
		in.setUp(false)
		if err := s.StartHandoff(h); err != nil {
			t.Fatal(err)
		}
		settle(2 * handoffEvery)
		wantHints(t, s, 1, 1, 1)
		for name := range in.got {
			if !strings.HasPrefix(name, "{q}") {
				t.Errorf("%s was delivered", name)
			}
		}
		if len(in.got) != 3 {
			t.Errorf("%d keys were delivered, want 3", len(in.got))
		}
		in.setUp(true)
		settle(2 * handoffEvery)
		wantHints(t, s, 0, 0, 0)
		if len(in.got) != 6 || len(s.hints.partitions(targetA)) != 0 {
			t.Errorf("%d keys were delivered, want 6; %v partitions still counted", len(in.got), s.hints.partitions(targetA))
		}
	})
}

// inBubble runs a test of a store under synctest's clock, and closes the store inside it.
func inBubble(t *testing.T, cfg Config, test func(t *testing.T, s *Store)) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		test(t, s)
	})
}

func settle(d time.Duration) {
	time.Sleep(d) // synctest's time
	synctest.Wait()
}

func TestHintsAreDeliveredOldestFirstWithoutTraffic(t *testing.T) {
	inBubble(t, memConfig(vfs.NewMem()), func(t *testing.T, s *Store) {
		in := newInbox()
		in.setUp(false)
		var want []string
		for i := range 10 {
			name := fmt.Sprint("k", 9-i)
			want = append(want, name)
			if i%2 == 0 {
				write(t, s, owing(setter(s, name, "v"), targetA))
			} else {
				write(t, s, standingIn(setter(s, name, "v"), targetA))
			}
			time.Sleep(time.Millisecond)
		}
		if err := s.StartHandoff(in.handoff()); err != nil {
			t.Fatal(err)
		}
		settle(10 * time.Second)
		wantHints(t, s, 5, 5, 0)
		if age := s.HintStats().Oldest; age < 10*time.Second || age > 11*time.Second {
			t.Fatalf("oldest hint is %v old", age)
		}
		in.setUp(true)
		settle(2 * handoffEvery)
		wantHints(t, s, 0, 0, 0)
		if !slices.Equal(in.order, want) {
			t.Fatalf("delivered %v, want %v", in.order, want)
		}
		if st := s.Stats(); st.HintsDelivered != 10 || st.HintsStored != 10 {
			t.Fatalf("counted %d delivered of %d", st.HintsDelivered, st.HintsStored)
		}
	})
}

func TestHintThatChangedMeanwhileStays(t *testing.T) {
	inBubble(t, memConfig(vfs.NewMem()), func(t *testing.T, s *Store) {
		in := newInbox()
		write(t, s, owing(setter(s, "k", "1"), targetA))
		in.during = func() {
			in.during = nil
			write(t, s, owing(setter(s, "k", "2"), targetA))
			in.setUp(false)
		}
		if err := s.StartHandoff(in.handoff()); err != nil {
			t.Fatal(err)
		}
		s.PokeHandoff()
		settle(time.Millisecond)
		wantHints(t, s, 1, 0, 0)
		in.setUp(true)
		settle(2 * handoffEvery)
		wantHints(t, s, 0, 0, 0)
		wantValues(t, in.got["k"], "2")
	})
}

func TestRefusedHintHoldsNobodyUp(t *testing.T) {
	inBubble(t, memConfig(vfs.NewMem()), func(t *testing.T, s *Store) {
		in := newInbox()
		in.refuse = "bad"
		write(t, s, owing(setter(s, "bad", "v"), targetA))
		time.Sleep(time.Millisecond)
		for i := range HandoffItemsMax + 1 {
			write(t, s, owing(setter(s, fmt.Sprint("k", i), "v"), targetA))
		}
		if err := s.StartHandoff(in.handoff()); err != nil {
			t.Fatal(err)
		}
		settle(2 * handoffEvery)
		wantHints(t, s, 1, 0, 0)
		if len(in.got) != HandoffItemsMax+1 {
			t.Fatalf("%d delivered", len(in.got))
		}
	})
}

func TestMarkIsPaidByAScanIncludingWhatIsOwedMeanwhile(t *testing.T) {
	cfg := memConfig(vfs.NewMem())
	cfg.MarkersPerTarget = 1
	inBubble(t, cfg, func(t *testing.T, s *Store) {
		in := newInbox()
		const keys = HandoffItemsMax + 10
		for i := range keys {
			write(t, s, owing(setter(s, fmt.Sprintf("{p}%04d", i), "v"), targetA))
		}
		scans := 0
		in.during = func() {
			if scans++; scans == 3 { // behind the payment
				write(t, s, owing(setter(s, "{p}filler", "v"), targetA), owing(setter(s, "{p}0000", "late"), targetA))
			}
		}
		if err := s.StartHandoff(in.handoff()); err != nil {
			t.Fatal(err)
		}
		settle(5 * handoffEvery)
		wantHints(t, s, 0, 0, 0)
		if len(in.got) != keys+1 {
			t.Fatalf("%d of %d keys", len(in.got), keys+1)
		}
		wantValues(t, in.got["{p}0000"], "late")
		wantValues(t, in.got["{p}filler"], "v")
	})
}

func TestRefusedKeyOfAnOwedPartitionHoldsNobodyUp(t *testing.T) {
	cfg := memConfig(vfs.NewMem())
	cfg.MarkersPerTarget = 1
	inBubble(t, cfg, func(t *testing.T, s *Store) {
		in := newInbox()
		in.refuse = "{p}0003"
		const keys = 2 * HandoffItemsMax
		for i := range keys {
			write(t, s, owing(setter(s, fmt.Sprintf("{p}%04d", i), "v"), targetA))
		}
		if err := s.StartHandoff(in.handoff()); err != nil {
			t.Fatal(err)
		}
		settle(2 * handoffEvery)
		wantHints(t, s, 1, 0, 0)
		if len(in.got) != keys-1 {
			t.Fatalf("%d of %d keys", len(in.got), keys-1)
		}
		in.Lock()
		in.refuse = ""
		in.Unlock()
		settle(2 * handoffEvery)
		wantHints(t, s, 0, 0, 0)
	})
}

func TestPaymentResumesAfterARestart(t *testing.T) {
	cfg := memConfig(vfs.NewMem())
	cfg.MarkersPerTarget = 1
	in := newInbox()
	const keys = 3 * HandoffItemsMax
	inBubble(t, cfg, func(t *testing.T, s *Store) {
		for i := range keys {
			write(t, s, owing(setter(s, fmt.Sprintf("{p}%04d", i), "v"), targetA))
		}
		h := in.handoff()
		inner := h.Deliver
		h.Deliver = func(ctx context.Context, id ring.NodeID, items []HandoffItem) ([]Outcome, error) {
			if in.calls == 3 { // the marker and two parts of the scan
				return nil, errors.New("gone")
			}
			return inner(ctx, id, items)
		}
		if err := s.StartHandoff(h); err != nil {
			t.Fatal(err)
		}
		settle(2 * handoffEvery)
		wantHints(t, s, 0, 0, 1)
	})
	inBubble(t, cfg, func(t *testing.T, s *Store) {
		wantHints(t, s, 0, 0, 1)
		if err := s.StartHandoff(in.handoff()); err != nil {
			t.Fatal(err)
		}
		settle(2 * handoffEvery)
		wantHints(t, s, 0, 0, 0)
		if len(in.got) != keys || in.calls != 4 {
			t.Fatalf("%d keys in %d calls", len(in.got), in.calls)
		}
	})
}

func TestAcceptedHandoffIsDurable(t *testing.T) {
	for _, level := range []SyncLevel{SyncOS, SyncAlways, SyncNone} {
		t.Run(level.String(), func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			cfg := memConfig(fs)
			cfg.Sync = level
			s, from := openStore(t, cfg), openMem(t)
			write(t, from, setter(from, "k", "v"))
			outcomes, err := s.AcceptHandoff(t.Context(), []HandoffItem{
				{Key: keyOf("k"), State: read(t, from, "k")}, {Key: request.Key{Space: request.SpacesMax}, State: read(t, from, "k")}})
			if err != nil || !slices.Equal(outcomes, []Outcome{OutcomeStored, OutcomeRefused}) {
				t.Fatalf("%v %v", outcomes, err)
			}
			cfg.FS = fs.CrashClone(vfs.CrashCloneCfg{})
			wantValues(t, read(t, openStore(t, cfg), "k"), "v")
		})
	}
}

func TestSweeperRemovesWhatExpiredAfterTheDriftBound(t *testing.T) {
	inBubble(t, memConfig(vfs.NewMem()), func(t *testing.T, s *Store) {
		expiring := func(name, value string, after time.Duration, seen *causal.Context) *request.Write {
			v := version(s, value)
			v.ExpireAt = time.Now().Add(after).UnixMilli()
			return &request.Write{Key: keyOf(name), Mint: &put{seen: seen, versions: []causal.Version{v}}}
		}
		write(t, s, expiring("k", "soon", time.Second, nil), expiring("k", "later", time.Minute, &causal.Context{}))
		for i := range SweepRowsMax + 1 {
			write(t, s, expiring(fmt.Sprint("many", i), "v", time.Second, nil))
		}
		write(t, s, expiring("kept", "v", time.Second, nil), setter(s, "kept", "for ever"))
		settle(time.Second + DriftMaxDefault - 100*time.Millisecond)
		wantValues(t, read(t, s, "k"), "later", "soon")
		settle(2 * sweepEvery)
		wantValues(t, read(t, s, "k"), "later")
		if got := s.Stats().Expired; got != SweepRowsMax+2 {
			t.Fatalf("%d expired", got)
		}
		if state := read(t, s, "many0"); !state.Tombstone() {
			t.Fatalf("left %v", state)
		}
		settle(time.Minute + DriftMaxDefault)
		if c := s.Total(); c.Keys != 1 || c.Rows != SweepRowsMax+3 {
			t.Fatalf("counts %+v", c)
		}
		wantValues(t, read(t, s, "kept"), "for ever")
		wantTrees(t, s)
		rows := 0
		if err := s.eachKey([]byte{prefixExpiry}, func(_, _ []byte) error { rows++; return nil }); err != nil || rows != 0 {
			t.Fatalf("%d expiry rows are left, %v", rows, err)
		}
	})
}

func TestExpiryRowsFollowTheirSiblings(t *testing.T) {
	inBubble(t, memConfig(vfs.NewMem()), func(t *testing.T, s *Store) {
		rows := func() (n int) {
			if err := s.eachKey([]byte{prefixExpiry}, func(_, _ []byte) error { n++; return nil }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		v := version(s, "v")
		v.ExpireAt = time.Now().Add(time.Hour).UnixMilli()
		twin := version(s, "twin")
		twin.ExpireAt = v.ExpireAt
		write(t, s, &request.Write{Key: keyOf("k"), Mint: &put{versions: []causal.Version{v, twin}}})
		if got := rows(); got != 1 {
			t.Fatalf("%d rows for one time", got)
		}
		write(t, s, setter(s, "k", "for ever"))
		if got := rows(); got != 0 {
			t.Fatalf("%d rows are left of what was overwritten", got)
		}
		stale := appendExpiryKey(nil, 1, keyOf("k"))
		if err := s.putDurable(stale, nil); err != nil {
			t.Fatal(err)
		}
		settle(2 * sweepEvery)
		if got := rows(); got != 0 {
			t.Fatalf("%d stale rows are left", got)
		}
		wantValues(t, read(t, s, "k"), "for ever")
	})
}

func TestIdleStoreExtendsNoLease(t *testing.T) {
	inBubble(t, memConfig(vfs.NewMem()), func(t *testing.T, s *Store) {
		_, _, before := s.lease.left()
		settle(time.Minute)
		if _, _, after := s.lease.left(); after != before {
			t.Fatal("the clock's lease moved without a stamp")
		}
		for range 20 {
			last := s.Clock().Now()
			settle(leaseEvery)
			if _, _, leased := s.lease.left(); leased <= last {
				t.Fatalf("stamped %d, leased up to %d", last, leased)
			}
		}
	})
}

// What is owed of a row is known by its context alone. Synced into a data hint, a context without values would say that
// the values are gone.
func TestOwedRowIsAddedToADataHintWithItsValues(t *testing.T) {
	s := openMem(t)
	write(t, s, standingIn(setter(s, "k", "stood in"), targetA))
	own := setter(s, "k", "own")
	write(t, s, own)
	if err := s.AddHints(t.Context(), []Owed{{targetA, keyOf("k"), own.Delta.Seen, true}}); err != nil {
		t.Fatal(err)
	}
	wantHints(t, s, 0, 1, 0)
	p, err := s.parcel(t.Context(), targetA, appendTarget(nil, prefixQueue, targetA), s.hints.partitions(targetA))
	if err != nil || len(p.items) != 1 {
		t.Fatalf("%d items, %v", len(p.items), err)
	}
	wantValues(t, p.items[0].State, "own", "stood in")
}

func TestDamagedHintMarksThePartitionAndTheWriteGoesThrough(t *testing.T) {
	s := openMem(t)
	if err := s.db.Set(appendHintKey(nil, targetA, keyOf("k")), []byte("damaged"), nil); err != nil {
		t.Fatal(err)
	}
	write(t, s, owing(setter(s, "k", "v"), targetA))
	wantValues(t, read(t, s, "k"), "v")
	wantHints(t, s, 0, 0, 1)
}
