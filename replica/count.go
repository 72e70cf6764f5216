package replica

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// Counts is what a partition of a keyspace, or a node, holds. Hints are not counted.
type Counts struct {
	Keys     int64 // rows that have a value; one that expired counts until the sweeper came by
	Rows     int64 // and tombstones
	Siblings int64 // rows that have more than one value
	Bytes    int64 // of keys and rows, before compression
}

func (c Counts) plus(o Counts) Counts {
	return Counts{c.Keys + o.Keys, c.Rows + o.Rows, c.Siblings + o.Siblings, c.Bytes + o.Bytes}
}

func (c Counts) minus(o Counts) Counts {
	return c.plus(Counts{-o.Keys, -o.Rows, -o.Siblings, -o.Bytes})
}

// countsOf returns what one row contributes.
func countsOf(keyBytes, rowBytes, siblings int) Counts {
	c := Counts{Rows: 1, Bytes: int64(keyBytes + rowBytes)}
	if siblings > 0 {
		c.Keys = 1
	}
	if siblings > 1 {
		c.Siblings = 1
	}
	return c
}

// tally holds the counts of every place: 32 bytes for each partition of each keyspace.
type tally struct {
	partitions int
	places     []placeTally
	counted    atomic.Bool
}

type placeTally struct{ keys, rows, siblings, bytes atomic.Int64 }

func newTally(partitions int) *tally {
	return &tally{partitions: partitions, places: make([]placeTally, request.SpacesMax*partitions)}
}

// holds reports whether the place exists.
func (t *tally) holds(p place) bool {
	return int(p.space) < request.SpacesMax && int(p.partition) < t.partitions
}

func (t *tally) at(p place) *placeTally {
	return &t.places[int(p.space)*t.partitions+int(p.partition)]
}

func (t *placeTally) add(c Counts) {
	t.keys.Add(c.Keys)
	t.rows.Add(c.Rows)
	t.siblings.Add(c.Siblings)
	t.bytes.Add(c.Bytes)
}

func (t *placeTally) counts() Counts {
	return Counts{t.keys.Load(), t.rows.Load(), t.siblings.Load(), t.bytes.Load()}
}

// Keys returns how many keys with a value the partition of the keyspace holds. While Counted is false, fewer.
func (s *Store) Keys(space uint8, p ring.Partition) int64 { return s.Counts(space, p).Keys }

// Counts returns what the partition of the keyspace holds. While Counted is false, less. O(1).
func (s *Store) Counts(space uint8, p ring.Partition) Counts {
	at := place{space, p}
	if !s.tally.holds(at) {
		return Counts{}
	}
	c := s.tally.at(at).counts()
	if s.Counted() {
		return c
	}
	return Counts{max(c.Keys, 0), max(c.Rows, 0), max(c.Siblings, 0), max(c.Bytes, 0)}
}

// Total returns what the node holds. O(keyspaces times partitions).
func (s *Store) Total() (total Counts) {
	for i := range s.tally.places {
		total = total.plus(s.tally.places[i].counts())
	}
	if !s.Counted() {
		total = Counts{max(total.Keys, 0), max(total.Rows, 0), max(total.Siblings, 0), max(total.Bytes, 0)}
	}
	return total
}

// Counted reports whether the counts are exact. After an unclean stop they are not until all rows were read once.
func (s *Store) Counted() bool { return s.tally.counted.Load() }

const placeCountsSize = placeSize + 4*8

// append encodes the places that hold something: format byte, number of partitions, then place and four counts each.
func (t *tally) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, rowFormat), uint32(t.partitions))
	for i := range t.places {
		c := t.places[i].counts()
		if c == (Counts{}) {
			continue
		}
		dst = place{uint8(i / t.partitions), ring.Partition(i % t.partitions)}.append(dst)
		for _, v := range []int64{c.Keys, c.Rows, c.Siblings, c.Bytes} {
			dst = binary.BigEndian.AppendUint64(dst, uint64(v))
		}
	}
	return dst
}

// load is the inverse of append, into an empty tally.
func (t *tally) load(b []byte) error {
	bad := fmt.Errorf("replica: saved counts: %w", request.ErrCorrupt)
	if len(b) < 5 || b[0] != rowFormat || binary.BigEndian.Uint32(b[1:]) != uint32(t.partitions) {
		return bad
	}
	for b = b[5:]; len(b) > 0; b = b[placeCountsSize:] {
		if len(b) < placeCountsSize {
			return bad
		}
		p := place{b[0], ring.Partition(binary.BigEndian.Uint16(b[1:]))}
		if !t.holds(p) {
			return bad
		}
		v := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[placeSize+8*i:])) }
		t.at(p).add(Counts{v(0), v(1), v(2), v(3)})
	}
	return nil
}

// recount adds what the snapshot holds to the counts. The snapshot was taken before the first write, and the counts hold
// what changed since, so the sum is exact. Nothing is added of a partition that was not read to its end.
func (s *Store) recount(ctx context.Context, snap *pebble.Snapshot) {
	defer func() { s.closeQuietly(snap) }()
	for space := range uint8(request.SpacesMax) {
		for p := range s.cfg.Partitions {
			if err := s.recountPlace(ctx, snap, place{space, ring.Partition(p)}); err != nil {
				if ctx.Err() == nil {
					s.log.Error("cannot count keys", "space", space, "partition", p, "err", err)
				}
				return
			}
		}
	}
	s.tally.counted.Store(true)
}

func (s *Store) recountPlace(ctx context.Context, snap *pebble.Snapshot, p place) error {
	prefix := p.append([]byte{prefixData})
	it, err := snap.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
	if err != nil {
		return err
	}
	sum, err := countRows(ctx, it)
	if err := firstError(err, it.Close()); err != nil {
		return err
	}
	s.tally.at(p).add(sum)
	return nil
}

func countRows(ctx context.Context, it *pebble.Iterator) (sum Counts, err error) {
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		b, err := it.ValueAndErr()
		if err != nil {
			return sum, err
		}
		_, state, err := splitRow(b)
		if err != nil {
			return sum, err
		}
		_, siblings, err := causal.PeekWinner(state)
		if err != nil {
			return sum, fmt.Errorf("replica: count a row (%v): %w", err, request.ErrCorrupt)
		}
		sum = sum.plus(countsOf(len(it.Key()), len(b), siblings))
	}
	return sum, it.Error()
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
