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

// DamageHints overwrites all hints of a node's directory with bytes that mean nothing, and returns how many there were. The node must
// have been shut down.
func (d *Disk) DamageHints(dir string) (damaged int, err error) {
	err = each(d.mem, dir, "h", func(b *pebble.Batch, key []byte) error {
		damaged++
		return b.Set(key, []byte("\xffdamaged"), nil)
	})
	return damaged, err
}

// remove removes the rows of a directory whose first byte is one of kinds, and that doomed says of by their place among those.
func remove(fs vfs.FS, dir, kinds string, doomed func(row int) bool) (removed int, err error) {
	row := 0
	err = each(fs, dir, kinds, func(b *pebble.Batch, key []byte) error {
		row++
		if !doomed(row - 1) {
			return nil
		}
		removed++
		return b.Delete(key, nil)
	})
	return removed, err
}

// each calls act with every row of a directory whose first byte is one of kinds, and a batch that is committed at the end.
func each(fs vfs.FS, dir, kinds string, act func(b *pebble.Batch, key []byte) error) error {
	// The lowest format changes nothing: a directory keeps a higher one.
	db, err := pebble.Open(fs.PathJoin(dir, "data"), &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatMinSupported, Logger: silence{}})
	if err != nil {
		return err
	}
	b := db.NewBatch()
	for _, kind := range []byte(kinds) {
		it, iterErr := db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
		if iterErr != nil {
			return errors.Join(iterErr, b.Close(), db.Close())
		}
		for ok := it.First(); ok; ok = it.Next() {
			err = errors.Join(err, act(b, it.Key()))
		}
		err = errors.Join(err, it.Close())
	}
	return errors.Join(err, b.Commit(pebble.Sync), b.Close(), db.Close())
}

// silence drops Pebble's messages.
type silence struct{}

func (silence) Infof(string, ...any)  {}
func (silence) Errorf(string, ...any) {}
func (silence) Fatalf(string, ...any) { panic("replicatest: Pebble failed on a disk under test") }
