package replica

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/replica/merkle"
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

// tally holds the counts of every place: 32 bytes for each partition of each keyspace that something was asked of.
type tally struct {
	partitions int
	spaces     [request.SpacesMax]atomic.Pointer[[]placeTally]
	counted    atomic.Bool
}

type placeTally struct{ keys, rows, siblings, bytes atomic.Int64 }

func newTally(partitions int) *tally {
	return &tally{partitions: partitions}
}

// holds reports whether the place exists.
func (t *tally) holds(p place) bool {
	return int(p.space) < request.SpacesMax && int(p.partition) < t.partitions
}

func (t *tally) at(p place) *placeTally {
	places := t.spaces[p.space].Load()
	if places == nil {
		first := make([]placeTally, t.partitions)
		t.spaces[p.space].CompareAndSwap(nil, &first)
		places = t.spaces[p.space].Load()
	}
	return &(*places)[p.partition]
}

// counts returns what the place holds.
func (t *tally) counts(p place) Counts {
	if t.spaces[p.space].Load() == nil {
		return Counts{}
	}
	return t.at(p).counts()
}

// add adds to the place's counts.
func (t *tally) add(p place, c Counts) {
	if c != (Counts{}) {
		t.at(p).add(c)
	}
}

// each calls f with the counts of every place that was asked of, in order.
func (t *tally) each(f func(place, Counts)) {
	for space := range t.spaces {
		places := t.spaces[space].Load()
		if places == nil {
			continue
		}
		for p := range *places {
			f(place{uint8(space), ring.Partition(p)}, (*places)[p].counts())
		}
	}
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
	c := s.tally.counts(at)
	if s.Counted() {
		return c
	}
	return Counts{max(c.Keys, 0), max(c.Rows, 0), max(c.Siblings, 0), max(c.Bytes, 0)}
}

// Total returns what the node holds. O(keyspaces times partitions).
func (s *Store) Total() (total Counts) {
	s.tally.each(func(_ place, c Counts) { total = total.plus(c) })
	if !s.Counted() {
		total = Counts{max(total.Keys, 0), max(total.Rows, 0), max(total.Siblings, 0), max(total.Bytes, 0)}
	}
	return total
}

// Counted reports whether the counts are exact. After an unclean stop they are not until all rows were read once.
func (s *Store) Counted() bool { return s.tally.counted.Load() }

// Bare reports whether nothing at all is stored: no row, nor a hint or a mark for another node. Unlike the counts it is exact at any
// time. One seek for each kind; what cannot be read is not nothing.
func (s *Store) Bare() bool {
	if s.enter() != nil {
		return false
	}
	defer s.gate.leave()
	return !slices.ContainsFunc([]byte{prefixData, prefixHint, prefixMark}, s.anyUnder)
}

func (s *Store) anyUnder(prefix byte) bool {
	all := []byte{prefix}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: all, UpperBound: prefixEnd(all)})
	if err != nil {
		return true
	}
	any := it.First() || it.Error() != nil
	return it.Close() != nil || any
}

const placeCountsSize = placeSize + 4*8

// append encodes the places that hold something: format byte, number of partitions, then place and four counts each.
func (t *tally) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, rowFormat), uint32(t.partitions))
	t.each(func(p place, c Counts) {
		if c == (Counts{}) {
			return
		}
		dst = p.append(dst)
		for _, v := range []int64{c.Keys, c.Rows, c.Siblings, c.Bytes} {
			dst = binary.BigEndian.AppendUint64(dst, uint64(v))
		}
	})
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

// recount adds what the snapshot holds to the counts and the trees. The snapshot was taken before the first write, and
// both hold what changed since, so the sums are exact. Nothing is added to the counts of a partition that was not read to its
// end; the trees are of no use until all is read.
func (s *Store) recount(ctx context.Context, snap *pebble.Snapshot) {
	err := s.countRows(ctx, snap)
	s.closeQuietly(snap) // first: as long as it is open what is deleted stays on the disk
	switch {
	case err == nil:
		s.tally.counted.Store(true)
	case ctx.Err() == nil:
		s.log.Error("cannot count keys", "err", err)
	}
}

// countRows walks all rows once, and adds up each partition as it is left: most hold nothing, and are not looked for.
func (s *Store) countRows(ctx context.Context, snap *pebble.Snapshot) (err error) {
	all := []byte{prefixData}
	it, err := snap.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: all, UpperBound: prefixEnd(all)})
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, it.Close()) }()
	var at place
	var sum Counts
	unreadable := 0
	for ok := it.First(); ok; ok = it.Next() {
		p, one, err := s.countRow(ctx, it)
		if errors.Is(err, request.ErrCorrupt) {
			unreadable++ // one row that cannot be read is no reason to compare none with other nodes
			continue
		}
		if err != nil {
			return err
		}
		if p != at {
			s.tally.add(at, sum)
			at, sum = p, Counts{}
		}
		sum = sum.plus(one)
	}
	if err := it.Error(); err != nil {
		return err
	}
	s.tally.add(at, sum)
	if unreadable > 0 {
		s.log.Error("rows that cannot be read are not counted; a repair with a scan removes them and takes them from other nodes", "rows", unreadable)
	}
	return nil
}

func (s *Store) countRow(ctx context.Context, it *pebble.Iterator) (p place, one Counts, err error) {
	k, ok := splitKey(it.Key()[1:])
	if p = placeOf(k); !ok || !s.tally.holds(p) {
		return p, one, fmt.Errorf("replica: count a row of no partition: %w", request.ErrCorrupt)
	}
	b, err := it.ValueAndErr()
	if err = firstError(ctx.Err(), err); err != nil {
		return p, one, err
	}
	_, state, err := splitRow(b)
	if err != nil {
		return p, one, err
	}
	_, siblings, err := causal.PeekWinner(state)
	if err != nil {
		return p, one, fmt.Errorf("replica: count a row of keyspace %d partition %d (%v): %w", p.space, p.partition, err, request.ErrCorrupt)
	}
	digest, err := treeDigest(state)
	if err != nil {
		return p, one, err
	}
	s.trees.change(p.partition, merkle.HashKey(k.Space, k.Name), 0, digest)
	return p, countsOf(len(it.Key()), len(b), siblings), nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
