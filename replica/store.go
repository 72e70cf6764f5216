package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// Store is one node's data at rest. Its methods may be called from any number of goroutines.
type Store struct {
	cfg  Config
	log  *slog.Logger
	node ring.NodeID

	db     *pebble.DB
	tables *restFS
	wal    *walFS
	lock   *pebble.Lock
	locks  keyLocks
	clock  *causal.Clock

	gate   *gate
	failed atomic.Pointer[error] // the first failure that ended service
	dirty  atomic.Bool           // something was committed since the last background sync

	boot   boot
	lease  *lease
	space  *space
	tally  *tally
	trees  *trees
	cache  *rowCache
	hints  *hintTable
	events events
	pools  pools
	poked  chan struct{} // handoff: look for work now; full: it will

	ctx       context.Context // of the background work; ends at Close
	cancel    context.CancelCauseFunc
	wg        sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

// Open opens the directory, or founds it if it is empty, and starts the background work. It draws new boot bits and
// removes the clean-shutdown mark, durably, before it returns. Errors: ErrInUse, ErrNewerFormat, ErrNotData,
// ErrPartitions, and the disk's.
func Open(cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	s := &Store{cfg: cfg, log: cfg.Logger, gate: newGate(), lease: newLease(), tally: newTally(cfg.Partitions), trees: newTrees(cfg.Partitions, cfg.MemoryBytes/treesPortion), poked: make(chan struct{}, 1)}
	s.hints = newHintTable(cfg.HintBytesMax, cfg.MarkersPerTarget)
	s.tables = newRestFS(cfg.FS)
	s.wal = newWALFS(s.tables, cfg.Sync == SyncOS, func(err error) { s.fail(fmt.Errorf("fsync of the log: %w", err)) })
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	if err := s.openDir(); err != nil {
		return nil, err
	}
	var err error
	if s.cache, err = newRowCache(s.cfg.MemoryBytes / 16 * rowsPortion); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	if err := s.openDB(); err != nil {
		return nil, errors.Join(err, s.cache.release(), s.lock.Close())
	}
	snap, err := s.load()
	if err != nil {
		s.cancel(err)
		return nil, errors.Join(err, s.db.Close(), s.cache.release(), s.lock.Close())
	}
	s.space = s.openSpace()
	s.start(snap)
	return s, nil
}

// load reads what the store keeps in memory, and begins the boot. It returns a snapshot to count from, or nil when counts
// and trees were saved.
func (s *Store) load() (*pebble.Snapshot, error) {
	b := s.db.NewBatch()
	defer s.closeQuietly(b)
	if err := s.loadIdentity(b); err != nil {
		return nil, err
	}
	if err := s.startBoot(b); err != nil {
		return nil, err
	}
	counted := s.loadCounts()
	if err := errors.Join(b.Delete(metaKey(metaCounts), nil), b.Delete(metaKey(metaTrees), nil)); err != nil {
		return nil, err
	}
	if err := s.loadHints(); err != nil {
		return nil, err
	}
	if err := s.commitDurable(b); err != nil {
		return nil, err
	}
	if counted {
		return nil, nil
	}
	return s.db.NewSnapshot(), nil
}

// loadCounts takes the counts and trees that a clean shutdown saved. Damaged ones are counted anew.
func (s *Store) loadCounts() bool {
	saved, err := s.get(metaKey(metaCounts))
	if err != nil || saved == nil || !s.boot.clean {
		return false
	}
	found, err := s.loadTrees()
	if found && err == nil {
		err = s.tally.load(saved)
	}
	if err != nil {
		s.log.Warn("counting keys anew", "err", err)
	}
	if err != nil || !found {
		s.tally, s.trees = newTally(s.cfg.Partitions), newTrees(s.cfg.Partitions, s.trees.bytesMax)
		return false
	}
	s.tally.counted.Store(true)
	return true
}

func (s *Store) start(snap *pebble.Snapshot) {
	if snap != nil {
		s.wg.Go(func() { s.recount(s.ctx, snap) })
	}
	s.wg.Go(func() { s.keepLeases(s.ctx) })
	s.wg.Go(func() { s.watchSpace(s.ctx) })
	s.wg.Go(func() { s.keepSynced(s.ctx) })
	s.wg.Go(func() { s.tables.keepPace(s.ctx, s.tableShare) })
	s.wg.Go(func() { every(s.ctx, sweepEvery, s.sweep) })
}

func (s *Store) tableShare() time.Duration {
	return tableShare(s.db.Metrics(), uint64(memtableBytes(s.cfg.MemoryBytes)))
}

// keepSynced fsyncs what was committed, each second.
func (s *Store) keepSynced(ctx context.Context) {
	every(ctx, syncEvery, func() {
		if !s.dirty.Swap(false) || s.failed.Load() != nil {
			return
		}
		if err := s.syncLog(); err != nil {
			s.log.Error("cannot sync the log", "err", err)
		}
	})
}

// Node returns the node's id, drawn at random when the directory was founded.
func (s *Store) Node() ring.NodeID { return s.node }

// Close refuses further calls, waits for those under way and for the background work, leaves the clean-shutdown mark
// (unless the log has failed), and closes. Once; later calls wait and return the same.
func (s *Store) Close() error {
	s.closeOnce.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

func (s *Store) close() error {
	s.gate.shut()
	s.cancel(request.ErrClosed)
	s.wg.Wait()
	var err error
	if s.failed.Load() == nil {
		err = s.markClean()
	}
	return errors.Join(err, s.db.Close(), s.cache.release(), s.lock.Close())
}

// markClean leaves the clock, the counts, the trees and the boot for the next start, durably.
func (s *Store) markClean() error {
	b := s.db.NewBatch()
	defer s.closeQuietly(b)
	rec := bootRecord{s.boot.current.Number, s.boot.current.Bits, 0}
	err := errors.Join(b.Set(metaKey(metaBoot), rec.append(nil), nil),
		b.Set(metaKey(metaClean), number(uint64(s.clock.Last())), nil))
	if s.Counted() {
		err = errors.Join(err, b.Set(metaKey(metaCounts), s.tally.append(nil), nil), s.saveTrees(b))
	}
	return errors.Join(err, s.commitDurable(b))
}

// enter lets a call in, or says why not. Who is let in leaves by s.gate.leave.
func (s *Store) enter() error {
	if cause := s.failed.Load(); cause != nil {
		return fmt.Errorf("replica: out of service (%v): %w", *cause, request.ErrClosed)
	}
	if !s.gate.enter() {
		return request.ErrClosed
	}
	return nil
}

// fail takes the store out of service: after a failed write of the log nothing may be acknowledged any more.
func (s *Store) fail(err error) {
	if !s.failed.CompareAndSwap(nil, &err) {
		return
	}
	s.log.Error("the store is out of service", "node", s.node, "dir", s.cfg.Dir, "err", err)
	if s.cfg.Fatal == nil {
		panic(fmt.Sprintf("replica: %s is out of service: %v", s.cfg.Dir, err))
	}
	s.cfg.Fatal(err)
}

// checkCommit turns the outcome of a commit into an error of package request. Pebble tells some failures only to its
// logger, which calls fail; the commit itself then seems to have succeeded.
func (s *Store) checkCommit(err error) error {
	if err != nil {
		s.fail(err)
	}
	if cause := s.failed.Load(); cause != nil {
		return fmt.Errorf("replica: commit (%v): %w", *cause, request.ErrInternal)
	}
	return nil
}

// get returns a copy of a row's value, or nil if there is none.
func (s *Store) get(key []byte) ([]byte, error) {
	b, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, readError(err)
	}
	value := append(make([]byte, 0, len(b)), b...)
	return value, closer.Close()
}

func readError(err error) error {
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("replica: read (%v): %w", err, request.ErrCorrupt)
	}
	return fmt.Errorf("replica: read (%v): %w", err, request.ErrInternal)
}

// closeQuietly closes what can only fail after the caller's work is done.
func (s *Store) closeQuietly(c io.Closer) {
	if err := c.Close(); err != nil {
		s.log.Error("cannot release", "err", err)
	}
}
