package replicatest

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// RemoveRows removes the first n rows of data of a node's directory without the node's knowing, as a damaged disk might,
// and returns how many there were. The node must have been shut down.
func (d *Disk) RemoveRows(dir string, n int) (removed int, err error) {
	// The lowest format changes nothing: a directory keeps a higher one.
	db, err := pebble.Open(d.mem.PathJoin(dir, "data"), &pebble.Options{FS: d.mem, FormatMajorVersion: pebble.FormatMinSupported, Logger: silence{}})
	if err != nil {
		return 0, err
	}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{'d'}, UpperBound: []byte{'d' + 1}})
	if err != nil {
		return 0, errors.Join(err, db.Close())
	}
	for ok := it.First(); ok && removed < n && err == nil; ok = it.Next() {
		err = db.Delete(it.Key(), pebble.Sync)
		removed++
	}
	return removed, errors.Join(err, it.Close(), db.Close())
}

// silence drops Pebble's messages.
type silence struct{}

func (silence) Infof(string, ...any)  {}
func (silence) Errorf(string, ...any) {}
func (silence) Fatalf(string, ...any) { panic("replicatest: Pebble failed on a disk in memory") }
