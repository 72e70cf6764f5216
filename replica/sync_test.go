package replica

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// dotLog remembers what every dot was minted for, over crashes and over directories of one origin.
type dotLog struct {
	sync.Mutex
	values map[causal.Dot]string
}

func (l *dotLog) add(t *testing.T, el *request.Write) {
	l.Lock()
	defer l.Unlock()
	for _, x := range el.Delta.Siblings {
		if old, ok := l.values[x.Dot]; ok && old != string(x.Value) {
			t.Errorf("dot %v was minted for %q and for %q", x.Dot, old, x.Value)
		}
		l.values[x.Dot] = string(x.Value)
	}
}

// A write that waits for the disk already is not given up: its caller owes the other nodes what was minted.
func TestContextThatEndsOverTheFsyncDoesNotEndTheWrite(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var armed atomic.Bool
	cfg := memConfig(errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if armed.Load() && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			cancel()
		}
		return nil
	})))
	cfg.Sync = SyncAlways
	s := openStore(t, cfg)
	armed.Store(true)
	el := setter(s, "k", "v")
	if err := s.Write(ctx, []*request.Write{el}); err != nil || !el.Wrote || el.Delta.IsZero() || ctx.Err() == nil {
		t.Fatalf("%v; wrote %v, minted %v; the context: %v", err, el.Wrote, el.Delta, ctx.Err())
	}
}

// Whoever copied a backup into place may have synced its files and not the directory that they are in.
func TestDirectoryThatWasCopiedSurvivesAPowerCut(t *testing.T) {
	fs, to := vfs.NewMem(), vfs.NewCrashableMem()
	first := openStore(t, memConfig(fs))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := vfs.Clone(fs, to, "node", "node", vfs.CloneSync); err != nil {
		t.Fatal(err)
	}
	cfg := memConfig(to)
	cfg.Sync = SyncAlways
	s := openStore(t, cfg)
	write(t, s, setter(s, "k", "v"))
	after := openStore(t, memConfig(to.CrashClone(vfs.CrashCloneCfg{})))
	if after.Node() != first.Node() {
		t.Fatal("the directory is gone, and with it all that was acknowledged")
	}
	wantValues(t, read(t, after, "k"), "v")
}

// A power cut at any point leaves a directory that opens; at SyncAlways with everything that was acknowledged; and no
// dot is minted twice by what was there before and after.
func TestPowerCutAtRandomPoints(t *testing.T) {
	for _, level := range []SyncLevel{SyncOS, SyncAlways, SyncNone} {
		t.Run(level.String(), func(t *testing.T) {
			for seed := range uint64(6) {
				powerCuts(t, level, seed)
			}
		})
	}
}

func powerCuts(t *testing.T, level SyncLevel, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, uint64(level)))
	dots := &dotLog{values: make(map[causal.Dot]string)}
	fs := vfs.NewCrashableMem()
	for range 5 {
		cfg := memConfig(fs)
		cfg.Sync = level
		s, err := Open(cfg)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		acked, cut := writeUntilCut(t, s, dots, fs, rng)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		fs = cut
		if level != SyncAlways {
			continue
		}
		cfg.FS = cut.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
		after := openStore(t, cfg)
		for name, seen := range acked {
			if !read(t, after, name).Seen.Covers(seen) {
				t.Fatalf("seed %d: an acknowledged write of %s is lost", seed, name)
			}
		}
	}
}

// writeUntilCut writes from several goroutines, cuts the power at a random point, and returns what had been acknowledged
// before and the disk as the cut left it. It makes the log rotate.
func writeUntilCut(t *testing.T, s *Store, dots *dotLog, fs *vfs.MemFS, rng *rand.Rand) (map[string]causal.Context, *vfs.MemFS) {
	var mu sync.Mutex
	acked := make(map[string]causal.Context)
	var stop atomic.Bool
	var writes atomic.Int64
	var wg sync.WaitGroup
	pad := strings.Repeat("x", 20000)
	for n := range 3 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				name := fmt.Sprint("k", i%7)
				el := blind(s, name, fmt.Sprint(n, i, s.Boot().Bits, pad))
				if i%2 == 0 {
					el = setter(s, name, fmt.Sprint(n, i, s.Boot().Bits))
				}
				if err := writeError(s, el); err != nil {
					t.Error(err)
					return
				}
				dots.add(t, el)
				mu.Lock()
				acked[name] = acked[name].Join(el.Delta.Seen)
				mu.Unlock()
				writes.Add(1)
			}
		})
	}
	for until := int64(rng.IntN(120)); writes.Load() < until && !t.Failed(); {
		time.Sleep(50 * time.Microsecond) // lets the writers run; the point of the cut is meant to be arbitrary
	}
	mu.Lock()
	before := make(map[string]causal.Context, len(acked))
	for name, seen := range acked {
		before[name] = seen
	}
	mu.Unlock()
	cut := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
	stop.Store(true)
	wg.Wait()
	return before, cut
}

// The log at SyncOS claims no fsync that did not happen: a page that is lost in the middle must not look like damage.
func TestHoleInTheUnsyncedLogOpens(t *testing.T) {
	for seed := range uint64(20) {
		fs := vfs.NewCrashableMem()
		s := openStore(t, memConfig(fs))
		for i := range 60 {
			write(t, s, setter(s, fmt.Sprint("k", i), strings.Repeat("x", 3000)))
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		cut := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
		openStore(t, memConfig(cut))
	}
}

func TestDurableAtEveryLevel(t *testing.T) {
	for _, level := range []SyncLevel{SyncOS, SyncAlways, SyncNone} {
		fs := vfs.NewCrashableMem()
		cfg := memConfig(fs)
		cfg.Sync = level
		s := openStore(t, cfg)
		write(t, s, setter(s, "k", "v"))
		cfg.FS = fs.CrashClone(vfs.CrashCloneCfg{})
		if kept := !read(t, openStore(t, cfg), "k").IsZero(); kept != (level == SyncAlways) {
			t.Errorf("%v: written before the power cut: kept %v", level, kept)
		}
		if err := s.Durable(t.Context()); err != nil {
			t.Fatal(err)
		}
		cfg.FS = fs.CrashClone(vfs.CrashCloneCfg{})
		wantValues(t, read(t, openStore(t, cfg), "k"), "v")
	}
}

func TestUnsyncedLogIsSyncedEachSecond(t *testing.T) {
	for _, level := range []SyncLevel{SyncOS, SyncNone} {
		fs := vfs.NewCrashableMem()
		cfg := memConfig(fs)
		cfg.Sync = level
		inBubble(t, cfg, func(t *testing.T, s *Store) {
			write(t, s, setter(s, "k", "v"))
			settle(2 * syncEvery)
		})
		// What Close syncs must not hide it.
		fs = vfs.NewCrashableMem()
		cfg.FS = fs
		var cut *vfs.MemFS
		inBubble(t, cfg, func(t *testing.T, s *Store) {
			write(t, s, setter(s, "k", "v"))
			settle(2 * syncEvery)
			cut = fs.CrashClone(vfs.CrashCloneCfg{})
		})
		cfg.FS = cut
		wantValues(t, read(t, openStore(t, cfg), "k"), "v")
	}
}

func TestRotatedLogIsSynced(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openStore(t, memConfig(fs))
	write(t, s, setter(s, "k", "v"))
	if err := s.db.Flush(); err != nil { // begins a new log
		t.Fatal(err)
	}
	cut := fs.CrashClone(vfs.CrashCloneCfg{})
	wantValues(t, read(t, openStore(t, memConfig(cut)), "k"), "v")
}

// A log that cannot be written or synced takes the store out of service, loudly and for ever.
func TestFailedLogEndsService(t *testing.T) {
	errDisk := errors.New("disk on fire")
	ops := map[string]func(op errorfs.Op) bool{
		"write": func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileWrite },
		"sync":  func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData },
	}
	for name, match := range ops {
		for _, level := range []SyncLevel{SyncOS, SyncAlways} {
			t.Run(name+"/"+level.String(), func(t *testing.T) {
				var broken atomic.Bool
				inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
					if broken.Load() && strings.HasSuffix(op.Path, ".log") && match(op) {
						return errDisk
					}
					return nil
				})
				failLog(t, level, errorfs.Wrap(vfs.NewMem(), inject), &broken, name == "sync")
			})
		}
	}
}

func failLog(t *testing.T, level SyncLevel, fs vfs.FS, broken *atomic.Bool, onSync bool) {
	var fatal atomic.Int32
	cfg := memConfig(fs)
	cfg.Sync = level
	cfg.Fatal = func(error) { fatal.Add(1) }
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, setter(s, "k", "v"))
	broken.Store(true)
	el := setter(s, "k", "w")
	err = writeError(s, el)
	if lazy := onSync && level == SyncOS; lazy {
		if err != nil {
			t.Fatalf("write before the sync: %v", err)
		}
		err = s.Durable(t.Context())
	}
	if !errors.Is(err, request.ErrInternal) {
		t.Fatalf("not acknowledged, but told %v", err)
	}
	if fatal.Load() != 1 || !s.Stats().Failed {
		t.Fatalf("fatal was called %d times", fatal.Load())
	}
	if err := writeError(s, setter(s, "k", "x")); !errors.Is(err, request.ErrClosed) {
		t.Fatalf("afterwards: %v", err)
	}
	broken.Store(false)
	_ = s.Close() // what it says of a broken log does not matter; that it returns does
	after := openStore(t, cfg)
	if _, clean := after.PreviousBoot(); clean {
		t.Fatal("a failed log was marked clean")
	}
}

// TestKilledProcess writes in a child process that kills itself by SIGKILL, and counts what it had acknowledged.
func TestKilledProcess(t *testing.T) {
	for _, level := range []SyncLevel{SyncOS, SyncAlways} {
		t.Run(level.String(), func(t *testing.T) {
			dir := t.TempDir()
			child := exec.Command(os.Args[0], "-test.run=^TestKilledChild$", "-test.v")
			child.Env = append(os.Environ(), "REPLICA_TEST_KILL="+dir, "REPLICA_TEST_SYNC="+level.String())
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			acked := 0
			for lines := bufio.NewScanner(out); lines.Scan(); {
				if text, ok := strings.CutPrefix(lines.Text(), "acked "); ok {
					if acked, err = strconv.Atoi(text); err != nil {
						t.Fatal(err)
					}
				}
				if acked == 100 {
					_ = child.Process.Kill()
				}
			}
			_ = child.Wait()
			s := openStore(t, Config{Dir: dir, Partitions: testPartitions, MemoryBytes: MemoryBytesMin, Sync: level})
			if _, clean := s.PreviousBoot(); clean || acked < 100 {
				t.Fatalf("clean %v after %d", clean, acked)
			}
			for i := range acked {
				wantValues(t, read(t, s, fmt.Sprint("k", i)), "v")
			}
		})
	}
}

// TestKilledChild is the process that TestKilledProcess kills.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv("REPLICA_TEST_KILL")
	if dir == "" {
		t.Skip("runs as a child")
	}
	level, err := ParseSyncLevel(os.Getenv("REPLICA_TEST_SYNC"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(Config{Dir: dir, Partitions: testPartitions, Sync: level})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100000 {
		el := setter(s, fmt.Sprint("k", i), "v")
		if err := s.Write(context.Background(), []*request.Write{el}); err != nil || el.Err != nil {
			t.Fatal(err, el.Err)
		}
		fmt.Printf("acked %d\n", i+1)
	}
}
