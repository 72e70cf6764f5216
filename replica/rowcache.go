package replica

import (
	"container/list"
	"sync"
)

// rowCache keeps the stored bytes of rows that were read or written lately, least recently used out first. A look-up in
// Pebble's memtable costs some thirty cache misses; here it costs a few, and the hot path does it once a replica for
// every command.
//
// It never shows what the database does not hold: a row enters under its key's lock after its batch was applied, or
// after a read if no write of its shard was applied since that read began.
type rowCache struct {
	bytesMax int // of one shard
	shards   [cacheShards]cacheShard
}

type cacheShard struct {
	sync.Mutex
	rows  map[string]*list.Element
	order list.List // of *cachedRow, the most recently used first
	bytes int
	epoch uint64 // writes so far
}

type cachedRow struct {
	key   string
	value []byte // never written again: states alias it
}

func newRowCache(bytesMax int64) *rowCache {
	c := &rowCache{bytesMax: int(bytesMax / cacheShards)}
	for i := range c.shards {
		c.shards[i].rows = make(map[string]*list.Element)
	}
	return c
}

// shard takes the number that shardOf gives for the key's lock.
func (c *rowCache) shard(lock uint16) *cacheShard { return &c.shards[lock%cacheShards] }

// get returns the row's bytes, valid for ever and not to be written; or, on a miss, the epoch to fill it under.
func (c *rowCache) get(lock uint16, key []byte) (value []byte, epoch uint64) {
	s := c.shard(lock)
	s.Lock()
	defer s.Unlock()
	e, ok := s.rows[string(key)]
	if !ok {
		return nil, s.epoch
	}
	s.order.MoveToFront(e)
	return e.Value.(*cachedRow).value, s.epoch
}

// fill adds what a read found after a miss, unless a write of the shard has come between.
func (c *rowCache) fill(lock uint16, key, value []byte, epoch uint64) {
	s := c.shard(lock)
	s.Lock()
	defer s.Unlock()
	if s.epoch == epoch {
		s.set(key, value, c.bytesMax)
	}
}

// put replaces a row by what was just applied. The caller holds the key's lock. A nil value drops it.
func (c *rowCache) put(lock uint16, key, value []byte) {
	s := c.shard(lock)
	s.Lock()
	defer s.Unlock()
	s.epoch++
	s.set(key, value, c.bytesMax)
}

func (s *cacheShard) set(key, value []byte, bytesMax int) {
	if e, ok := s.rows[string(key)]; ok {
		if row := e.Value.(*cachedRow); value != nil && len(value) <= bytesMax/cachePortion {
			s.bytes += len(value) - len(row.value)
			row.value = value
			s.order.MoveToFront(e)
		} else {
			s.drop(e)
		}
	} else if value != nil && len(value) <= bytesMax/cachePortion {
		row := &cachedRow{string(key), value}
		s.rows[row.key] = s.order.PushFront(row)
		s.bytes += row.size()
	}
	for s.bytes > bytesMax {
		s.drop(s.order.Back())
	}
}

func (s *cacheShard) drop(e *list.Element) {
	row := s.order.Remove(e).(*cachedRow)
	delete(s.rows, row.key)
	s.bytes -= row.size()
}

// size counts the key twice: a value that was written shares its memory with a key of its own.
func (r *cachedRow) size() int { return 2*len(r.key) + len(r.value) + cacheOverhead }

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
