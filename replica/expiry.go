package replica

import (
	"bytes"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/request"
)

// An expiry row stands for each time at which siblings of a key expire. It is written and removed in the batch that
// writes the key's row, and only says where to look: what expires is decided from the row.

// putExpiries brings a key's expiry rows in line with its new siblings.
func (w *writer) putExpiries(k request.Key, old, next causal.State) error {
	var err error
	for _, x := range old.Siblings {
		if x.ExpireAt != 0 && !expiresAt(next, x.ExpireAt) {
			w.key = appendExpiryKey(w.key[:0], x.ExpireAt, k)
			err = errors.Join(err, w.batch.Delete(w.key, nil))
		}
	}
	for _, x := range next.Siblings {
		if x.ExpireAt != 0 && !expiresAt(old, x.ExpireAt) {
			w.key = appendExpiryKey(w.key[:0], x.ExpireAt, k)
			err = errors.Join(err, w.batch.Set(w.key, nil, nil))
		}
	}
	return err
}

func expiresAt(state causal.State, at int64) bool {
	return slices.ContainsFunc(state.Siblings, func(x causal.Sibling) bool { return x.ExpireAt == at })
}

// sweep removes the siblings that expired at least the drift bound ago: no node whose clock is right shows them any
// more. It works in bounded batches until nothing is left to do. While the clock is in doubt it waits: a key that one wrong
// clock removes is gone from every replica.
func (s *Store) sweep() {
	if !s.cfg.Sure() {
		return
	}
	until := s.cfg.Now().UnixMilli() - s.cfg.DriftMax.Milliseconds()
	if fault.On(fault.SweepEarly) {
		until += 2 * s.cfg.DriftMax.Milliseconds()
	}
	for s.ctx.Err() == nil && s.failed.Load() == nil {
		due, err := s.due(until)
		if err == nil && len(due) > 0 {
			if s.cfg.Admit(s.ctx, pieceBytes*len(due)) != nil {
				return // closing
			}
			err = s.expire(due, until)
		}
		if err != nil {
			s.log.Error("cannot remove what expired", "err", err)
		}
		if err != nil || len(due) == 0 {
			return
		}
	}
}

// due returns copies of the first expiry rows' keys, up to the time.
func (s *Store) due(until int64) (keys [][]byte, err error) {
	if until <= 0 {
		return nil, nil
	}
	first := []byte{prefixExpiry}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: appendExpiryKey(nil, until+1, request.Key{})[:expiryHead]})
	if err != nil {
		return nil, readError(err)
	}
	for ok := it.First(); ok && len(keys) < SweepRowsMax; ok = it.Next() {
		keys = append(keys, bytes.Clone(it.Key()))
	}
	return keys, it.Close()
}

// expire removes what expired of the rows' keys, and the expiry rows, stale ones included. A crash that undoes it costs
// another sweep, so nobody waits for the disk.
func (s *Store) expire(due [][]byte, until int64) error {
	w := s.writer(true)
	defer w.release()
	keys := make([]request.Key, 0, len(due))
	for _, b := range due {
		if _, k, ok := splitExpiryKey(b); ok && s.tally.holds(placeOf(k)) {
			keys = append(keys, k)
			w.shards = append(w.shards, shardOf(k))
		}
	}
	var errs []error
	err := w.locked(func() {
		for _, b := range due {
			errs = append(errs, w.batch.Delete(b, nil))
		}
		for _, k := range keys {
			errs = append(errs, w.expireKey(k, until))
		}
	}, pebble.NoSync)
	return errors.Join(err, errors.Join(errs...))
}

func (w *writer) expireKey(k request.Key, until int64) error {
	held, err := w.row(k)
	if err != nil {
		return err
	}
	next, changed := held.state.Expire(until, w.s.cfg.Settled)
	if !changed {
		return nil
	}
	gone := len(held.state.Siblings) - len(next.Siblings)
	if _, err := w.putRow(k, held, row{held.actor, next}, false); err != nil {
		return err
	}
	w.s.events.expired.Add(uint64(gone))
	return nil
}
