package replica

import (
	"context"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

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
