package replicatest

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// RemoveRows removes the first n rows of data of a node's directory without the node's knowing, as a damaged disk might,
// and returns how many there were. The node must have been shut down.
func (d *Disk) RemoveRows(dir string, n int) (removed int, err error) {
	return remove(d.mem, dir, "d", func(int) bool { n--; return n >= 0 })
}

// RemoveEach removes every nth row of data of a directory on a real disk, as RemoveRows does.
func RemoveEach(dir string, n int) (removed int, err error) {
	return remove(vfs.Default, dir, "d", func(row int) bool { return row%n == 0 })
}

// RemoveHints removes all hints of a directory on a real disk: what it owes to other nodes is forgotten. It returns how many rows
// they were. The node must have been shut down.
func RemoveHints(dir string) (removed int, err error) {
	return remove(vfs.Default, dir, "hqpr", func(int) bool { return true })
}

// remove removes the rows of a directory whose first byte is one of kinds, and that doomed says of by their place among those.
func remove(fs vfs.FS, dir, kinds string, doomed func(row int) bool) (removed int, err error) {
	// The lowest format changes nothing: a directory keeps a higher one.
	db, err := pebble.Open(fs.PathJoin(dir, "data"), &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatMinSupported, Logger: silence{}})
	if err != nil {
		return 0, err
	}
	b, row := db.NewBatch(), 0
	for _, kind := range []byte(kinds) {
		it, iterErr := db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
		if iterErr != nil {
			return 0, errors.Join(iterErr, b.Close(), db.Close())
		}
		for ok := it.First(); ok; ok = it.Next() {
			if doomed(row) {
				err = errors.Join(err, b.Delete(it.Key(), nil))
				removed++
			}
			row++
		}
		err = errors.Join(err, it.Close())
	}
	return removed, errors.Join(err, b.Commit(pebble.Sync), b.Close(), db.Close())
}

// silence drops Pebble's messages.
type silence struct{}

func (silence) Infof(string, ...any)  {}
func (silence) Errorf(string, ...any) {}
func (silence) Fatalf(string, ...any) { panic("replicatest: Pebble failed on a disk under test") }
