package replica

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// The store's own meta documents. Those of PutMeta have another first byte.
const (
	metaNode       = "\x00node"       // the node's id
	metaPartitions = "\x00partitions" // the ring's Q
	metaBoot       = "\x00boot"       // bootRecord
	metaClean      = "\x00clean"      // the clean-shutdown mark: the clock's last time
	metaCounts     = "\x00counts"     // tally
	metaTrees      = "\x00trees"      // the rows under prefixTree are those of the last shutdown, which was clean
	metaActors     = "\x00actors"     // end of the lease of the actor sequence
	metaClock      = "\x00clock"      // end of the clock's lease
	metaUser       = '\x01'           // first byte of what PutMeta stores
)

// format is the number of the data directory's format. It stands in a file of its own, so that an older program can
// refuse a newer directory without having opened, and thereby changed, the database.
const (
	format      = 1
	formatFile  = "format"
	formatText  = "holdfast data format %d\n"
	formatBytes = 64 // more than the file can hold
)

// PutMeta stores a small document under a name, durably. The name has 1 to MetaNameBytesMax bytes and the value at most
// MetaValueBytesMax; else request.ErrTooBig.
func (s *Store) PutMeta(name string, value []byte) error {
	if len(name) == 0 || len(name) > MetaNameBytesMax || len(value) > MetaValueBytesMax {
		return fmt.Errorf("replica: meta document %q of %d bytes: %w", name, len(value), request.ErrTooBig)
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	return s.putDurable(metaKey(string(metaUser)+name), value)
}

// GetMeta returns the document, or nil if there is none (nil is also what an empty one reads as). The bytes are the
// caller's.
func (s *Store) GetMeta(name string) ([]byte, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	b, err := s.get(metaKey(string(metaUser) + name))
	if len(b) == 0 {
		return nil, err
	}
	return b, err
}

func (s *Store) putDurable(key, value []byte) error {
	b := s.db.NewBatch()
	defer s.closeQuietly(b)
	if err := b.Set(key, value, nil); err != nil {
		return err
	}
	return s.commitDurable(b)
}

// openDir checks the directory's format, touching nothing, then locks it, and writes the format into an empty one.
func (s *Store) openDir() error {
	fs, data := s.cfg.FS, s.dataDir()
	if err := checkFormat(fs, s.cfg.Dir, data); err != nil {
		return err
	}
	if err := fs.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("replica: make %s: %w", data, err)
	}
	var err error
	if s.lock, err = pebble.LockDirectory(data, fs); err != nil {
		return fmt.Errorf("%w: %s: another process has it open (%v)", ErrInUse, s.cfg.Dir, err)
	}
	if err := writeFormat(fs, s.cfg.Dir); err != nil {
		return errors.Join(fmt.Errorf("replica: write the format mark: %w", err), s.lock.Close())
	}
	// At every start: whoever made the directory, this program when it was killed or an operator who copied a backup, may
	// not have, and a power cut would take all that is acknowledged from now on.
	if err := syncDirs(fs, s.cfg.Dir); err != nil {
		return errors.Join(fmt.Errorf("replica: make %s durable: %w", s.cfg.Dir, err), s.lock.Close())
	}
	return nil
}

func (s *Store) dataDir() string { return s.cfg.FS.PathJoin(s.cfg.Dir, "data") }

// checkFormat allows a directory of this format, and one without a database.
func checkFormat(fs vfs.FS, dir, data string) error {
	mark, err := readFormat(fs, dir)
	if err != nil {
		return fmt.Errorf("replica: read the format mark of %s: %w", dir, err)
	}
	if mark == nil {
		if _, err := fs.Stat(fs.PathJoin(data, "CURRENT")); err == nil || hasManifest(fs, data) {
			return fmt.Errorf("%w: %s has no format mark", ErrNotData, dir)
		}
		return nil
	}
	var n int
	if _, err := fmt.Sscanf(string(mark), formatText, &n); err != nil || n < 1 {
		return fmt.Errorf("%w: %s has an unknown format mark", ErrNotData, dir)
	}
	if n > format {
		return fmt.Errorf("%w: %s has format %d, this version reads up to %d", ErrNewerFormat, dir, n, format)
	}
	return nil
}

func hasManifest(fs vfs.FS, data string) bool {
	names, err := fs.List(data)
	for _, name := range names {
		if err == nil && len(name) > 8 && name[:8] == "MANIFEST" {
			return true
		}
	}
	return false
}

func readFormat(fs vfs.FS, dir string) ([]byte, error) {
	f, err := fs.Open(fs.PathJoin(dir, formatFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, formatBytes))
	return b, firstError(err, f.Close())
}

// writeFormat leaves the mark whole or not at all. It is durable after syncDirs.
func writeFormat(fs vfs.FS, dir string) error {
	want := fmt.Appendf(nil, formatText, format)
	if have, err := readFormat(fs, dir); err != nil || bytes.Equal(have, want) {
		return err
	}
	tmp := fs.PathJoin(dir, formatFile+".new")
	f, err := fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(bytes.Clone(want)) // a vfs.File may change what it is given
	if err := firstError(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return fs.Rename(tmp, fs.PathJoin(dir, formatFile))
}

// syncDirs makes the entries of the directory, and its own in its parent, durable.
func syncDirs(fs vfs.FS, dir string) error {
	for _, name := range []string{dir, fs.PathDir(dir)} {
		d, err := fs.OpenDir(name)
		if err != nil {
			return err
		}
		if err := firstError(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// loadIdentity reads who the directory belongs to, or adds to the batch what a new one is founded with.
func (s *Store) loadIdentity(b *pebble.Batch) error {
	id, err := s.get(metaKey(metaNode))
	if err != nil {
		return err
	}
	if id == nil {
		return s.foundIdentity(b)
	}
	if len(id) != nodeSize {
		return fmt.Errorf("replica: node id of %d bytes: %w", len(id), request.ErrCorrupt)
	}
	s.node = ring.NodeID(id)
	q, err := s.getNumber(metaPartitions)
	if err == nil && q != uint64(s.cfg.Partitions) {
		err = fmt.Errorf("%w: %s has %d, asked for %d", ErrPartitions, s.cfg.Dir, q, s.cfg.Partitions)
	}
	return err
}

func (s *Store) foundIdentity(b *pebble.Batch) error {
	for s.node.IsZero() {
		if _, err := io.ReadFull(s.cfg.Rand, s.node[:]); err != nil {
			return fmt.Errorf("replica: draw the node id: %w", err)
		}
	}
	return errors.Join(b.Set(metaKey(metaNode), s.node[:], nil),
		b.Set(metaKey(metaPartitions), binary.BigEndian.AppendUint64(nil, uint64(s.cfg.Partitions)), nil))
}
