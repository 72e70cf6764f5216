package replica

import (
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// restFS makes flushes and compactions pause now and then while they write tables.
//
// A goroutine that only computes keeps its processor for 10 ms, and while any goroutine is runnable the scheduler looks
// for ready sockets as rarely. On a node with one processor every hop of a command then waits that long, and a command has five.
// Giving way (runtime.Gosched) does not help, since what gave way is run again before the network is looked at; a short sleep does.
type restFS struct {
	vfs.FS
	now  func() time.Duration // monotonic
	rest func()
}

func newRestFS(fs vfs.FS) *restFS {
	began := time.Now()
	return &restFS{fs, func() time.Duration { return time.Since(began) }, func() { time.Sleep(tableRest) }}
}

// Unwrap returns the file system below.
func (r *restFS) Unwrap() vfs.FS { return r.FS }

// Create is vfs.FS's.
func (r *restFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := r.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, ".sst") {
		return f, err
	}
	return &restFile{f, r, r.now()}, nil
}

// restFile is a table that is being written, by one goroutine.
type restFile struct {
	vfs.File
	fs    *restFS
	since time.Duration // when it last rested
}

// Write is vfs.File's.
func (f *restFile) Write(p []byte) (int, error) {
	if f.fs.now()-f.since >= tableWork {
		f.fs.rest()
		f.since = f.fs.now()
	}
	return f.File.Write(p)
}
