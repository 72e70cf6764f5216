package replica

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

func TestRowCacheRefusesWhatAReadFoundBeforeAWrite(t *testing.T) {
	c := newRowCache(1 << 20)
	key := []byte("k")
	_, epoch := c.get(3, key)
	c.put(3, []byte("knew"), len(key))
	c.drop(3, key) // evicted, say
	c.fill(3, key, []byte("old"), epoch)
	if b, _ := c.get(3, key); b != nil {
		t.Fatalf("%q: what a read found before the write came in after it", b)
	}
	_, epoch = c.get(3, key)
	c.fill(3, key, []byte("new"), epoch)
	if b, _ := c.get(3, key); string(b) != "new" {
		t.Fatalf("%q, want what the read found", b)
	}
}

func TestRowCacheStaysUnderItsCap(t *testing.T) {
	const limit = 64 * 10_000
	c := newRowCache(limit)
	for i := range 20_000 {
		key := binary.BigEndian.AppendUint64(nil, uint64(i))
		c.put(uint16(i), joined(key, bytes.Repeat([]byte("v"), i%700)), len(key))
		if i%3 == 0 {
			c.put(uint16(i), joined(key, []byte("shorter")), len(key))
		}
		if i%5 == 0 {
			c.drop(uint16(i), key)
		}
	}
	if n := c.bytes(); n > limit || n < limit/2 {
		t.Fatalf("%d bytes cached, cap %d", n, limit)
	}
	c.put(1, append([]byte("k"), make([]byte, limit/cacheShards/cachePortion)...), 1)
	if b, _ := c.get(1, []byte("k")); b != nil {
		t.Fatal("a row beyond its portion is cached")
	}
}

// What is used stays while what was used once goes, and two keys of one hash are never taken for each other.
func TestRowCacheSparesWhatIsUsed(t *testing.T) {
	c := newRowCache(cacheShards * 10_000)
	hot := []byte("hot")
	c.put(1, []byte("hotrow"), len(hot))
	for i := range 1000 {
		_, epoch := c.get(1, []byte("miss"))
		c.fill(1, fmt.Appendf(nil, "cold%d", i), []byte("row"), epoch)
		if b, _ := c.get(1, hot); string(b) != "row" {
			t.Fatalf("%q after %d other rows", b, i)
		}
	}
	s := c.shard(1)
	for i := range s.slots {
		s.slots[i].both = append([]byte("other"), s.slots[i].both...) // as if the hash were that of another key
	}
	if b, _ := c.get(1, hot); b != nil {
		t.Fatalf("%q is another key's row", b)
	}
}

// counting mints what the row holds plus one.
type counting struct{}

func (c counting) Mint(cur causal.State, actor func() causal.Actor) (causal.State, bool) {
	n := uint64(0)
	if w, ok := cur.Winner(); ok {
		n = binary.BigEndian.Uint64(w.Value)
	}
	v := causal.Version{Stamp: causal.Stamp{Time: causal.Time(n + 1), Node: 1}, Value: binary.BigEndian.AppendUint64(nil, n+1)}
	return cur.Put(cur.Seen, actor(), []causal.Version{v}, func(causal.Stamp) bool { return true }), true
}

// TestReadsAreNeverOlderThanWhatWasWritten runs readers beside writers on a cache so small that rows come and go: a
// read that began after a write returned must show it.
func TestReadsAreNeverOlderThanWhatWasWritten(t *testing.T) {
	s, err := Open(Config{Dir: "node", FS: vfs.NewMem(), Partitions: testPartitions, MemoryBytes: MemoryBytesMin})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.cache = newRowCache(cacheShards * 2000)
	const keys, writes = 40, 3000
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range writes {
				key := request.Key{Name: fmt.Appendf(nil, "key%d", (i*7+g)%keys)}
				w := &request.Write{Key: key, Mint: counting{}}
				if err := s.Write(context.Background(), []*request.Write{w}); err != nil || w.Err != nil {
					t.Error(err, w.Err)
					return
				}
				wrote, _ := w.Delta.Winner()
				r := &request.Read{Key: key}
				s.Read([]*request.Read{r})
				got, _ := r.State.Winner()
				if r.Err != nil || bytes.Compare(got.Value, wrote.Value) < 0 {
					t.Errorf("read %x after writing %x (%v)", got.Value, wrote.Value, r.Err)
					return
				}
			}
		})
	}
	wg.Wait()
}
