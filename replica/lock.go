package replica

import (
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/holdfastdb/holdfast/request"
)

// keyLocks are the locks of the keys: mutexes that keys share by hash. Held while a key is read, decided and applied to
// the memtable; never over an fsync or a network call. Several are taken in ascending order.
type keyLocks [lockShards]sync.Mutex

func shardOf(k request.Key) uint16 {
	h := xxhash.Sum64(k.Name) + uint64(k.Space)
	return uint16(h % lockShards)
}

// lock takes the shards, which it sorts and rids of duplicates, and returns what to unlock.
func (l *keyLocks) lock(shards []uint16) []uint16 {
	slices.Sort(shards)
	shards = slices.Compact(shards)
	for _, i := range shards {
		l[i].Lock()
	}
	return shards
}

func (l *keyLocks) unlock(shards []uint16) {
	for _, i := range shards {
		l[i].Unlock()
	}
}

// lockAll stops everyone who would take a lock, until unlockAll.
func (l *keyLocks) lockAll() {
	for i := range l {
		l[i].Lock()
	}
}

func (l *keyLocks) unlockAll() {
	for i := range l {
		l[i].Unlock()
	}
}

// barrier returns when everyone who held a lock at the time of the call has released it.
func (l *keyLocks) barrier() {
	for i := range l {
		l[i].Lock()
		//lint:ignore SA2001 waiting for the holder is all that is wanted
		l[i].Unlock()
	}
}
