package replica

import (
	"github.com/cockroachdb/pebble/v2"
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
	generation := s.hints.owePlace(target, at)
	if err := b.Set(appendMarkKey(nil, target, at, generation), nil, nil); err != nil {
		return err
	}
	if err := s.checkCommit(b.Commit(pebble.NoSync)); err != nil {
		return err
	}
	s.markDirty()
	return nil
}
