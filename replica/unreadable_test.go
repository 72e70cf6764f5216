package replica

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// logged is a log that tests read.
type logged struct {
	sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.text.Write(b)
}

func (l *logged) count(text string) int {
	l.Lock()
	defer l.Unlock()
	return bytes.Count(l.text.Bytes(), []byte(text))
}

// damage overwrites a row of the database with bytes that mean nothing.
func damage(t *testing.T, s *Store, key []byte) {
	t.Helper()
	if b, err := s.get(key); err != nil || b == nil {
		t.Fatalf("nothing to damage: %v", err)
	}
	if err := s.db.Set(key, []byte("\xffdamaged"), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
}

// delivering opens a store in a bubble, lets prepare write to it, and starts the delivery of hints.
func delivering(t *testing.T, prepare func(*Store), test func(t *testing.T, s *Store, in *inbox, log *logged)) {
	t.Helper()
	log := &logged{}
	cfg := memConfig(vfs.NewMem())
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	inBubble(t, cfg, func(t *testing.T, s *Store) {
		prepare(s)
		in := newInbox()
		if err := s.StartHandoff(in.handoff()); err != nil {
			t.Fatal(err)
		}
		settle(10 * handoffEvery)
		test(t, s, in, log)
	})
}

func TestAMarkerThatCannotBeReadIsOwedByItsPartition(t *testing.T) {
	delivering(t, func(s *Store) {
		write(t, s, owing(setter(s, "{p}1", "one"), targetA), owing(setter(s, "{p}2", "two"), targetA), owing(setter(s, "{q}3", "three"), targetA))
		damage(t, s, appendHintKey(nil, targetA, keyOf("{p}1")))
	}, func(t *testing.T, s *Store, in *inbox, log *logged) {
		wantValues(t, in.got["{p}1"], "one")
		wantValues(t, in.got["{p}2"], "two")
		wantValues(t, in.got["{q}3"], "three")
		wantHints(t, s, 0, 0, 0)
		if n := log.count("level=ERROR"); n != 1 || s.Stats().HintsDropped != 1 || s.HintStats().Unreadable != 0 {
			t.Errorf("%d lines, %+v", n, s.Stats())
		}
		s = reopen(t, s)
		wantHints(t, s, 0, 0, 0)
	})
}

// A marker whose row is gone stands for nothing; it must not stay for ever either.
func TestAMarkerWithoutItsRowGoes(t *testing.T) {
	delivering(t, func(s *Store) {
		write(t, s, owing(setter(s, "{p}1", "one"), targetA), owing(setter(s, "{p}2", "two"), targetA))
		if err := s.db.Delete(appendDataKey(nil, keyOf("{p}1")), pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T, s *Store, in *inbox, log *logged) {
		wantValues(t, in.got["{p}2"], "two")
		wantHints(t, s, 0, 0, 0)
		if n := log.count("level=ERROR"); n != 1 {
			t.Errorf("%d lines: %s", n, &log.text)
		}
	})
}

func TestADataHintThatCannotBeReadStaysAndHoldsUpNobody(t *testing.T) {
	delivering(t, func(s *Store) {
		write(t, s, standingIn(setter(s, "{p}1", "one"), targetA), standingIn(setter(s, "{p}2", "two"), targetA))
		damage(t, s, appendHintKey(nil, targetA, keyOf("{p}1")))
	}, func(t *testing.T, s *Store, in *inbox, log *logged) {
		wantValues(t, in.got["{p}2"], "two")
		wantHints(t, s, 0, 1, 0)
		if st := s.HintStats(); st.Unreadable != 1 || st.Targets[targetA].Unreadable != 1 {
			t.Errorf("%+v", st)
		}
		if n := log.count("level=ERROR"); n != 1 || log.count("holdfast repair") != 1 {
			t.Errorf("%d lines: %s", n, &log.text)
		}
		found, err := s.Traces(t.Context(), []request.Key{keyOf("{p}1"), keyOf("{p}2")})
		if err != nil || !found[0].Hint || found[1].Hint {
			t.Errorf("traces %+v, %v", found, err)
		}
		r := &request.Read{Key: keyOf("{p}1")}
		if s.Read([]*request.Read{r}); r.Err == nil {
			t.Error("a read that lacks the hint does not say so")
		}
	})
}

// A marker whose row cannot be read waits for what removes such rows.
func TestAMarkerWhoseRowCannotBeReadGoesWithTheRow(t *testing.T) {
	delivering(t, func(s *Store) {
		write(t, s, owing(setter(s, "{p}1", "one"), targetA), owing(setter(s, "{p}2", "two"), targetA))
		damage(t, s, appendDataKey(nil, keyOf("{p}1")))
	}, func(t *testing.T, s *Store, in *inbox, log *logged) {
		wantValues(t, in.got["{p}2"], "two")
		wantHints(t, s, 1, 0, 0)
		if n := log.count("level=ERROR"); n != 1 || log.count("repair --scan") != 1 || s.HintStats().Unreadable != 1 {
			t.Errorf("%d lines: %s", n, &log.text)
		}
		if err := s.Rehash(t.Context(), []ring.Partition{keyOf("{p}1").Partition}, func(Rehashed) error { return nil }); err != nil {
			t.Fatal(err)
		}
		wantHints(t, s, 0, 0, 0)
		if n := s.hints.known.Load(); n != 0 {
			t.Errorf("%d are unreadable still", n)
		}
	})
}

// A hint that one version of the program cannot read another may.
func TestAHintThatCanBeReadAgainIsDelivered(t *testing.T) {
	var sound []byte
	key := appendHintKey(nil, targetA, keyOf("k"))
	delivering(t, func(s *Store) {
		write(t, s, standingIn(setter(s, "k", "v"), targetA))
		sound, _ = s.get(key)
		damage(t, s, key)
	}, func(t *testing.T, s *Store, in *inbox, log *logged) {
		if len(in.got) != 0 || s.HintStats().Unreadable != 1 {
			t.Fatalf("delivered %v, %+v", in.got, s.HintStats())
		}
		if err := s.db.Set(key, sound, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		in.setRefuse("k")
		settle(2 * handoffEvery)
		if st := s.HintStats(); st.Data != 1 || st.Unreadable != 0 {
			t.Errorf("refused: %+v", st)
		}
		in.setRefuse("")
		settle(2 * handoffEvery)
		wantValues(t, in.got["k"], "v")
		if st := s.HintStats(); st.Pending() != 0 || st.Unreadable != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestUnreadableHintsAreCountedUpToTheCap(t *testing.T) {
	table := newHintTable(1, 1)
	for i := range UnreadableMax + 1 {
		if fresh := table.unreadable(targetA, []byte(string(rune(i)))); fresh != (i < UnreadableMax) {
			t.Fatalf("hint %d: %v", i, fresh)
		}
	}
	table.readable(targetA, []byte(string(rune(0))))
	if !table.unreadable(targetA, []byte("another")) || table.unreadable(targetA, []byte("another")) {
		t.Error("a place that is free again is not taken once")
	}
}
