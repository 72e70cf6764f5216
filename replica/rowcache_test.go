package replica

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

func testCache(t testing.TB, bytesMax int64) *rowCache {
	t.Helper()
	c, err := newRowCache(bytesMax)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.release(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestRowCacheRefusesWhatAReadFoundBeforeAWrite(t *testing.T) {
	c := testCache(t, 1<<20)
	key := []byte("k")
	_, epoch := c.get(nil, 3, key)
	c.put(3, key, []byte("new"))
	c.drop(3, key) // evicted, say
	c.fill(3, key, []byte("old"), epoch)
	if b, _ := c.get(nil, 3, key); b != nil {
		t.Fatalf("%q: what a read found before the write came in after it", b)
	}
	_, epoch = c.get(nil, 3, key)
	c.fill(3, key, []byte("new"), epoch)
	if b, _ := c.get([]byte("a "), 3, key); string(b) != "a new" {
		t.Fatalf("%q, want what the read found", b)
	}
}

func TestRowCacheStaysUnderItsCap(t *testing.T) {
	const limit = 64 * 10_000
	c := testCache(t, limit)
	for i := range 20_000 {
		key := binary.BigEndian.AppendUint64(nil, uint64(i))
		c.put(uint16(i), key, bytes.Repeat([]byte("v"), i%600))
		if i%3 == 0 {
			c.put(uint16(i), key, []byte("shorter"))
		}
		if i%5 == 0 {
			c.drop(uint16(i), key)
		}
	}
	if n, filled := c.bytes(); filled > limit || filled < limit/2 || n < filled || n > filled+filled/4+cacheShards*indexSlotsMin*indexSlotBytes {
		t.Fatalf("%d bytes of rows cached, %d with the indexes; cap %d", filled, n, limit)
	}
	most := c.shards[1].segment - entryBytes([]byte("k"), make([]byte, 500)) + 500
	for _, n := range []int{most + 1, most} {
		c.put(1, []byte("k"), make([]byte, n))
		if b, _ := c.get(nil, 1, []byte("k")); (b != nil) != (n == most) {
			t.Fatalf("a row of %d bytes is cached: %v; the longest has %d", n, b != nil, most)
		}
	}
}

// What is used stays while what was used once goes.
func TestRowCacheSparesWhatIsUsed(t *testing.T) {
	c := testCache(t, cacheShards*10_000)
	hot := []byte("hot")
	c.put(1, hot, []byte("row"))
	cold := 0
	for i := range 1000 {
		_, epoch := c.get(nil, 1, []byte("miss"))
		c.fill(1, fmt.Appendf(nil, "cold%d", i), []byte("row"), epoch)
		if b, _ := c.get(nil, 1, hot); string(b) != "row" {
			t.Fatalf("%q after %d other rows", b, i)
		}
	}
	for i := range 1000 {
		if b, _ := c.get(nil, 1, fmt.Appendf(nil, "cold%d", i)); b != nil {
			cold++
		}
	}
	if cold < 500 || cold == 1000 {
		t.Errorf("%d of 1000 other rows are cached; there is room for most", cold)
	}
}

// The cache is a map that may forget, and never tells anything but what was put last, whatever the order of calls and the
// length of rows; two keys of one tag are two keys.
func TestRowCacheTellsWhatWasPutLast(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	c := testCache(t, cacheShards*4000)
	want := make(map[string]string)
	found := 0
	for i := range 200_000 {
		key := fmt.Appendf(nil, "key%d", rng.IntN(300))
		const lock = 5
		switch rng.IntN(8) {
		case 0:
			c.drop(lock, key)
			delete(want, string(key))
		case 1, 2, 3:
			row := appendRow(nil, randomRow(rng, i))
			c.put(lock, key, row)
			want[string(key)] = string(row)
		default:
			b, epoch := c.get(nil, lock, key)
			if b != nil && string(b) != want[string(key)] {
				t.Fatalf("%s is %x, want %x", key, b, want[string(key)])
			}
			if b != nil {
				found++
			} else if row, ok := want[string(key)]; ok {
				c.fill(lock, key, []byte(row), epoch)
			}
		}
		checkIndex(t, &c.shards[lock], i%1000 == 0)
	}
	if hits, misses := c.lookUps(); found < 10_000 || hits != uint64(found) || misses == 0 {
		t.Errorf("%d reads found their row, %d by the cache's count, %d did not", found, hits, misses)
	}
}

// randomRow returns a row with a brief, mostly.
func randomRow(rng *rand.Rand, i int) row {
	own := causal.Actor{Boot: 1 + rng.Uint64N(3), Seq: rng.Uint64N(1000)}
	v := causal.Version{Stamp: causal.Stamp{Time: causal.Time(i + 1), Node: 1 + rng.Uint64N(3)}, Value: make([]byte, rng.IntN(120))}
	r := row{state: causal.State{}.Put(causal.Context{}, own, []causal.Version{v}, never)}
	switch rng.IntN(8) {
	case 0:
		r.actor = causal.Actor{Boot: 9, Seq: 9}
	case 1:
		v.Stamp.Time++
		r.state = r.state.Put(causal.Context{}, causal.Actor{Boot: 7, Seq: 7}, []causal.Version{v}, never)
	case 2, 3, 4:
		r.actor = own
	}
	return r
}

// checkIndex proves that the index finds every row of the shard, and nothing else.
func checkIndex(t *testing.T, s *cacheShard, now bool) {
	t.Helper()
	if !now {
		return
	}
	live := 0
	for i, filled := range s.filled {
		for at := i * s.segment; at < i*s.segment+filled; {
			e := s.entry(uint32(at))
			if !e.has(entryDead) {
				live++
				if slot := s.find(tagOf(xxhash.Sum64(e.key)), e.key); slot < 0 || s.index.place(slot) != uint32(at) {
					t.Fatalf("%q is at %d, found in slot %d", e.key, at, slot)
				}
			}
			at += len(e.all)
		}
	}
	if live != s.index.rows {
		t.Fatalf("%d rows in memory, %d in the index", live, s.index.rows)
	}
}

func TestRowIndexFindsWhatIsThere(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	var x rowIndex
	defer x.release()
	want := make(map[uint32]uint32) // place to tag
	for range 100_000 {
		place := rng.Uint32N(2000)
		is := func(p uint32) bool { return p == place }
		tag, there := want[place]
		if slot := x.find(tag, is); (slot >= 0) != there {
			t.Fatalf("place %d of tag %d: slot %d, want one: %v", place, tag, slot, there)
		} else if there && rng.IntN(2) == 0 {
			x.remove(slot)
			delete(want, place)
		} else if !there {
			want[place] = rng.Uint32N(64) << 26 // many of one tag
			x.add(want[place], place)
		}
	}
	if x.rows != len(want) {
		t.Errorf("%d rows, want %d", x.rows, len(want))
	}
}

func TestRowCacheKeepsNothingOnceReleased(t *testing.T) {
	c, err := newRowCache(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	c.put(1, []byte("k"), []byte("row"))
	if err := c.release(); err != nil {
		t.Fatal(err)
	}
	c.put(1, []byte("k"), []byte("row"))
	if b, _ := c.get(nil, 1, []byte("k")); b != nil {
		t.Errorf("%q", b)
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
	small := testCache(t, cacheShards*4000)
	small, s.cache = s.cache, small
	defer func() { s.cache = small }()
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

func TestMemtableBytes(t *testing.T) {
	const MiB = 1 << 20
	for memory, want := range map[int64]int64{8 * MiB: MiB / 2, 64 * MiB: 4 * MiB, 128 * MiB: 4 * MiB, 256 * MiB: 8 * MiB, 512 * MiB: 32 * MiB, 1024 * MiB: 64 * MiB, 1 << 40: 64 * MiB} {
		if got := memtableBytes(memory); got != want {
			t.Errorf("%d MiB of %d MiB, want %d", got/MiB, memory/MiB, want/MiB)
		}
	}
}
