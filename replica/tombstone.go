package replica

import (
	"bytes"
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// What package reap needs of a store: which rows are tombstones, holding them, looking for traces of a key, and forgetting them.

// Tombstone is a row without siblings.
type Tombstone struct {
	Key   request.Key
	State causal.State
	Row   []byte // the state as it is stored
}

// TombstonesOf returns how many tombstones a partition holds; fewer while Counted is false. O(keyspaces).
func (s *Store) TombstonesOf(p ring.Partition) (n int64) {
	for space := range uint8(request.SpacesMax) {
		c := s.Counts(space, p)
		n += max(c.Rows-c.Keys, 0)
	}
	return n
}

// Tombstones returns the next tombstones of a partition, at most ReapKeysMax of at most ReapBytesMax, and where to go on; nil at its end. It
// walks over a bounded number of rows, for which it waits until there is room, and may find none among them. One that is
// larger than ReapBytesMax is left out, and so is what cannot be read.
func (s *Store) Tombstones(ctx context.Context, p ring.Partition, from Cursor) (found []Tombstone, next *Cursor, err error) {
	if err := s.enterPlace(p); err != nil {
		return nil, nil, err
	}
	defer s.gate.leave()
	looked, read, size := 0, 0, 0
	err = s.stroll(ctx, s.db, p, from, func(k request.Key, value []byte) (bool, error) {
		if looked++; looked > walkRowsMax || read > ScanBytesMax || len(found) >= ReapKeysMax {
			next = cursorAt(k)
			return false, nil
		}
		read += len(k.Name) + len(value)
		h, ok := hashRow(value)
		bytesOf := len(k.Name) + len(h.encoded)
		if !ok || h.live || bytesOf > ReapBytesMax {
			return true, nil
		}
		if size += bytesOf; size > ReapBytesMax {
			next = cursorAt(k)
			return false, nil
		}
		t := Tombstone{Key: request.Key{Space: k.Space, Partition: p, Name: bytes.Clone(k.Name)}, Row: bytes.Clone(h.encoded)}
		if t.State, err = decodeState(t.Row); err == nil {
			found = append(found, t)
		}
		return true, nil
	})
	if err == nil && read > 0 {
		err = s.cfg.Admit(ctx, read)
	}
	return found, next, err
}

// HoldTombstones syncs tombstones into their keys' rows and returns what the rows are then, in order and on the disk, fsynced. It does not
// ask whether a dot of this node's own is missing here: a tombstone that was forgotten here, and comes from another node, is no sign of a loss.
func (s *Store) HoldTombstones(ctx context.Context, all []Tombstone) (held []Tombstone, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	if ctx.Err() != nil {
		return nil, request.ErrExpired
	}
	w := s.writer(true)
	defer w.release()
	for _, t := range all {
		if !s.tally.holds(placeOf(t.Key)) {
			return nil, errNoPlace(t.Key)
		}
		w.shards = append(w.shards, shardOf(t.Key))
	}
	var failed error
	err = w.locked(func() {
		for _, t := range all {
			one, err := w.holdTombstone(t)
			failed = firstError(failed, err)
			held = append(held, one)
		}
	}, s.writeOptions())
	if err := firstError(err, failed, w.wait()); err != nil {
		return nil, err
	}
	return held, s.syncLog()
}

func (w *writer) holdTombstone(t Tombstone) (held Tombstone, err error) {
	cur, err := w.row(t.Key)
	if err != nil {
		return t, err
	}
	next := row{cur.actor, causal.Sync(cur.state, t.State).Prune(w.s.cfg.Settled)}
	if !next.state.Fits() {
		return t, errUnreadable
	}
	if _, err := w.putRow(t.Key, cur, next, false); err != nil {
		return t, err
	}
	return Tombstone{Key: t.Key, State: next.state, Row: bytes.Clone(cur.encoded)}, nil
}

// Trace is what a store holds of a key, apart from what stands in its row.
type Trace struct {
	Row  bool // there is one
	Hint bool // for anybody, readable or not, or the key's place is owed to somebody as a whole
}

// Traces looks for the keys. What it does not find is not on the disk either, fsynced.
func (s *Store) Traces(ctx context.Context, keys []request.Key) (found []Trace, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	w := s.writer(true)
	defer w.release()
	for _, k := range keys {
		if !s.tally.holds(placeOf(k)) {
			return nil, errNoPlace(k)
		}
		w.shards = append(w.shards, shardOf(k))
	}
	var failed error
	err = w.locked(func() {
		for _, k := range keys {
			one, err := w.trace(k)
			failed = firstError(failed, err)
			found = append(found, one)
		}
	}, pebble.NoSync)
	if err := firstError(err, failed, ctx.Err()); err != nil {
		return nil, err
	}
	return found, s.syncLog()
}

func (w *writer) trace(k request.Key) (found Trace, err error) {
	held, err := w.row(k)
	if err != nil {
		return found, err
	}
	found.Row = held.encoded != nil
	for _, target := range w.s.hints.pending() {
		h, err := w.hint(target, k)
		if errors.Is(err, request.ErrCorrupt) { // one that cannot be read is one: a reason for this key's tombstone to stay, and no other's
			found.Hint = true
			continue
		}
		if err != nil {
			return found, err
		}
		found.Hint = found.Hint || h.encoded != nil || w.s.hints.owes(target, placeOf(k))
	}
	return found, nil
}

// ForgetTombstones removes the rows that are still, byte for byte, the given ones, and reports which were. Nobody waits for the
// disk: a tombstone that is back after a power cut is forgotten once more.
func (s *Store) ForgetTombstones(all []Tombstone) (forgotten []bool, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	if len(all) == 0 {
		return nil, nil
	}
	keys, at := make([]request.Key, len(all)), make(map[string]int, len(all))
	for i, t := range all {
		keys[i], at[string(appendKey(nil, t.Key))] = t.Key, i
	}
	forgotten = make([]bool, len(all))
	_, err = s.removeRows(keys, func(held *heldRow) bool {
		i := at[string(appendKey(nil, held.key))]
		forgotten[i] = bytes.Equal(held.encoded, all[i].Row) && held.state.Tombstone()
		return forgotten[i]
	})
	return forgotten, err
}
