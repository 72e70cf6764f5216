package replica

import (
	"bytes"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// rowCache keeps the stored bytes of rows that were read or written lately. A look-up in Pebble's memtable costs some
// thirty cache misses; here it costs a few, and the hot path does it once a replica for every command.
//
// It never shows what the database does not hold: a row enters under its key's lock after its batch was applied, or
// after a read if no write of its shard was applied since that read began.
//
// A row that was used since the hand last passed is spared once (CLOCK): unlike a list in the order of use, that changes
// one byte beside what a look-up has touched anyway. Rows are found by the hash of their key alone; of two keys with the
// same one, the latest is cached. So the index holds no pointers, and the collector sees one pointer a row.
type rowCache struct {
	bytesMax int // of one shard
	shards   [cacheShards]cacheShard
}

type cacheShard struct {
	sync.Mutex
	index map[uint64]uint32 // of slots, by the hash of the key
	slots []cachedRow
	free  []uint32 // slots without a row
	hand  int      // the next slot to look at for a row to drop
	bytes int
	epoch uint64 // writes so far
}

// cachedRow is a key and its row in one piece of memory, never written again, for states alias it.
type cachedRow struct {
	both   []byte // nil: the slot is free
	keyLen uint32
	used   bool // since the hand last passed
}

func (r *cachedRow) key() []byte   { return r.both[:r.keyLen] }
func (r *cachedRow) value() []byte { return r.both[r.keyLen:] }
func (r *cachedRow) size() int     { return len(r.both) + cacheOverhead }

func newRowCache(bytesMax int64) *rowCache {
	c := &rowCache{bytesMax: int(bytesMax / cacheShards)}
	for i := range c.shards {
		c.shards[i].index = make(map[uint64]uint32)
	}
	return c
}

// shard takes the number that shardOf gives for the key's lock.
func (c *rowCache) shard(lock uint16) *cacheShard { return &c.shards[lock%cacheShards] }

// get returns the row's bytes, valid for ever and not to be written; or, on a miss, the epoch to fill it under.
func (c *rowCache) get(lock uint16, key []byte) (value []byte, epoch uint64) {
	hash := xxhash.Sum64(key)
	s := c.shard(lock)
	s.Lock()
	defer s.Unlock()
	i, ok := s.index[hash]
	if !ok {
		return nil, s.epoch
	}
	row := &s.slots[i]
	if !bytes.Equal(row.key(), key) {
		return nil, s.epoch
	}
	row.used = true
	return row.value(), s.epoch
}

// fill adds a copy of what a read found after a miss, unless a write of the shard has come between.
func (c *rowCache) fill(lock uint16, key, value []byte, epoch uint64) {
	hash := xxhash.Sum64(key)
	row := cachedRow{both: joined(key, value), keyLen: uint32(len(key))}
	s := c.shard(lock)
	s.Lock()
	defer s.Unlock()
	if s.epoch == epoch {
		s.set(hash, row, c.bytesMax)
	}
}

// put replaces a row by what was just applied: a key of keyLen bytes and the row behind it, which the cache keeps. The
// caller holds the key's lock.
func (c *rowCache) put(lock uint16, both []byte, keyLen int) {
	hash := xxhash.Sum64(both[:keyLen])
	s := c.shard(lock)
	s.Lock()
	defer s.Unlock()
	s.epoch++
	s.set(hash, cachedRow{both: both, keyLen: uint32(keyLen), used: true}, c.bytesMax)
}

// drop forgets a row whose write failed.
func (c *rowCache) drop(lock uint16, key []byte) {
	s := c.shard(lock)
	s.Lock()
	defer s.Unlock()
	s.epoch++
	if i, ok := s.index[xxhash.Sum64(key)]; ok {
		s.drop(i)
	}
}

func joined(key, value []byte) []byte {
	return append(append(make([]byte, 0, len(key)+len(value)), key...), value...)
}

// clear drops all rows. What reads that began before it find is not filled in.
func (c *rowCache) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.Lock()
		s.index, s.slots, s.free = make(map[uint64]uint32), nil, nil
		s.hand, s.bytes = 0, 0
		s.epoch++
		s.Unlock()
	}
}

func (s *cacheShard) set(hash uint64, row cachedRow, bytesMax int) {
	i, ok := s.index[hash]
	if ok {
		s.bytes -= s.slots[i].size()
		s.slots[i] = row
	} else {
		i = s.place(row)
		s.index[hash] = i
	}
	s.bytes += row.size()
	if len(row.both) > bytesMax/cachePortion {
		s.drop(i)
	}
	for s.bytes > bytesMax {
		s.advance()
	}
}

// place puts a row into a free slot.
func (s *cacheShard) place(row cachedRow) (i uint32) {
	if last := len(s.free) - 1; last >= 0 {
		i, s.free = s.free[last], s.free[:last]
		s.slots[i] = row
		return i
	}
	s.slots = append(s.slots, row)
	return uint32(len(s.slots) - 1)
}

// advance looks at the slot at the hand: its row is dropped unless it was used since.
func (s *cacheShard) advance() {
	if s.hand >= len(s.slots) {
		s.hand = 0
	}
	row := &s.slots[s.hand]
	switch {
	case row.used:
		row.used = false
	case row.both != nil:
		s.drop(uint32(s.hand))
	}
	s.hand++
}

func (s *cacheShard) drop(i uint32) {
	row := &s.slots[i]
	delete(s.index, xxhash.Sum64(row.key()))
	s.bytes -= row.size()
	*row = cachedRow{}
	s.free = append(s.free, i)
}

// bytes returns how much the cache holds, its own overhead included.
func (c *rowCache) bytes() (sum int64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.Lock()
		sum += int64(s.bytes)
		s.Unlock()
	}
	return sum
}
