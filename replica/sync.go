package replica

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// walFS stands between Pebble and the file system to give the log (*.log) its sync level.
//
// When lazy, the log's syncs are no-ops: Pebble then hands every acknowledged write to the operating system and waits
// for no disk. The file is really synced when it is closed, which Pebble does before it begins the next one, so that
// only the newest log can have a torn end; and by syncAll, each second. Tables and manifests are not touched.
type walFS struct {
	vfs.FS
	lazy   bool
	failed func(error) // told when a real sync fails
	mu     struct {
		sync.Mutex
		open map[*walFile]struct{}
	}
}

func newWALFS(fs vfs.FS, lazy bool, failed func(error)) *walFS {
	w := &walFS{FS: fs, lazy: lazy, failed: failed}
	w.mu.open = make(map[*walFile]struct{})
	return w
}

// Unwrap returns the file system below.
func (w *walFS) Unwrap() vfs.FS { return w.FS }

// Create is vfs.FS's.
func (w *walFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.Create(name, category)
	return w.wrap(name, f, err)
}

// ReuseForWrite is vfs.FS's.
func (w *walFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.ReuseForWrite(oldname, newname, category)
	return w.wrap(newname, f, err)
}

func (w *walFS) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || !w.lazy || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	wf := &walFile{File: f, fs: w, turn: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.open[wf] = struct{}{}
	return wf, nil
}

// syncAll makes everything written to the log so far survive a power cut. Callers at the same time share one fsync.
func (w *walFS) syncAll() error {
	for _, f := range w.files() {
		if err := f.syncNow(); err != nil {
			return err
		}
	}
	return nil
}

func (w *walFS) files() []*walFile {
	w.mu.Lock()
	defer w.mu.Unlock()
	files := make([]*walFile, 0, len(w.mu.open))
	for f := range w.mu.open {
		files = append(files, f)
	}
	return files
}

func (w *walFS) forget(f *walFile) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.mu.open, f)
}

// walFile is one log whose syncs are put off.
type walFile struct {
	vfs.File
	fs     *walFS
	writes atomic.Uint64 // finished writes
	turn   chan struct{} // held by whoever syncs or closes; what follows is its
	synced uint64        // writes that were finished before the last sync began
	closed bool
	err    error // of a failed sync; for ever, since the pages may be gone (fsync is not to be retried)
}

// Write is vfs.File's.
func (f *walFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.writes.Add(1)
	return n, err
}

// Sync does nothing; see walFS.
func (f *walFile) Sync() error { return nil }

// SyncData does nothing; see walFS.
func (f *walFile) SyncData() error { return nil }

// SyncTo does nothing, and says so.
func (f *walFile) SyncTo(int64) (fullSync bool, err error) { return false, nil }

// Close syncs and closes.
func (f *walFile) Close() error {
	f.turn <- struct{}{}
	defer func() { <-f.turn }()
	if f.closed {
		return nil
	}
	f.syncInTurn()
	f.closed = true
	f.fs.forget(f)
	if err := f.File.Close(); f.err == nil {
		return err
	}
	return f.err
}

func (f *walFile) syncNow() error {
	want := f.writes.Load()
	f.turn <- struct{}{}
	defer func() { <-f.turn }()
	if !f.closed && f.synced < want {
		f.syncInTurn()
	}
	return f.err
}

func (f *walFile) syncInTurn() {
	if f.err != nil {
		return
	}
	done := f.writes.Load()
	if f.err = f.File.SyncData(); f.err != nil {
		f.fs.failed(f.err)
		return
	}
	f.synced = done
}

// Durable returns when everything written before the call survives a power cut, at every sync level: what lets another
// node delete something is confirmed after it. One fsync, shared by those who ask at the same time.
func (s *Store) Durable(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return s.syncLog()
}

// syncLog moves Pebble's buffer into the log file, and the file to the disk.
func (s *Store) syncLog() error {
	err := s.db.LogData(nil, pebble.Sync)
	if err == nil {
		err = s.wal.syncAll()
	}
	return s.checkCommit(err)
}

// commitDurable commits a batch and returns after its fsync, whatever the sync level.
func (s *Store) commitDurable(b *pebble.Batch) error {
	err := b.Commit(pebble.Sync)
	if err == nil {
		err = s.wal.syncAll()
	}
	return s.checkCommit(err)
}
