package replica

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/holdfastdb/holdfast/causal"
)

// rowCache keeps the rows that were read or written lately. A look-up in Pebble's memtable costs some thirty cache misses;
// here it costs a few, and the hot path does it once a replica for every command.
//
// It never shows what the database does not hold: a row enters under its key's lock after its batch was applied, or
// after a read if no write of its shard was applied since that read began.
//
// Rows lie in memory that the collector does not know: it would go through every row, and leave as much room again for garbage
// as they fill. So they are copied in and out. Most are kept as briefs (causal.AppendBrief), at two thirds of their bytes; a row
// of 100 bytes under a key of 16 costs 147 in all. What was used since its part of the memory was last gone through is spared
// once (CLOCK).
type rowCache struct {
	memory []byte // of all shards; nil once released
	shards [cacheShards]cacheShard
}

// cacheShard is a row of segments, filled one after the other and round again. Where one that is full comes up again, what is no longer
// current or was not used is left out of it, and the rest moves together.
type cacheShard struct {
	sync.Mutex
	index   rowIndex
	boots   causal.Boots
	memory  []byte
	segment int   // bytes of one
	filled  []int // bytes in each segment
	at      int   // the segment that is being filled
	scratch []byte
	epoch   uint64 // writes so far
	hits    uint64
	misses  uint64
}

// newRowCache reserves memory for rows of so many bytes in all. It becomes the process's as it is filled.
func newRowCache(bytesMax int64) (*rowCache, error) {
	each := int(min(bytesMax/cacheShards, shardBytesMax))
	segment := min(each/cachePortion, segmentBytesMax)
	each = each / segment * segment
	memory, err := reserve(each * cacheShards)
	if err != nil {
		return nil, fmt.Errorf("replica: reserve %d bytes for rows: %w", each*cacheShards, err)
	}
	c := &rowCache{memory: memory}
	for i := range c.shards {
		s := &c.shards[i]
		s.memory, s.segment, s.filled = memory[i*each:(i+1)*each], segment, make([]int, each/segment)
	}
	return c, nil
}

// release gives the memory back. Nothing is found any more, and nothing kept.
func (c *rowCache) release() error {
	c.clear()
	for i := range c.shards {
		s := &c.shards[i]
		s.Lock()
		s.memory, s.segment, s.filled = nil, 0, nil
		s.Unlock()
	}
	memory := c.memory
	c.memory = nil
	return unreserve(memory)
}

// shard takes the number that shardOf gives for the key's lock.
func (c *rowCache) shard(lock uint16) *cacheShard { return &c.shards[lock%cacheShards] }

// get appends the row to dst; or, on a miss, it returns nil and the epoch to fill it under.
func (c *rowCache) get(dst []byte, lock uint16, key []byte) (row []byte, epoch uint64) {
	tag := tagOf(xxhash.Sum64(key))
	s := c.shard(lock)
	s.Lock()
	defer s.Unlock()
	slot := s.find(tag, key)
	if slot < 0 {
		s.misses++
		return nil, s.epoch
	}
	s.hits++
	e := s.entry(s.index.place(slot))
	e.mark(entryUsed)
	return e.appendRow(dst, s.boots), s.epoch
}

// fill caches what a read found, unless a write of the shard came in between.
func (c *rowCache) fill(lock uint16, key, row []byte, epoch uint64) {
	tag := tagOf(xxhash.Sum64(key))
	s := c.shard(lock)
	s.Lock()
	defer s.Unlock()
	if s.epoch == epoch {
		s.set(tag, key, row, 0)
	}
}

// put replaces a row by what was just applied. The caller holds the key's lock.
func (c *rowCache) put(lock uint16, key, row []byte) {
	tag := tagOf(xxhash.Sum64(key))
	s := c.shard(lock)
	s.Lock()
	defer s.Unlock()
	s.epoch++
	s.set(tag, key, row, entryUsed)
}

// drop forgets a row whose write failed.
func (c *rowCache) drop(lock uint16, key []byte) {
	tag := tagOf(xxhash.Sum64(key))
	s := c.shard(lock)
	s.Lock()
	defer s.Unlock()
	s.epoch++
	if slot := s.find(tag, key); slot >= 0 {
		s.drop(slot)
	}
}

// clear drops all rows. What reads that began before it find is not filled in.
func (c *rowCache) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.Lock()
		s.index.release()
		s.boots, s.at = nil, 0
		clear(s.filled)
		s.epoch++
		s.Unlock()
	}
}

// bytes returns how much the cache holds, with its indexes and what is left of old rows; filled is what of it counts against the cap.
func (c *rowCache) bytes() (all, filled int64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.Lock()
		all += int64(len(s.index.slots))
		for _, n := range s.filled {
			filled += int64(n)
		}
		s.Unlock()
	}
	return all + filled, filled
}

// lookUps returns how many gets found their row, and how many did not.
func (c *rowCache) lookUps() (hits, misses uint64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.Lock()
		hits, misses = hits+s.hits, misses+s.misses
		s.Unlock()
	}
	return hits, misses
}

// find returns the index's slot of a key, or -1.
func (s *cacheShard) find(tag uint32, key []byte) int {
	return s.index.find(tag, func(place uint32) bool { return bytes.Equal(s.entry(place).key, key) })
}

// set keeps a row. One as long as the one before takes its place.
func (s *cacheShard) set(tag uint32, key, row []byte, flags byte) {
	rest, kind := s.shortened(row)
	n := entryBytes(key, rest)
	slot := s.find(tag, key)
	if slot >= 0 {
		if old := s.entry(s.index.place(slot)); len(old.all) == n {
			appendEntry(old.all[:0], flags|kind, key, rest)
			return
		}
		s.drop(slot)
	}
	if n <= s.segment {
		place := s.room(n)
		appendEntry(s.memory[place:place], flags|kind, key, rest)
		s.index.add(tag, uint32(place))
	}
}

// shortened returns what is kept of a row, and the flags that say how. It is valid until the next call.
func (s *cacheShard) shortened(row []byte) (rest []byte, flags byte) {
	if len(row) > s.segment {
		return row, 0
	}
	local, state, err := splitRow(row)
	if err != nil {
		return row, 0
	}
	var actor causal.Actor
	var ok bool
	s.scratch, actor, ok = causal.AppendBrief(s.scratch[:0], state, &s.boots)
	switch {
	case ok && local.IsZero():
		return s.scratch, entryBrief
	case ok && local == actor:
		return s.scratch, entryBrief | entryActor
	}
	return row, 0
}

// room finds n bytes in the first segment that has them from the present one on. Going round once makes all rows unused, and so once
// more finds room.
func (s *cacheShard) room(n int) (place int) {
	for s.filled[s.at]+n > s.segment {
		s.at = (s.at + 1) % len(s.filled)
		s.tidy(s.at)
	}
	place = s.at*s.segment + s.filled[s.at]
	s.filled[s.at] += n
	return place
}

// tidy makes room in a segment: rows that were used since the last time move together at its front, and the others go.
func (s *cacheShard) tidy(segment int) {
	start := segment * s.segment
	end, to := start+s.filled[segment], start
	for at := start; at < end; {
		e := s.entry(uint32(at))
		from := at
		at += len(e.all)
		if e.has(entryDead) {
			continue
		}
		slot := s.index.find(tagOf(xxhash.Sum64(e.key)), func(place uint32) bool { return place == uint32(from) })
		if !e.has(entryUsed) {
			s.index.remove(slot)
			continue
		}
		e.unmark(entryUsed)
		s.index.move(slot, uint32(to))
		to += copy(s.memory[to:], e.all)
	}
	s.filled[segment] = to - start
}

func (s *cacheShard) drop(slot int) {
	s.entry(s.index.place(slot)).mark(entryDead)
	s.index.remove(slot)
}

// cacheEntry is a row in a segment.
//
//	entry = flags:8 len(key) len(rest) key rest
//
// The rest is the row; or, with entryBrief, the brief of its state.
type cacheEntry struct{ all, key, rest []byte }

// Flags of an entry.
const (
	entryUsed  = 1 << iota // since its segment was last gone through
	entryDead              // the index knows it no more
	entryBrief             // the rest is a brief
	entryActor             // and the row's local actor is the one of the brief; else it has none
)

func (s *cacheShard) entry(place uint32) cacheEntry {
	b := s.memory[place:]
	keyLen, n := binary.Uvarint(b[1:])
	restLen, m := binary.Uvarint(b[1+n:])
	key := 1 + n + m
	rest := key + int(keyLen)
	end := rest + int(restLen)
	return cacheEntry{b[:end], b[key:rest], b[rest:end]}
}

func (e cacheEntry) has(flag byte) bool { return e.all[0]&flag != 0 }
func (e cacheEntry) mark(flag byte)     { e.all[0] |= flag }
func (e cacheEntry) unmark(flag byte)   { e.all[0] &^= flag }

func entryBytes(key, rest []byte) int {
	var lens [2 * binary.MaxVarintLen64]byte
	n := binary.PutUvarint(lens[:], uint64(len(key)))
	return 1 + n + binary.PutUvarint(lens[n:], uint64(len(rest))) + len(key) + len(rest)
}

func appendEntry(dst []byte, flags byte, key, rest []byte) []byte {
	dst = binary.AppendUvarint(append(dst, flags), uint64(len(key)))
	dst = binary.AppendUvarint(dst, uint64(len(rest)))
	return append(append(dst, key...), rest...)
}

// appendRow appends the row as it was given, in memory of its own if dst is nil.
func (e cacheEntry) appendRow(dst []byte, boots causal.Boots) []byte {
	if !e.has(entryBrief) {
		return append(dst, e.rest...)
	}
	dst = slices.Grow(dst, rowHead+len(e.rest)+causal.BriefSaves)
	head := len(dst)
	if !e.has(entryActor) {
		dst, _ = causal.ExpandBrief(appendRowHead(dst, causal.Actor{}), e.rest, boots)
		return dst
	}
	dst, actor := causal.ExpandBrief(dst[:head+rowHead], e.rest, boots)
	appendRowHead(dst[:head], actor)
	return dst
}
