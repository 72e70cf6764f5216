package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// scratch is a buffer that is reused between calls.
type scratch struct{ b []byte }

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
			r.Err = s.readRow(r, key.b)
		}
	}
}

func errNoPlace(k request.Key) error {
	return fmt.Errorf("replica: keyspace %d has no partition %d here: %w", k.Space, k.Partition, request.ErrInternal)
}

// readRow answers from the key's own row alone. When the digests agree, nothing is copied.
func (s *Store) readRow(r *request.Read, key []byte) error {
	b, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		r.Same = r.Compare && r.Digest == causal.State{}.Digest()
		return nil
	}
	if err != nil {
		return readError(err)
	}
	defer s.closeQuietly(closer)
	_, encoded, err := splitRow(b)
	if err != nil {
		return err
	}
	if r.Compare {
		digest, err := causal.DigestEncoded(encoded)
		if err != nil {
			return fmt.Errorf("replica: digest (%v): %w", err, request.ErrCorrupt)
		}
		if r.Same = digest == r.Digest; r.Same {
			return nil
		}
	}
	r.State, err = decodeState(append(make([]byte, 0, len(encoded)), encoded...))
	return err
}

// readHinted answers from the row and the hints with data for the targets.
func (s *Store) readHinted(r *request.Read, key *scratch, targets []ring.NodeID) error {
	state, err := s.localState(key.b)
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
func (s *Store) localState(key []byte) (causal.State, error) {
	b, err := s.get(key)
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
	return &scratch{make([]byte, 0, keyScratchSize)}
}

func (s *Store) release(k *scratch) {
	if cap(k.b) <= scratchKeepMax {
		s.pools.keys.Put(k)
	}
}

// Entry is one key of a scan and what the store holds of it.
type Entry struct {
	Key   []byte
	State causal.State
}

// Scan returns the rows of a partition of a keyspace in key order, tombstones included and hints not, from the key from
// (nil: the first): at most limit, ScanRowsMax and ScanBytesMax of them, whichever is least. next is where to go on, nil
// at the end. Entries are copies.
func (s *Store) Scan(ctx context.Context, space uint8, p ring.Partition, from []byte, limit int) (entries []Entry, next []byte, err error) {
	if err := s.enter(); err != nil {
		return nil, nil, err
	}
	defer s.gate.leave()
	return s.scan(ctx, place{space, p}, from, min(limit, ScanRowsMax), ScanBytesMax)
}

func (s *Store) scan(ctx context.Context, p place, from []byte, limit, bytesMax int) (entries []Entry, next []byte, err error) {
	if !s.tally.holds(p) {
		return nil, nil, errNoPlace(request.Key{Space: p.space, Partition: p.partition})
	}
	prefix := p.append([]byte{prefixData})
	bounds := &pebble.IterOptions{LowerBound: append(p.append([]byte{prefixData}), from...), UpperBound: prefixEnd(prefix)}
	it, err := s.db.NewIterWithContext(ctx, bounds)
	if err != nil {
		return nil, nil, readError(err)
	}
	entries, next, err = collect(it, len(prefix), max(limit, 1), bytesMax)
	if err := firstError(err, it.Close()); err != nil {
		return nil, nil, err
	}
	return entries, next, ctx.Err()
}

// collect reads up to limit rows, whose key's name begins after skip bytes.
func collect(it *pebble.Iterator, skip, limit, bytesMax int) (entries []Entry, next []byte, err error) {
	bytes := 0
	for ok := it.First(); ok; ok = it.Next() {
		if len(entries) == limit || bytes >= bytesMax {
			// Not nil, even for the empty key: that would mean the end.
			return entries, append(make([]byte, 0, len(it.Key())), it.Key()[skip:]...), nil
		}
		b, err := it.ValueAndErr()
		if err != nil {
			return nil, nil, readError(err)
		}
		bytes += len(b)
		row, err := decodeRow(append(make([]byte, 0, len(b)), b...))
		if err != nil {
			return nil, nil, err
		}
		entries = append(entries, Entry{append([]byte(nil), it.Key()[skip:]...), row.state})
	}
	if err := it.Error(); err != nil {
		return nil, nil, readError(err)
	}
	return entries, nil, nil
}

// ForEach calls visit with every row of a partition of a keyspace, in key order, until it returns an error, which
// ForEach then returns. Rows written meanwhile may or may not be visited. No lock is held over visit.
func (s *Store) ForEach(ctx context.Context, space uint8, p ring.Partition, visit func(Entry) error) error {
	for from, more := []byte(nil), true; more; more = from != nil {
		entries, next, err := s.Scan(ctx, space, p, from, ScanRowsMax)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := visit(e); err != nil {
				return err
			}
		}
		from = next
	}
	return nil
}
