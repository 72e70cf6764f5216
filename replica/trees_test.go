package replica

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/replica/merkle"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// recomputed is a partition's tree, hashed from decoded rows.
func recomputed(t testing.TB, s *Store, p ring.Partition) *merkle.Tree {
	t.Helper()
	tree := merkle.New(merkle.DepthMax)
	for space := range uint8(request.SpacesMax) {
		err := s.ForEach(t.Context(), space, p, func(e Entry) error {
			tree.Change(merkle.HashKey(space, e.Key), 0, e.State.Digest())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

func wantTrees(t testing.TB, s *Store) {
	t.Helper()
	for p := range ring.Partition(testPartitions) {
		tree, complete := s.Tree(p)
		if !complete {
			t.Fatalf("the tree of partition %d is not complete", p)
		}
		if n := merkle.Compare(tree, recomputed(t, s, p)).Len(); n != 0 {
			t.Fatalf("partition %d: %d leaves differ from the rows", p, n)
		}
	}
}

func openCounted(t testing.TB) *Store {
	s := openMem(t)
	awaitCounted(s)
	return s
}

func awaitCounted(s *Store) {
	for !s.Counted() {
		runtime.Gosched()
	}
}

func TestTreesOutliveACleanRestartWithoutAScan(t *testing.T) {
	s := openCounted(t)
	for i := range 200 {
		el := setter(s, fmt.Sprint("k", i), "v")
		el.Key.Space = uint8(i % 3)
		write(t, s, el)
	}
	var roots []merkle.Root
	for p := range ring.Partition(testPartitions) {
		roots = append(roots, s.Root(p))
	}
	s = reopen(t, s)
	if !s.Counted() {
		t.Fatal("rows are counted anew after a clean shutdown")
	}
	for p, want := range roots {
		if got := s.Root(ring.Partition(p)); got != want || got.Sum == 0 {
			t.Errorf("partition %d: root %+v, was %+v", p, got, want)
		}
	}
	wantTrees(t, s)
}

// A directory whose counts were saved by a version without trees, or whose saved trees are damaged, is read anew.
func TestTreesThatWereNotSavedAreCounted(t *testing.T) {
	for name, spoil := range map[string]func(s *Store) error{
		"no trees":       func(s *Store) error { return s.db.Delete(metaKey(metaTrees), nil) },
		"a damaged tree": func(s *Store) error { return s.db.Set(treeKey(keyOf("k").Partition), []byte{9}, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			s := openCounted(t)
			write(t, s, setter(s, "k", "v"))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			again, err := Open(s.cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := again.markClean(); err != nil {
				t.Fatal(err)
			}
			if err := spoil(again); err != nil {
				t.Fatal(err)
			}
			again.failed.Store(new(error)) // it leaves the mark that is there
			_ = again.Close()
			s = openStore(t, s.cfg)
			awaitCounted(s)
			wantTrees(t, s)
			if c := s.Total(); c.Keys != 1 {
				t.Fatalf("counts %+v", c)
			}
		})
	}
}

// A write while trees are counted up again is neither missed nor counted twice, wherever the count stands.
func TestWritesDuringTheCountAfterACrash(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 7))
		fs := vfs.NewCrashableMem()
		before := openStore(t, memConfig(fs))
		for i := range rng.IntN(400) {
			write(t, before, setter(before, fmt.Sprint("k", rng.IntN(200)), fmt.Sprint(i)))
		}
		if err := before.Durable(t.Context()); err != nil {
			t.Fatal(err)
		}
		cfg := memConfig(fs.CrashClone(vfs.CrashCloneCfg{}))
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		root := s.Root(0) // first: the count may be over at any moment
		if tree, complete := s.Tree(0); !complete && (tree != nil || root != merkle.Root{}) {
			t.Fatal("a tree that is not complete is offered")
		}
		writeAtRandom(t, s, rng)
		awaitCounted(s)
		wantTrees(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// writeAtRandom overwrites, deletes and adds rows from several goroutines.
func writeAtRandom(t *testing.T, s *Store, rng *rand.Rand) {
	var wg sync.WaitGroup
	for range 3 {
		own := rand.New(rand.NewPCG(rng.Uint64(), 1))
		wg.Go(func() {
			for range 100 {
				name := fmt.Sprint("k", own.IntN(300))
				el := setter(s, name, fmt.Sprint(own.Uint64()))
				switch own.IntN(4) {
				case 0:
					el = &request.Write{Key: keyOf(name), Mint: &put{}}
				case 1:
					el = blind(s, name, "sibling")
				}
				if err := writeError(s, el); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestATreeThatIsNotCompleteIsNotOffered(t *testing.T) {
	s := openCounted(t)
	write(t, s, setter(s, "k", "v"))
	p := keyOf("k").Partition
	if root := s.Root(p); root.Depth != merkle.DepthMax || root.Sum == 0 {
		t.Fatalf("root %+v", root)
	}
	s.tally.counted.Store(false)
	if root := s.Root(p); root != (merkle.Root{}) {
		t.Fatalf("root %+v", root)
	}
	if err := s.Rehash(t.Context(), []ring.Partition{p}, nil); err != ErrCounting {
		t.Fatalf("rehash: %v", err)
	}
	s.tally.counted.Store(true)
	if root := s.Root(testPartitions); root != (merkle.Root{}) {
		t.Fatalf("a partition that does not exist: %+v", root)
	}
}

func TestTreesBeyondTheirMemoryAreSmall(t *testing.T) {
	trees := newTrees(testPartitions, 2*merkle.Bytes(merkle.DepthMax))
	for p := range ring.Partition(testPartitions) {
		trees.change(p, merkle.HashKey(0, []byte{byte(p)}), 0, 1)
		want := merkle.DepthMax
		if p >= 2 {
			want = merkle.DepthMin
		}
		if got := trees.all[p].Load().Depth(); got != want {
			t.Errorf("tree %d has depth %d", p, got)
		}
	}
	if want := 2*merkle.Bytes(merkle.DepthMax) + (testPartitions-2)*merkle.Bytes(merkle.DepthMin); trees.mu.bytes != want {
		t.Errorf("%d bytes counted, not %d", trees.mu.bytes, want)
	}
}

func TestUnreadableRowsDoNotStopTheCount(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openStore(t, memConfig(fs))
	write(t, s, setter(s, "good", "v"))
	if err := s.putDurable(appendDataKey(nil, keyOf("bad")), []byte{rowFormat, 0, 0xff}); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, memConfig(fs.CrashClone(vfs.CrashCloneCfg{})))
	awaitCounted(s)
	if c := s.Total(); c.Keys != 1 {
		t.Fatalf("counts %+v", c)
	}
}

// removeBeneath removes rows without the store's knowing, as a damaged disk might.
func removeBeneath(t *testing.T, s *Store, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := s.db.Delete(appendDataKey(nil, keyOf(name)), nil); err != nil {
			t.Fatal(err)
		}
	}
}

func allPartitions() (ps []ring.Partition) {
	for p := range ring.Partition(testPartitions) {
		ps = append(ps, p)
	}
	return ps
}

func rehashed(t *testing.T, s *Store) (leaves, unreadable int) {
	t.Helper()
	var rows int64
	err := s.Rehash(t.Context(), allPartitions(), func(r Rehashed) error {
		leaves, unreadable, rows = leaves+r.Leaves, unreadable+r.Unreadable, rows+r.Rows
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if c := s.Total(); c.Rows != rows {
		t.Fatalf("%d rows counted, %d found", c.Rows, rows)
	}
	return leaves, unreadable
}

func TestRehashFindsWhatIsMissingBeneathTheTree(t *testing.T) {
	s := openCounted(t)
	for i := range 100 {
		write(t, s, setter(s, fmt.Sprint("k", i), "v"))
	}
	if leaves, _ := rehashed(t, s); leaves != 0 {
		t.Fatalf("%d leaves of an intact store", leaves)
	}
	wantValues(t, read(t, s, "k3"), "v")
	removeBeneath(t, s, "k3", "k50", "k99")
	wantValues(t, read(t, s, "k3"), "v") // the cache hides it
	if leaves, _ := rehashed(t, s); leaves != 3 {
		t.Fatalf("%d leaves, 3 rows are gone", leaves)
	}
	wantTrees(t, s)
	if !read(t, s, "k3").IsZero() {
		t.Fatal("the cache still hides that the row is gone")
	}
	write(t, s, setter(s, "k3", "again"))
	wantTrees(t, s)
}

func TestRehashRemovesWhatCannotBeRead(t *testing.T) {
	s := openCounted(t)
	write(t, s, setter(s, "good", "v"), owing(setter(s, "owed", "v"), targetA))
	if err := s.putDurable(appendDataKey(nil, keyOf("bad")), []byte{rowFormat, 0, 0xff}); err != nil {
		t.Fatal(err)
	}
	if err := s.putDurable(appendDataKey(nil, keyOf("owed")), []byte{rowFormat, 0, 0xff}); err != nil {
		t.Fatal(err)
	}
	if leaves, unreadable := rehashed(t, s); leaves != 1 || unreadable != 2 {
		t.Fatalf("%d leaves, %d unreadable", leaves, unreadable)
	}
	wantHints(t, s, 0, 0, 0) // a marker without its row could never be delivered
	write(t, s, setter(s, "bad", "v"))
	wantTrees(t, s)
	if leaves, unreadable := rehashed(t, s); leaves != 0 || unreadable != 0 {
		t.Fatalf("%d leaves, %d unreadable", leaves, unreadable)
	}
}

// Writes while rows are hashed afresh are neither missed nor counted twice, also those of rows that are gone.
func TestRehashUnderWrites(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 9))
		s := openCounted(t)
		for i := range 300 {
			write(t, s, setter(s, fmt.Sprint("k", i), "v"))
		}
		for i := range 50 {
			removeBeneath(t, s, fmt.Sprint("k", i))
		}
		var wg sync.WaitGroup
		wg.Go(func() { writeAtRandom(t, s, rng) })
		err := s.Rehash(t.Context(), allPartitions(), func(Rehashed) error { return nil })
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if leaves, _ := rehashed(t, s); leaves != 0 {
			t.Fatalf("seed %d: %d leaves are wrong after a rehash", seed, leaves)
		}
		wantTrees(t, s)
	}
}

func TestADotWithOtherBytesIsReportedNotMerged(t *testing.T) {
	here, there := openMem(t), openMem(t)
	el := setter(here, "k", "value")
	write(t, here, el)
	damaged := el.Delta
	damaged.Siblings = []causal.Sibling{damaged.Siblings[0]}
	damaged.Siblings[0].Value = []byte("valuf")
	write(t, there, &request.Write{Key: el.Key, Delta: damaged})
	rows := []*request.Write{{Key: el.Key, Delta: read(t, there, "k")}, {Key: keyOf("other"), Delta: written(t, there, "other")}}
	got, err := here.AcceptRows(t.Context(), rows, apart)
	if err != nil || got.Conflicts != 1 || got.Changed != 1 || got.Refused != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	wantValues(t, read(t, here, "k"), "value")
	if n := here.Stats().DotConflicts; n != 1 {
		t.Fatalf("%d conflicts counted", n)
	}
}

// written writes a key and returns its state.
func written(t *testing.T, s *Store, name string) causal.State {
	write(t, s, blind(s, name, "v"))
	return read(t, s, name)
}
