package replica

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// PeekMeta returns a document that PutMeta stored in a directory, or nil if there is none, and changes nothing there: Open
// writes at once, which is too late to find out that the directory is another cluster's. It replays the log in memory, which
// costs what the start itself costs. fs nil is the real disk. Errors: those of Open.
func PeekMeta(fs vfs.FS, dir, name string) (value []byte, err error) {
	fs = orElse(fs, vfs.Default)
	data := fs.PathJoin(dir, "data")
	if err := checkFormat(fs, dir, data); err != nil {
		return nil, err
	}
	if !hasManifest(fs, data) {
		return nil, nil
	}
	lock, err := pebble.LockDirectory(data, fs)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: another process has it open (%v)", ErrInUse, dir, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	db, err := pebble.Open(data, &pebble.Options{FS: fs, Lock: lock, ReadOnly: true, FormatMajorVersion: pebbleFormat,
		Logger: silence{}})
	if err != nil {
		return nil, fmt.Errorf("replica: open %s to read: %w", dir, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return getCopy(db, metaKey(string(metaUser)+name))
}

// getCopy returns a copy of a key's value, or nil if there is none.
func getCopy(db pebble.Reader, key []byte) ([]byte, error) {
	b, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, readError(err)
	}
	return bytes.Clone(b), closer.Close()
}

// silence drops Pebble's messages: what matters of a look comes back as an error.
type silence struct{}

func (silence) Infof(string, ...any)  {}
func (silence) Errorf(string, ...any) {}

// Fatalf must not return.
func (silence) Fatalf(format string, args ...any) {
	panic("replica: peek: " + fmt.Sprintf(format, args...))
}
