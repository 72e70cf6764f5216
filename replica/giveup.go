package replica

import (
	"bytes"
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/replica/merkle"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// GiveUp removes all rows of a partition, tombstones too, with the markers and marks that speak of them: the node is no owner
// of it any more, and every owner has said that it durably holds all this. Data hints stay, for they are not in those rows. It
// works in bounded batches and may be stopped and begun again; a crash that undoes some of it costs another call. Should the
// node become an owner again, it mints under new actors. removed is the number of rows that were still good: one that
// cannot be read goes as in a scan (see Rehash), named in the log, for neither the owners nor this node will ever read it. With
// UnreadableMax of them or more the disk is to be replaced, and nothing more goes: request.ErrCorrupt.
func (s *Store) GiveUp(ctx context.Context, p ring.Partition) (removed int, err error) {
	if err := s.enterPlace(p); err != nil {
		return 0, err
	}
	defer s.gate.leave()
	s.boot.givesUp(p)
	if err := s.forgetMarks(p); err != nil {
		return 0, err
	}
	removed, err = s.giveUpRows(ctx, p)
	if errors.Is(err, request.ErrCorrupt) {
		if err = s.Rehash(ctx, []ring.Partition{p}, func(Rehashed) error { return nil }); err == nil {
			n, again := s.giveUpRows(ctx, p)
			removed, err = removed+n, again
		}
	}
	return removed, err
}

func (s *Store) giveUpRows(ctx context.Context, p ring.Partition) (removed int, err error) {
	for {
		keys, err := s.someKeys(ctx, p)
		if err != nil || len(keys) == 0 {
			return removed, err
		}
		if err := s.cfg.Admit(ctx, pieceBytes*len(keys)); err != nil {
			return removed, err
		}
		n, err := s.removeRows(keys, func(*heldRow) bool { return true })
		removed += n
		if err != nil {
			return removed, err
		}
	}
}

// someKeys returns the first keys of a partition.
func (s *Store) someKeys(ctx context.Context, p ring.Partition) (keys []request.Key, err error) {
	err = walk(ctx, s.db, p, Cursor{}, func(k request.Key, _ []byte) (bool, error) {
		k.Name, k.Partition = bytes.Clone(k.Name), p
		keys = append(keys, k)
		return len(keys) < GiveUpRowsMax, nil
	})
	return keys, err
}

// removeRows removes the rows that gone, called under the key's lock, agrees to, and the markers of these keys, which nothing stands
// behind then. Nobody waits for the disk.
func (s *Store) removeRows(keys []request.Key, gone func(*heldRow) bool) (removed int, err error) {
	w := s.writer(true)
	defer w.release()
	for _, k := range keys {
		w.shards = append(w.shards, shardOf(k))
	}
	w.shards = s.locks.lock(w.shards)
	defer s.locks.unlock(w.shards)
	var went []request.Key
	for _, k := range keys {
		held, err := w.row(k)
		if err != nil {
			return 0, err
		}
		if held.encoded == nil || !gone(held) {
			continue
		}
		if err := w.removeRow(k, held); err != nil {
			return 0, err
		}
		went = append(went, k)
	}
	markers, err := w.removeMarkers(went)
	if err != nil {
		return 0, err
	}
	if err := w.apply(pebble.NoSync); err != nil {
		return 0, err
	}
	for _, k := range went {
		w.key = appendDataKey(w.key[:0], k)
		s.cache.drop(shardOf(k), w.key)
	}
	s.forgetMarkers(markers)
	return len(went), nil
}

// removeRow adds the removal of a row, with its expiries and counts, to the batch.
func (w *writer) removeRow(k request.Key, held *heldRow) error {
	w.key = appendDataKey(w.key[:0], k)
	if err := w.batch.Delete(w.key, nil); err != nil {
		return err
	}
	c := placeCounts{place: placeOf(k), key: merkle.HashKey(k.Space, k.Name)}
	c.Counts = Counts{}.minus(countsOf(len(w.key), held.size, len(held.state.Siblings)))
	var err error
	if c.old, err = treeDigest(held.encoded); err != nil {
		return err
	}
	w.counts = append(w.counts, c)
	return w.putExpiries(k, held.state, causal.State{})
}

// removedMarker is a marker that goes with its row.
type removedMarker struct {
	target ring.NodeID
	place  place
}

// removeMarkers adds the removal of the keys' markers to the batch. A hint that cannot be read stays: it may be one with data.
func (w *writer) removeMarkers(keys []request.Key) (removed []removedMarker, err error) {
	for _, target := range w.s.hints.pending() {
		for _, k := range keys {
			held, err := w.hint(target, k)
			if errors.Is(err, request.ErrCorrupt) {
				continue
			}
			if err != nil {
				return removed, err
			}
			if held.encoded == nil || held.kind != hintMarker {
				continue
			}
			if err := w.dropHint(target, k, held); err != nil {
				return removed, err
			}
			removed = append(removed, removedMarker{target, placeOf(k)})
		}
	}
	return removed, nil
}

// forgetMarkers counts markers that went no more.
func (s *Store) forgetMarkers(went []removedMarker) {
	for _, m := range went {
		s.hints.add(m.target, m.place, hintMarker, -1, 0)
	}
}

// forgetMarks ends what the partition owes as a whole.
func (s *Store) forgetMarks(p ring.Partition) error {
	for _, target := range s.hints.pending() {
		for _, at := range s.hints.owing(target) {
			if at.partition != p {
				continue
			}
			generation, _, err := s.beginPayment(target, at)
			if err != nil {
				return err
			}
			if err := s.endPayment(target, at, generation); err != nil {
				return err
			}
		}
	}
	return nil
}
