package replica

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/ring"
)

// SyncLevel is what an acknowledged write survives.
type SyncLevel uint8

// The levels. SyncOS is the zero value and the default.
const (
	// SyncOS: the write has left the process by write(2), so the process may be killed; fsync follows within a second.
	SyncOS SyncLevel = iota
	// SyncAlways: the write is fsynced, many at once (group commit); the machine may lose power.
	SyncAlways
	// SyncNone: the write is in the process's memory; all is fsynced each second.
	SyncNone
)

// String returns the level's name on the command line.
func (l SyncLevel) String() string {
	switch l {
	case SyncOS:
		return "os"
	case SyncAlways:
		return "always"
	case SyncNone:
		return "none"
	}
	return fmt.Sprintf("SyncLevel(%d)", uint8(l))
}

// ParseSyncLevel returns the level that String names.
func ParseSyncLevel(name string) (SyncLevel, error) {
	for _, l := range []SyncLevel{SyncOS, SyncAlways, SyncNone} {
		if l.String() == name {
			return l, nil
		}
	}
	return 0, fmt.Errorf("replica: unknown sync level %q (known: always, os, none)", name)
}

// Config says how a store is opened. Dir and Partitions are required; the zero value of every other field has a meaning.
type Config struct {
	Dir        string
	FS         vfs.FS // nil: the real disk
	Sync       SyncLevel
	Partitions int // the ring's Q

	// MemoryBytes is shared out in sixteenths: ten to the row cache, outside Go's heap, three to memtables and block cache, one to hash
	// trees (trees.go); what is left is headroom for the row cache's index and for what reads and compactions hold. With cgo
	// memtables and block cache are outside the Go heap, too, and unseen by GOMEMLIMIT. 0: MemoryBytesDefault.
	MemoryBytes int64

	HintBytesMax     int64 // bytes of data hints; 0: HintBytesDefault
	MarkersPerTarget int   // marker hints of one target; 0: the constant of that name

	// FreeBytes returns the free bytes of the disk; nil: asked of FS. ReserveBytes is how many of them only deletes and
	// handoff may use; 0: 5 % of the disk, at least ReserveBytesMin and at most ReserveBytesMax.
	FreeBytes    func() (uint64, error)
	ReserveBytes uint64

	Now      func() time.Time // nil: time.Now
	Sure     func() bool      // whether Now is right enough to remove what expired, which cannot be undone; nil: it is
	Rand     io.Reader        // nil: crypto/rand
	DriftMax time.Duration    // 0: DriftMaxDefault
	Logger   *slog.Logger     // nil: silent

	// Settled reports whether a stamp's operation is known never to be retried, so that it need not be remembered; nil:
	// none is. It is called under a key's lock and must not block.
	Settled func(causal.Stamp) bool

	// Admit waits until background work (hinted handoff, expiry) may move so many bytes; it returns an error once ctx ends. nil: at
	// once.
	Admit func(ctx context.Context, bytes int) error
	// Worked is told how long a slice of background work took (reading rows for another node, a scan, what was taken over), and
	// waits until there may be another; it returns an error once ctx ends. nil: at once.
	Worked func(ctx context.Context, took time.Duration) error

	// Fatal is called once, when the disk failed in a way that leaves the log unreliable. From then on every call is
	// refused. It may be called with locks of the database held and must not call the store; ending the process, or telling
	// another goroutine to close the store, is what it is for. nil: panic, which ends the process loudly.
	Fatal func(error)
}

// What Open can fail with, apart from the disk's own errors.
var (
	// ErrInUse: another process, or this one, has the directory open.
	ErrInUse = errors.New("replica: directory is in use")
	// ErrNewerFormat: the directory was written by a newer version; nothing in it was touched.
	ErrNewerFormat = errors.New("replica: directory has a newer format")
	// ErrNotData: the directory holds a database, but no format mark; nothing in it was touched.
	ErrNotData = errors.New("replica: not a data directory")
	// ErrPartitions: the directory was founded with another number of partitions.
	ErrPartitions = errors.New("replica: directory has another number of partitions")
)

func (c Config) withDefaults() Config {
	if c.Partitions < 1 || c.Partitions > ring.Slots {
		panic("replica: partitions out of range")
	}
	c.FS = orElse(c.FS, vfs.Default)
	c.Rand = orElse(c.Rand, rand.Reader)
	c.MemoryBytes = max(positive(c.MemoryBytes, MemoryBytesDefault), MemoryBytesMin)
	c.HintBytesMax = positive(c.HintBytesMax, HintBytesDefault)
	c.MarkersPerTarget = positive(c.MarkersPerTarget, MarkersPerTarget)
	c.DriftMax = positive(c.DriftMax, DriftMaxDefault)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sure == nil {
		c.Sure = func() bool { return true }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Admit == nil {
		c.Admit = func(context.Context, int) error { return nil }
	}
	if c.Worked == nil {
		c.Worked = func(context.Context, time.Duration) error { return nil }
	}
	if c.Settled == nil {
		c.Settled = func(causal.Stamp) bool { return false }
	}
	return c
}

func orElse[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

func positive[T ~int | ~int64](v, other T) T {
	if v <= 0 {
		return other
	}
	return v
}
