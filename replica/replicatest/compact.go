package replicatest

import (
	"bytes"
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Compacted is what a compaction left in a directory.
type Compacted struct {
	Rows      int    // of data
	Named     int    // of those, rows whose key contains the text that was asked for
	Deletions uint64 // entries of the tables that say that a key is gone: what they hide may still be there
}

// Compact compacts a directory on a real disk, and returns what is left there. The node must have been shut down.
func Compact(dir string, text []byte) (left Compacted, err error) {
	fs := vfs.Default
	db, err := pebble.Open(fs.PathJoin(dir, "data"), &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatMinSupported, Logger: silence{}})
	if err != nil {
		return left, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, end := range [][]byte{{0}, {0xff}} { // a table from end to end, so that all others are rewritten, not only moved
		if err := db.Set(end, nil, pebble.Sync); err != nil {
			return left, err
		}
	}
	if err := db.Compact(context.Background(), []byte{0}, []byte{0xff, 0xff}, false); err != nil {
		return left, err
	}
	left.Deletions = db.Metrics().Keys.TombstoneCount
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{'d'}, UpperBound: []byte{'d' + 1}})
	if err != nil {
		return left, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if left.Rows++; bytes.Contains(it.Key(), text) {
			left.Named++
		}
	}
	return left, it.Close()
}
