// Package replicatest has disks in memory for nodes under test: one that lasts, one that forgets what was not fsynced.
package replicatest

import (
	"fmt"
	"math/rand/v2"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/replica"
)

// Disk is a crashable disk in memory: what was not fsynced may be gone after a power cut.
type Disk struct{ mem *vfs.MemFS }

// NewDisk returns an empty disk.
func NewDisk() *Disk { return &Disk{vfs.NewCrashableMem()} }

// FS returns the disk as a store takes it.
func (d *Disk) FS() replica.FS { return d.mem }

// PowerCut returns what a power cut at this instant leaves, as a disk of its own: everything that was fsynced, and of the rest what rng
// says, each write with a probability of percent; a nil rng keeps none. The disk itself goes on.
func (d *Disk) PowerCut(percent int, rng *rand.Rand) *Disk {
	cfg := vfs.CrashCloneCfg{}
	if rng != nil {
		cfg.UnsyncedDataPercent, cfg.RNG = percent, rng
	}
	return &Disk{d.mem.CrashClone(cfg)}
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
