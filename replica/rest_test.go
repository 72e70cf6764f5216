package replica

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// restClock is a clock that work and rests move.
type restClock struct {
	now    time.Duration
	rests  int
	rested time.Duration
}

func (c *restClock) fs(work time.Duration) *restFS {
	fs := newRestFS(vfs.NewMem())
	fs.now = func() time.Duration { return c.now }
	fs.rest = func(d time.Duration) { c.now, c.rests, c.rested = c.now+d, c.rests+1, c.rested+d }
	fs.work.Store(int64(work))
	return fs
}

func TestTablesAreWrittenWithRests(t *testing.T) {
	const work, each = 200 * time.Microsecond, 20 * time.Microsecond
	for name, c := range map[string]struct {
		file   string
		writes int
		rests  int
	}{
		"one rest for each stretch of work":          {"000001.sst", 100, 10},
		"a short table is written without":           {"000001.sst", 9, 0},
		"the log never rests: clients wait for it":   {"000001.log", 100, 0},
		"nor does the manifest, which a flush needs": {"MANIFEST-000001", 100, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var clock restClock
			f, err := clock.fs(work).Create(c.file, "")
			if err != nil {
				t.Fatal(err)
			}
			for range c.writes {
				clock.now += each
				if n, err := f.Write([]byte("block")); n != 5 || err != nil {
					t.Fatal(n, err)
				}
			}
			if clock.rests != c.rests || clock.rested != time.Duration(c.rests)*(tablePeriod-work) {
				t.Errorf("%d rests of %v together, want %d, of %v each", clock.rests, clock.rested, c.rests, tablePeriod-work)
			}
		})
	}
}

func TestTablesAreReadWithRestsForCompactionsAlone(t *testing.T) {
	for name, c := range map[string]struct {
		file  string
		opts  []vfs.OpenOption
		rests int
	}{
		"from one end to the other":    {"000001.sst", []vfs.OpenOption{vfs.SequentialReadsOption}, 1},
		"a point: a client waits":      {"000001.sst", []vfs.OpenOption{vfs.RandomReadsOption}, 0},
		"not said how":                 {"000001.sst", nil, 0},
		"a log, before the node is up": {"000001.log", []vfs.OpenOption{vfs.SequentialReadsOption}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			clock := restClock{now: tablePeriod}
			fs := clock.fs(tableWorkMin)
			if f, err := fs.FS.Create(c.file, ""); err != nil {
				t.Fatal(err)
			} else if _, err := f.Write([]byte("block")); err != nil {
				t.Fatal(err)
			}
			f, err := fs.Open(c.file, c.opts...)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := f.ReadAt(make([]byte, 5), 0); n != 5 || err != nil || clock.rests != c.rests {
				t.Errorf("%d bytes (%v) after %d rests, want 5 after %d", n, err, clock.rests, c.rests)
			}
		})
	}
}

// Two tables written at the same time rest at the same time: else one would keep the processor while the other rests.
func TestAllTablesRestTogether(t *testing.T) {
	clock := restClock{now: tablePeriod}
	fs := clock.fs(tableWorkMin)
	var ends []time.Duration
	fs.rest = func(d time.Duration) {
		if ends = append(ends, clock.now+d); len(ends) == 1 {
			clock.now += 100 * time.Microsecond
			fs.turn() // the other table's, while the first rests
		}
		clock.now = ends[0]
	}
	fs.turn()
	if len(ends) != 2 || ends[0] != ends[1] || ends[0] != 2*tablePeriod-tableWorkMin {
		t.Errorf("tables rest until %v, want both until %v", ends, 2*tablePeriod-tableWorkMin)
	}
}

// Where nothing else runs, a sleep ends late, by up to a millisecond: the work that may follow is as long as ever.
func TestTablesThatWakeLateWorkTheirPart(t *testing.T) {
	clock := restClock{now: tablePeriod}
	fs := clock.fs(tableWorkMin)
	rests := 0
	fs.rest = func(d time.Duration) { clock.now += d + tablePeriod; rests++ }
	for range 21 {
		fs.turn()
		clock.now += tableWorkMin / 10
	}
	if rests != 3 {
		t.Errorf("%d rests in %v of work, want 3", rests, 2*tableWorkMin)
	}
}

func TestTableShare(t *testing.T) {
	const memtable = 1 << 20
	for name, c := range map[string]struct {
		memtables int64
		bytes     uint64
		tables    int64
		sublevels int32
		debt      uint64
		want      time.Duration
	}{
		"a new store":                       {1, memtable, 0, 0, 0, tableWorkMin},
		"a flush and calm":                  {2, 2 * memtable, 9, sublevelsCalm, debtCalm * memtable, tableWorkMin},
		"level 0 halfway behind":            {2, 2 * memtable, 9, (sublevelsCalm + sublevelsLate) / 2, 0, (tableWorkMin + tablePeriod) / 2},
		"far behind":                        {2, 2 * memtable, 20, sublevelsLate, 0, tablePeriod},
		"further":                           {2, 2 * memtable, 200, 10 * sublevelsLate, 0, tablePeriod},
		"sublevels not known after a start": {1, memtable, 20, 0, 0, tablePeriod},
		"other levels halfway behind":       {1, memtable, 0, 0, (debtCalm + debtLate) / 2 * memtable, (tableWorkMin + tablePeriod) / 2},
		"far behind there":                  {1, memtable, 0, 0, 2 * debtLate * memtable, tablePeriod},
		"one memtable too many":             {memtablesCalm + 1, memtable, 0, 0, 0, tablePeriod},
		"a batch as large as a memtable":    {2, 2*memtable + 1, 0, 0, 0, tablePeriod},
	} {
		t.Run(name, func(t *testing.T) {
			var m pebble.Metrics
			m.MemTable.Count, m.MemTable.Size = c.memtables, c.bytes
			m.Levels[0].TablesCount, m.Levels[0].Sublevels = c.tables, c.sublevels
			m.Compact.EstimatedDebt = c.debt
			if got := tableShare(&m, memtable); got != c.want {
				t.Errorf("%v of each period, want %v", got, c.want)
			}
		})
	}
}

// A table that is written has somebody look how far behind tables are, but not for each block.
func TestPaceOfTablesIsLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newRestFS(vfs.NewMem())
		ctx, cancel := context.WithCancel(t.Context())
		looks, share := 0, tableWorkMin
		go fs.keepPace(ctx, func() time.Duration { looks++; return share })
		write := func(wantLooks int, wantWork time.Duration) {
			t.Helper()
			fs.turn()
			synctest.Wait()
			if work := time.Duration(fs.work.Load()); looks != wantLooks || work != wantWork {
				t.Fatalf("after %d looks tables have %v of each period, want %d and %v", looks, work, wantLooks, wantWork)
			}
		}
		write(1, tableWorkMin)
		write(1, tableWorkMin)
		share = tablePeriod / 2
		time.Sleep(paceEvery)
		write(2, tablePeriod/2)
		cancel()
		write(2, tablePeriod)
	})
}

// A store looks at its own: until its first table it rests never, so that it opens and closes at once.
func TestStoreKeepsThePaceOfItsTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openMem(t)
		rest := s.tables
		if work := time.Duration(rest.work.Load()); work != tablePeriod {
			t.Fatalf("before any table they have %v of each period, want all", work)
		}
		if err := s.db.Set([]byte("k"), []byte("v"), nil); err != nil {
			t.Fatal(err)
		}
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if work := time.Duration(rest.work.Load()); work != tableWorkMin {
			t.Fatalf("after a table they have %v of each period, want %v", work, tableWorkMin)
		}
	})
}

// A scan of a table larger than what Pebble waits for before it reads ahead does not rest, and has nobody look: only
// compactions do, and clients may wait for scans.
func TestScansDoNotRest(t *testing.T) {
	s := openMem(t)
	value := make([]byte, 4<<10)
	for i := range 1000 {
		rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(value)
		if err := s.db.Set(fmt.Appendf(nil, "%04d", i), value, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s) // so that no block is cached
	var rests atomic.Int64
	s.tables.rest = func(time.Duration) { rests.Add(1) }
	s.tables.work.Store(0)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte("0"), UpperBound: []byte("9")})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	if err := it.Close(); err != nil || n != 1000 || rests.Load() != 0 {
		t.Errorf("%d rows (%v) with %d rests, want 1000 with none", n, err, rests.Load())
	}
}
