package replica

import (
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
)

// pebbleFormat is the newest format of Pebble in which a chunk of the log does not promise that what precedes it was
// synced. With that promise (FormatWALSyncChunks and newer) a power cut at SyncOS, whose syncs are put off, leaves a log
// that Pebble takes for corrupted, and a directory that does not open. A directory may be opened at another sync level
// later, and formats never go back, so all levels share it.
const pebbleFormat = pebble.FormatColumnarBlocks

// openDB opens Pebble. The lock on the directory is held already.
func (s *Store) openDB() error {
	cache := pebble.NewCache(s.cfg.MemoryBytes / 16 * pebblePortion)
	defer cache.Unref()
	db, err := pebble.Open(s.dataDir(), s.pebbleOptions(cache))
	if err != nil {
		return fmt.Errorf("replica: open %s: %w", s.cfg.Dir, err)
	}
	s.db = db
	return nil
}

func (s *Store) pebbleOptions(cache *pebble.Cache) *pebble.Options {
	o := &pebble.Options{
		FS:                          s.wal,
		Lock:                        s.lock,
		Cache:                       cache,
		FormatMajorVersion:          pebbleFormat,
		MemTableSize:                uint64(memtableBytes(s.cfg.MemoryBytes)),
		MemTableStopWritesThreshold: memtablesMax,
		MaxOpenFiles:                openFilesMax,
		// Compact level 0 early, for point reads look into each of its sublevels; stall late, since background work can
		// be starved for a while on a small machine.
		L0CompactionThreshold:      2,
		L0StopWritesThreshold:      24,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		Logger:                     pebbleLog{s},
		EventListener:              s.listener(),
	}
	// Iterators must not come to read tables as compactions do, which rest; see restFS.
	o.Local.ReadaheadConfig = objstorageprovider.NewReadaheadConfig()
	o.Local.ReadaheadConfig.Set(objstorageprovider.FadviseSequential, objstorageprovider.SysReadahead)
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].FilterType = pebble.TableFilter
	}
	return o
}

// memtableBytes returns the size of a memtable. There are two mostly, one of them being written out. The larger they are, the fewer
// versions of a row that is overwritten reach the disk; but a node with little memory needs it for rows, and so has less than its
// portion: by as much as it is smaller than usual.
func memtableBytes(memory int64) int64 {
	most := min(memory/memtablePortion, memtableBytesMax)
	scaled := int64(float64(memory) / memtablePortion * float64(memory) / MemoryBytesDefault)
	return min(max(scaled, memtableBytesMin), most)
}

// events counts what happened since Open.
type events struct {
	bootsRenewed, expired, dotConflicts                          atomic.Uint64
	stalls, disksSlow, backgroundErrors, corruptions             atomic.Uint64
	hintsStored, hintsDelivered, hintsCancelled, hintsDropped    atomic.Uint64
	hintsRefused, diskRefused, siblingsRefused, deliveriesFailed atomic.Uint64
}

func (s *Store) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			s.events.backgroundErrors.Add(1)
			s.log.Error("the database's background work failed", "err", err)
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			s.events.corruptions.Add(1)
			s.log.Error("a table is damaged", "path", info.Path, "err", info.Details)
		},
		DiskSlow: func(info pebble.DiskSlowInfo) {
			s.events.disksSlow.Add(1)
			s.log.Warn("the disk is slow", "path", info.Path, "seconds", info.Duration.Seconds())
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			s.events.stalls.Add(1)
			s.log.Warn("writes stall until the disk catches up", "reason", info.Reason)
		},
	}
}

// pebbleLog hands Pebble's messages on. What is fatal to Pebble takes the store out of service.
type pebbleLog struct{ s *Store }

// Infof logs at debug level: Pebble is talkative.
func (l pebbleLog) Infof(format string, args ...any) {
	if l.s.log.Enabled(l.s.ctx, slog.LevelDebug) {
		l.s.log.Debug(fmt.Sprintf(format, args...))
	}
}

// Errorf logs an error.
func (l pebbleLog) Errorf(format string, args ...any) { l.s.log.Error(fmt.Sprintf(format, args...)) }

// Fatalf takes the store out of service. It may return: see checkCommit.
func (l pebbleLog) Fatalf(format string, args ...any) { l.s.fail(fmt.Errorf(format, args...)) }

// Stats is a picture of the store for metrics.
type Stats struct {
	Total   Counts
	Counted bool // Total is exact

	BootsRenewed     uint64 // times the boot bits were drawn anew because a write of this node was lost
	Expired          uint64 // siblings removed by the sweeper
	DotConflicts     uint64 // rows from other nodes refused since one of their dots has other bytes here
	WriteStalls      uint64
	DisksSlow        uint64
	BackgroundErrors uint64
	Corruptions      uint64

	HintsStored, HintsDelivered, HintsCancelled, HintsDropped uint64 // hints, partition marks not counted
	DeliveriesFailed                                          uint64 // whole deliveries
	HintsRefused, DiskRefused, SiblingsRefused                uint64 // writes

	DiskBytes, LogBytes       uint64 // on disk: everything; the log
	MemtableBytes, CacheBytes uint64 // in memory, with cgo outside the Go heap
	CacheHits, CacheMisses    int64  // of the block cache

	RowCacheBytes                int64 // outside the Go heap
	RowCacheHits, RowCacheMisses uint64
	CompactionDebtBytes          uint64
	Level0Sublevels              int32
	FreeBytes, ReserveBytes      uint64 // of the disk
	DiskLow, Failed              bool
}

// Stats returns the picture. It costs some 100 us and takes locks of the database.
func (s *Store) Stats() Stats {
	e := &s.events
	st := Stats{
		Total: s.Total(), Counted: s.Counted(),
		BootsRenewed: e.bootsRenewed.Load(), Expired: e.expired.Load(), DotConflicts: e.dotConflicts.Load(), WriteStalls: e.stalls.Load(), DisksSlow: e.disksSlow.Load(),
		BackgroundErrors: e.backgroundErrors.Load(), Corruptions: e.corruptions.Load(),
		HintsStored: e.hintsStored.Load(), HintsDelivered: e.hintsDelivered.Load(), HintsCancelled: e.hintsCancelled.Load(),
		HintsDropped: e.hintsDropped.Load(), DeliveriesFailed: e.deliveriesFailed.Load(),
		HintsRefused: e.hintsRefused.Load(), DiskRefused: e.diskRefused.Load(), SiblingsRefused: e.siblingsRefused.Load(),
		FreeBytes: s.space.seen.Load(), ReserveBytes: s.space.reserve, DiskLow: s.space.low(), Failed: s.failed.Load() != nil,
	}
	if s.enter() != nil {
		return st
	}
	defer s.gate.leave()
	m := s.db.Metrics()
	st.DiskBytes, st.LogBytes = m.DiskSpaceUsage(), m.WAL.PhysicalSize
	st.MemtableBytes, st.CacheBytes = m.MemTable.Size, uint64(m.BlockCache.Size)
	st.CacheHits, st.CacheMisses = m.BlockCache.Hits, m.BlockCache.Misses
	st.RowCacheBytes, _ = s.cache.bytes()
	st.RowCacheHits, st.RowCacheMisses = s.cache.lookUps()
	st.CompactionDebtBytes, st.Level0Sublevels = m.Compact.EstimatedDebt, m.Levels[0].Sublevels
	return st
}
