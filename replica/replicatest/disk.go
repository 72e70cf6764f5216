// Package replicatest has disks in memory for nodes under test: one that lasts, one that forgets what was not fsynced.
package replicatest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/holdfastdb/holdfast/replica"
)

// Disk is a crashable disk in memory: what was not fsynced may be gone after a power cut.
type Disk struct {
	mem    *vfs.MemFS
	full   atomic.Bool
	broken atomic.Bool
}

// NewDisk returns an empty disk.
func NewDisk() *Disk { return &Disk{mem: vfs.NewCrashableMem()} }

// FS returns the disk as a store takes it.
func (d *Disk) FS() replica.FS { return &faulty{errorfs.Wrap(d.mem, errorfs.InjectorFunc(d.fault)), d} }

// SetFull makes the disk say that it has no room left, or that it has.
func (d *Disk) SetFull(full bool) { d.full.Store(full) }

// Break makes every later write and fsync fail. A disk in this state stays so; what PowerCut and Kill return is sound.
func (d *Disk) Break() { d.broken.Store(true) }

func (d *Disk) fault(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		if d.broken.Load() {
			return errorfs.ErrInjected
		}
	}
	return nil
}

// faulty is the disk with its faults.
type faulty struct {
	vfs.FS
	disk *Disk
}

// GetDiskUsage implements vfs.FS.
func (f *faulty) GetDiskUsage(string) (vfs.DiskUsage, error) {
	if f.disk.full.Load() {
		return vfs.DiskUsage{TotalBytes: diskBytes, UsedBytes: diskBytes}, nil
	}
	return vfs.DiskUsage{AvailBytes: diskBytes, TotalBytes: diskBytes}, nil
}

// Unwrap implements what vfs.Root looks for.
func (f *faulty) Unwrap() vfs.FS { return f.FS }

const diskBytes = 1 << 40 // of every disk that is not full

// PowerCut returns what a power cut at this instant leaves, as a disk of its own: everything that was fsynced, and of the rest what rng
// says, each write with a probability of percent; a nil rng keeps none. The disk itself goes on.
func (d *Disk) PowerCut(percent int, rng *rand.Rand) *Disk {
	cfg := vfs.CrashCloneCfg{}
	if rng != nil {
		cfg.UnsyncedDataPercent, cfg.RNG = percent, rng
	}
	return &Disk{mem: d.mem.CrashClone(cfg)}
}

// Kill returns what the disk holds at this instant, unsynced writes included, as a disk of its own: what kill -9 leaves, or a copy that
// somebody made of a running node.
func (d *Disk) Kill() *Disk {
	return d.PowerCut(100, rand.New(rand.NewPCG(0, 0)))
}

// Copy returns a copy of one directory on a disk of its own. The node that has it must have been shut down.
func (d *Disk) Copy(dir string) *Disk {
	to := NewDisk()
	if _, err := vfs.Clone(d.mem, to.mem, dir, dir, vfs.CloneSync); err != nil {
		panic(fmt.Sprintf("replicatest: copy %s: %v", dir, err))
	}
	return to
}

// Save writes a copy of one directory to a real disk. The node that has it must not be running on this disk.
func (d *Disk) Save(dir, to string) error {
	_, err := vfs.Clone(d.mem, vfs.Default, dir, to)
	return err
}

// Load returns a disk that holds a copy of a directory of a real one.
func Load(from, dir string) (*Disk, error) {
	d := NewDisk()
	found, err := vfs.Clone(vfs.Default, d.mem, from, dir, vfs.CloneSync)
	if err == nil && !found {
		err = fmt.Errorf("replicatest: %s: %w", from, os.ErrNotExist)
	}
	return d, err
}

// ReadFile returns what a file holds.
func (d *Disk) ReadFile(name string) ([]byte, error) {
	f, err := d.mem.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}
