package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/replica/merkle"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// ErrCounting says that trees and counts are not complete yet: not all rows were read since an unclean stop.
var ErrCounting = fmt.Errorf("replica: rows are still being counted after an unclean stop: %w", request.ErrOverloaded)

// Rehashed is what a fresh look at the stored rows of a partition found.
type Rehashed struct {
	Partition  ring.Partition
	Rows       int64
	Bytes      int64 // of keys and rows
	Leaves     int   // of the tree that said otherwise than the stored rows
	Unreadable int   // rows that could not be decoded: they were removed, for other nodes' copies to take their place
}

// Rehash reads the stored rows of the partitions and hashes them afresh, so that what was damaged or lost beneath the trees is
// found: trees and counts are set to what is stored, and an exchange with another node then meets the difference. It
// tells report of each partition as it is done, and goes on unless that returns an error. Reads and writes go on, but for
// some hundred microseconds in which the store stands still; the row cache starts empty after it. ErrCounting while there are no trees.
func (s *Store) Rehash(ctx context.Context, ps []ring.Partition, report func(Rehashed) error) error {
	for _, p := range ps {
		if int(p) >= s.cfg.Partitions {
			return errNoPlace(request.Key{Partition: p})
		}
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	if !s.Counted() {
		return ErrCounting
	}
	snap, said := s.standstill(ps)
	defer func() { s.closeQuietly(snap) }()
	for i := range said {
		found, err := s.rehash(ctx, snap, &said[i])
		if err == nil {
			err = report(found)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// believed is what is kept in memory of a partition at some moment.
type believed struct {
	partition ring.Partition
	tree      *merkle.Tree
	counts    [request.SpacesMax]Counts
}

// standstill takes a snapshot of the rows, and copies what memory says of them at the same moment: whoever writes does so
// under a key's lock, and all are held. Cached rows are dropped then, too: a write that went by the cached copy
// of a row that is gone would take its hash from the tree a second time.
func (s *Store) standstill(ps []ring.Partition) (*pebble.Snapshot, []believed) {
	said := make([]believed, len(ps))
	s.locks.lockAll()
	defer s.locks.unlockAll()
	for i, p := range ps {
		said[i].partition = p
		said[i].tree = s.trees.all[p].Load().Clone()
		for space := range said[i].counts {
			said[i].counts[space] = s.tally.counts(place{uint8(space), p})
		}
	}
	s.cache.clear()
	return s.db.NewSnapshot(), said
}

// rehash reads one partition, and corrects tree and counts by the difference between what is stored and what was
// believed: writes of the meantime are in both, before and after.
func (s *Store) rehash(ctx context.Context, snap *pebble.Snapshot, said *believed) (found Rehashed, err error) {
	found.Partition = said.partition
	stored, unreadable, err := s.readAfresh(ctx, snap, said.partition)
	if err != nil {
		return found, err
	}
	found.Leaves, found.Unreadable = merkle.Compare(stored.tree, said.tree).Len(), len(unreadable)
	if found.Leaves > 0 {
		tree := s.trees.plant(said.partition)
		tree.Add(stored.tree)
		tree.Subtract(said.tree)
	}
	for space, counts := range stored.counts {
		found.Rows, found.Bytes = found.Rows+counts.Rows, found.Bytes+counts.Bytes
		s.tally.add(place{uint8(space), said.partition}, counts.minus(said.counts[space]))
	}
	return found, s.removeUnreadable(said.partition, unreadable)
}

// readAfresh returns tree and counts of the rows in the snapshot, and the keys of rows that cannot be decoded.
func (s *Store) readAfresh(ctx context.Context, snap *pebble.Snapshot, p ring.Partition) (stored believed, unreadable []request.Key, err error) {
	stored.tree = merkle.New(merkle.DepthMax)
	err = s.stroll(ctx, snap, p, Cursor{}, func(k request.Key, value []byte) (bool, error) {
		row, err := decodeRow(value)
		h, ok := hashRow(value)
		if err != nil || !ok {
			k.Name = bytes.Clone(k.Name)
			unreadable = append(unreadable, k)
			return len(unreadable) < UnreadableMax, ctx.Err()
		}
		stored.tree.Change(merkle.HashKey(k.Space, k.Name), 0, h.digest())
		c := &stored.counts[k.Space]
		*c = c.plus(countsOf(1+placeSize+len(k.Name), len(value), len(row.state.Siblings)))
		return true, ctx.Err()
	})
	if err == nil && len(unreadable) >= UnreadableMax {
		err = fmt.Errorf("replica: partition %d has %d rows that cannot be read, or more: %w", p, len(unreadable), request.ErrCorrupt)
	}
	return stored, unreadable, err
}

// removeUnreadable removes rows that still cannot be decoded, and the markers that speak of them, which could never be delivered. Neither
// tree nor counts have them. A key without a row is minted under an actor never used before, so nothing is forgotten with them
// that must not be.
func (s *Store) removeUnreadable(p ring.Partition, keys []request.Key) error {
	if len(keys) == 0 {
		return nil
	}
	w := s.writer(true)
	defer w.release()
	for i := range keys {
		keys[i].Partition = p
		w.shards = append(w.shards, shardOf(keys[i]))
		s.log.Error("removed a row that cannot be read", "space", keys[i].Space, "partition", p, "key", logName(keys[i].Name))
	}
	var errs []error
	var gone []request.Key
	var markers []removedMarker
	err := w.locked(func() {
		for _, k := range keys {
			w.key = appendDataKey(w.key[:0], k)
			if b, err := s.get(w.key); err != nil || b == nil {
				errs = append(errs, err)
			} else if _, err := decodeRow(b); err != nil {
				errs, gone = append(errs, w.batch.Delete(w.key, nil)), append(gone, k)
			}
		}
		went, err := w.removeMarkers(gone)
		errs, markers = append(errs, err), went
	}, s.writeOptions())
	if err == nil {
		s.forgetMarkers(markers)
	}
	return errors.Join(err, errors.Join(errs...), w.wait())
}
