package replica

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// scratch are buffers that are reused between calls: of a key, and of a row that nobody keeps.
type scratch struct{ b, row []byte }

// pools are the reusable parts of calls. Nothing in them outlives a call's answer.
type pools struct{ keys, writers sync.Pool }

// Read answers the reads in place: each with what the node holds of the key, hints with data synced in, or with Same when
// that has the asker's digest. A key never written has the zero state. Values are copies. It waits for the disk alone;
// about 6 us a key from memory. Errors per element: request.ErrCorrupt, ErrInternal, ErrClosed.
func (s *Store) Read(reads []*request.Read) {
	if err := s.enter(); err != nil {
		for _, r := range reads {
			r.Err = err
		}
		return
	}
	defer s.gate.leave()
	key := s.scratch()
	defer s.release(key)
	for _, r := range reads {
		r.Same, r.State = false, causal.State{}
		if !s.tally.holds(placeOf(r.Key)) {
			r.Err = errNoPlace(r.Key)
			continue
		}
		key.b = appendDataKey(key.b[:0], r.Key)
		if targets := s.hints.dataTargets(placeOf(r.Key)); targets != nil {
			r.Err = s.readHinted(r, key, targets)
		} else {
			r.Err = s.readRow(r, shardOf(r.Key), key)
		}
	}
}

func errNoPlace(k request.Key) error {
	return fmt.Errorf("replica: keyspace %d has no partition %d here: %w", k.Space, k.Partition, request.ErrInternal)
}

// readRow answers from the key's own row alone. When the digests agree, nothing is decoded or allocated.
func (s *Store) readRow(r *request.Read, lock uint16, key *scratch) error {
	var to []byte
	if r.Compare {
		to = key.row[:0]
	}
	b, err := s.getRow(to, lock, key.b)
	if err != nil {
		return err
	}
	if b == nil {
		r.Same = r.Compare && r.Digest == causal.State{}.Digest()
		return nil
	}
	_, encoded, err := splitRow(b)
	if err != nil {
		return err
	}
	if r.Compare {
		key.row = b
		digest, err := causal.DigestEncoded(encoded)
		if err != nil {
			return fmt.Errorf("replica: digest (%v): %w", err, request.ErrCorrupt)
		}
		if r.Same = digest == r.Digest; r.Same {
			return nil
		}
		encoded = bytes.Clone(encoded) // which the state will alias
	}
	r.State, err = decodeState(encoded)
	return err
}

// getRow returns the stored bytes of a key's own row, or nil if there is none. They may be in the memory behind dst's bytes; with
// dst nil they are the caller's own.
func (s *Store) getRow(dst []byte, lock uint16, key []byte) ([]byte, error) {
	b, epoch := s.cache.get(dst, lock, key)
	if b != nil {
		return b[len(dst):], nil
	}
	b, err := s.get(key)
	if b != nil {
		s.cache.fill(lock, key, b, epoch)
	}
	return b, err
}

// readHinted answers from the row and the hints with data for the targets.
func (s *Store) readHinted(r *request.Read, key *scratch, targets []ring.NodeID) error {
	state, err := s.localState(shardOf(r.Key), key.b)
	if err != nil {
		return err
	}
	for _, target := range targets {
		key.b = appendHintKey(key.b[:0], target, r.Key)
		b, err := s.get(key.b)
		if err != nil {
			return err
		}
		if b == nil {
			continue
		}
		h, err := decodeHint(b)
		if err != nil {
			return err
		}
		state = causal.Sync(state, h.state) // a marker's is empty
	}
	if r.Same = r.Compare && state.Digest() == r.Digest; !r.Same {
		r.State = state
	}
	return nil
}

// localState returns the state in the key's own row, zero if there is none.
func (s *Store) localState(lock uint16, key []byte) (causal.State, error) {
	b, err := s.getRow(nil, lock, key)
	if err != nil || b == nil {
		return causal.State{}, err
	}
	row, err := decodeRow(b)
	return row.state, err
}

func (s *Store) scratch() *scratch {
	if k, ok := s.pools.keys.Get().(*scratch); ok {
		return k
	}
	return &scratch{b: make([]byte, 0, keyScratchSize)}
}

func (s *Store) release(k *scratch) {
	if cap(k.b)+cap(k.row) <= scratchKeepMax {
		s.pools.keys.Put(k)
	}
}
