package replica

import (
	"context"
	"errors"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// OwePartition notes that the target may miss anything that this node holds in the partition of the keyspace: what is
// left to say when single keys cannot be kept up with. It is paid by a scan. As durable as a write.
func (s *Store) OwePartition(target ring.NodeID, space uint8, p ring.Partition) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	at := place{space, p}
	if !s.tally.holds(at) {
		return errNoPlace(request.Key{Space: space, Partition: p})
	}
	if target == s.node {
		return nil
	}
	b := s.db.NewBatch()
	defer s.closeQuietly(b)
	// No key's lock is held: what is owed was stored before the call, so a payment that begins after this line reads it,
	// and at worst the row outlives that payment and is paid once more after a restart.
	generation := s.hints.owePlace(target, at)
	if err := b.Set(appendMarkKey(nil, target, at, generation), nil, nil); err != nil {
		return err
	}
	if err := s.checkCommit(b.Commit(s.writeOptions())); err != nil {
		return err
	}
	s.markDirty()
	return nil
}

// Owed is what a node is known to miss of a key.
type Owed struct {
	Target ring.NodeID
	Key    request.Key
	Seen   causal.Context // the context of what it misses, whose values are in the key's own row
	Minted bool           // it is one write, which minted a dot: who acknowledges that dot has all of it (CancelHint)
}

// AddHints stores a marker hint for each: what misses a primary after the reply. The state must be in the keys' own rows
// already. As durable as a write.
func (s *Store) AddHints(ctx context.Context, owed []Owed) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	if ctx.Err() != nil {
		return request.ErrExpired
	}
	w := s.writer(len(owed) > 1)
	defer w.release()
	for _, o := range owed {
		if !s.tally.holds(placeOf(o.Key)) {
			return errNoPlace(o.Key)
		}
		w.shards = append(w.shards, shardOf(o.Key))
	}
	var errs []error
	act := func() {
		for _, o := range owed {
			errs = append(errs, w.oweStored(o.Target, o.Key, o.Seen, o.Minted))
		}
	}
	if err := w.locked(act, s.writeOptions()); err != nil {
		return err
	}
	return errors.Join(errors.Join(errs...), w.wait())
}
