package replica

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// restFS has flushes and compactions rest for most of each tablePeriod: whoever is about to write to a table, or to read the next
// piece of one for a compaction, sleeps for the rest of it, unless tables were let go on less than their part of a period ago.
//
// A goroutine that only computes keeps its processor for 10 ms, and while any goroutine is runnable the scheduler looks
// for ready sockets as rarely. On a node with one processor every hop of a command then waits that long, and a command has five.
// Giving way (runtime.Gosched) does not help, since what gave way is run again before the network is looked at; a short sleep does,
// if all who write tables sleep at the same time.
type restFS struct {
	vfs.FS
	now  func() time.Duration // monotonic
	rest func(time.Duration)
	work atomic.Int64  // nanoseconds of each period that tables may have; all of it until somebody has looked
	ask  chan struct{} // full: tables are being written, so look how far behind they are
	mu   struct {
		sync.Mutex
		began time.Duration // when tables were last let go on
		until time.Duration // when the last rest ends, or ended
		asked time.Duration // when it was last asked to look
	}
}

func newRestFS(fs vfs.FS) *restFS {
	began := time.Now()
	r := &restFS{FS: fs, now: func() time.Duration { return time.Since(began) }, rest: time.Sleep, ask: make(chan struct{}, 1)}
	r.work.Store(int64(tablePeriod))
	r.mu.asked = -paceEvery
	return r
}

// Unwrap returns the file system below.
func (r *restFS) Unwrap() vfs.FS { return r.FS }

// Create is vfs.FS's.
func (r *restFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := r.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, ".sst") {
		return f, err
	}
	return &restFile{f, r}, nil
}

// Open is vfs.FS's. Only a compaction opens a table to read it from one end to the other; see pebbleOptions.
func (r *restFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := r.FS.Open(name, opts...)
	if err != nil || !strings.HasSuffix(name, ".sst") || !slices.Contains(opts, vfs.SequentialReadsOption) {
		return f, err
	}
	return &restFile{f, r}, nil
}

// turn returns when tables may be worked on.
func (r *restFS) turn() {
	d := r.due()
	if d == 0 {
		return
	}
	r.rest(d)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.began < r.mu.until { // the first that wakes; it may be late, and work is counted from then
		r.mu.began = r.now()
	}
}

// due returns how long to rest now. Who comes while others rest, rests as long as they.
func (r *restFS) due() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if now-r.mu.asked >= paceEvery {
		r.mu.asked = now
		select {
		case r.ask <- struct{}{}:
		default:
		}
	}
	work := time.Duration(r.work.Load())
	if now >= r.mu.until && now-r.mu.began >= work {
		r.mu.until = now + tablePeriod - work
	}
	return max(r.mu.until-now, 0)
}

// keepPace looks how far tables are behind when they are written, until ctx ends; from then on no rest begins.
func (r *restFS) keepPace(ctx context.Context, share func() time.Duration) {
	defer r.work.Store(int64(tablePeriod))
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.ask:
			r.work.Store(int64(share()))
		}
	}
}

// tableShare returns how much of each tablePeriod flushes and compactions may have, where memtables have so many bytes. It is the
// least while they keep up; more the more sublevels level 0 has, which every read looks into, and the more bytes are to be
// compacted; and all of it before writes would stall for memtables, or large batches in their place. After a start the sublevels are not
// known until the first table is installed.
func tableShare(m *pebble.Metrics, memtable uint64) time.Duration {
	l0 := &m.Levels[0]
	if m.MemTable.Count > memtablesCalm || m.MemTable.Size > memtablesCalm*memtable || l0.TablesCount > 0 && l0.Sublevels == 0 {
		return tablePeriod
	}
	behind := max(part(float64(l0.Sublevels), sublevelsCalm, sublevelsLate),
		part(float64(m.Compact.EstimatedDebt)/float64(memtable), debtCalm, debtLate))
	return tableWorkMin + time.Duration(behind*float64(tablePeriod-tableWorkMin))
}

// part returns how far x is from one number to another, 0 to 1.
func part(x, from, to float64) float64 { return min(max((x-from)/(to-from), 0), 1) }

// restFile is a table that is being written, or read for a compaction.
type restFile struct {
	vfs.File
	fs *restFS
}

// Write is vfs.File's.
func (f *restFile) Write(p []byte) (int, error) {
	f.fs.turn()
	return f.File.Write(p)
}

// ReadAt is vfs.File's.
func (f *restFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.turn()
	return f.File.ReadAt(p, off)
}
