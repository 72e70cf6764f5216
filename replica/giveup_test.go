package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/replica/merkle"
	"github.com/holdfastdb/holdfast/request"
)

func TestPartitionGivenUpLeavesNothingBehind(t *testing.T) {
	cfg := memConfig(vfs.NewMem())
	cfg.MarkersPerTarget = 3
	s := openStore(t, cfg)
	awaitCounted(s) // its trees are compared
	rows := 2*GiveUpRowsMax + 1
	for i := range rows {
		v := version(s, "value")
		v.ExpireAt = time.Now().Add(time.Hour).UnixMilli()
		el := &request.Write{Key: keyOf(fmt.Sprintf("{p}%d", i)), Mint: &put{versions: []causal.Version{v}}}
		if i < 5 {
			owing(el, targetA)
		}
		write(t, s, el)
	}
	write(t, s, blind(s, "{p}1", "beside"), standingIn(setter(s, "{p}hinted", "value"), targetB), setter(s, "{q}kept", "value"))
	wantHints(t, s, 3, 1, 1)
	before := read(t, s, "{p}0").Siblings[0].Dot.Actor

	p := keyOf("{p}").Partition
	if removed, err := s.GiveUp(context.Background(), p); err != nil || removed != rows {
		t.Fatalf("removed %d rows of %d, %v", removed, rows, err)
	}
	for range 2 { // and after a restart
		wantHints(t, s, 0, 1, 0)
		wantTrees(t, s)
		if c := s.Total(); c.Rows != 1 || c.Keys != 1 || c.Siblings != 0 {
			t.Fatalf("counts %+v", c)
		}
		if root := s.Root(p); root.Sum != (merkle.Root{}).Sum {
			t.Fatalf("the tree is not empty: %+v", root)
		}
		if state := read(t, s, "{p}0"); !state.IsZero() {
			t.Fatalf("read %v", state)
		}
		wantValues(t, read(t, s, "{q}kept"), "value")
		wantValues(t, read(t, s, "{p}hinted"), "value")
		if err := s.eachKey([]byte{prefixExpiry}, func(key, _ []byte) error { return fmt.Errorf("left %x", key) }); err != nil {
			t.Fatal(err)
		}
		s = reopen(t, s)
	}
	write(t, s, setter(s, "{p}0", "again"))
	if again := read(t, s, "{p}0").Siblings[0].Dot.Actor; again == before {
		t.Fatal("a key without a row was minted under its old actor")
	}
}

// Whoever cannot read a row has nothing that its owners lack: the row must not keep the partition here for ever.
func TestPartitionIsGivenUpWithItsUnreadableRows(t *testing.T) {
	for proves, alone := range map[string]bool{"between good rows": false, "nothing else is left": true} {
		t.Run(proves, func(t *testing.T) {
			s := openCounted(t)
			good := []*request.Write{setter(s, "{p}a", "v"), owing(setter(s, "{p}m", "v"), targetA), setter(s, "{p}z", "v")}
			if alone {
				good = good[1:2]
			}
			write(t, s, good...)
			write(t, s, setter(s, "{q}kept", "v"))
			s.cache.clear()
			if err := s.putDurable(appendDataKey(nil, keyOf("{p}m")), []byte{rowFormat, 0, 0xff}); err != nil {
				t.Fatal(err)
			}
			if removed, err := s.GiveUp(t.Context(), keyOf("{p}").Partition); err != nil || removed != len(good)-1 {
				t.Fatalf("removed %d good rows, %v", removed, err)
			}
			wantTrees(t, s)
			wantHints(t, s, 0, 0, 0)
			if c := s.Total(); c.Rows != 1 {
				t.Fatalf("counts %+v", c)
			}
			if root := s.Root(keyOf("{p}").Partition); root.Sum != (merkle.Root{}).Sum {
				t.Fatalf("the tree is not empty: %+v", root)
			}
		})
	}
}

func TestDamagedDiskGivesNothingUp(t *testing.T) {
	for _, rows := range []int{UnreadableMax - 1, UnreadableMax} {
		s := openCounted(t)
		write(t, s, setter(s, "{p}good", "v"))
		for i := range rows {
			if err := s.db.Set(appendDataKey(nil, keyOf(fmt.Sprintf("{p}%d", i))), []byte{rowFormat, 0, 0xff}, nil); err != nil {
				t.Fatal(err)
			}
		}
		_, err := s.GiveUp(t.Context(), keyOf("{p}").Partition)
		if refused := errors.Is(err, request.ErrCorrupt); refused != (rows == UnreadableMax) || !refused && err != nil {
			t.Errorf("%d rows that cannot be read: %v", rows, err)
		}
	}
}

func TestRowOfAPartitionGivenUpIsNotServedFromTheCache(t *testing.T) {
	s := openMem(t)
	write(t, s, setter(s, "{p}k", "value"))
	wantValues(t, read(t, s, "{p}k"), "value")
	if _, err := s.GiveUp(context.Background(), keyOf("{p}k").Partition); err != nil {
		t.Fatal(err)
	}
	if state := read(t, s, "{p}k"); !state.IsZero() {
		t.Fatalf("read %v", state)
	}
}

// A copy that was on its way when the partition was given up fails afterwards: what it would have been owed for is with every owner.
func TestNothingIsOwedOfARowThatWasGivenUp(t *testing.T) {
	s := openMem(t)
	el := setter(s, "{p}k", "value")
	write(t, s, el)
	if _, err := s.GiveUp(context.Background(), el.Key.Partition); err != nil {
		t.Fatal(err)
	}
	if err := s.AddHints(context.Background(), []Owed{{targetA, el.Key, el.Delta.Seen, true}}); err != nil {
		t.Fatal(err)
	}
	wantHints(t, s, 0, 0, 0)
}

// A partition that comes back brings this node's own writes: no sign that its disk lost anything, and nothing to warn of. Others may
// be one.
func TestWritesOfAPartitionGivenUpComeBackWithoutAWarning(t *testing.T) {
	var logged strings.Builder
	cfg := memConfig(vfs.NewMem())
	cfg.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelInfo}))
	s := openStore(t, cfg)
	awaitCounted(s)
	for _, c := range []struct {
		given, back string // partitions
		warns       bool
	}{{"{p}", "{p}", false}, {"{p}", "{q}", true}} {
		logged.Reset()
		row := keyOf(c.back + "k")
		write(t, s, setter(s, c.back+"k", "value"))
		held := read(t, s, c.back+"k")
		if _, err := s.GiveUp(t.Context(), keyOf(c.given).Partition); err != nil {
			t.Fatal(err)
		}
		if _, err := s.removeRows([]request.Key{row}, func(*heldRow) bool { return true }); err != nil {
			t.Fatal(err)
		}
		renewed := s.Stats().BootsRenewed
		if err := s.refillSpare(); err != nil {
			t.Fatal(err)
		}
		write(t, s, &request.Write{Key: row, Delta: held})
		if n := s.Stats().BootsRenewed - renewed; n != 1 {
			t.Errorf("boot bits renewed %d times", n)
		}
		if warned := strings.Contains(logged.String(), "level=WARN"); warned != c.warns || !strings.Contains(logged.String(), "came back") {
			t.Errorf("%+v logged %q", c, logged.String())
		}
	}
}
