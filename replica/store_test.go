package replica

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

const testPartitions = 8

func memConfig(fs vfs.FS) Config {
	return Config{Dir: "node", FS: fs, Partitions: testPartitions, MemoryBytes: MemoryBytesMin}
}

func openStore(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openMem(t testing.TB) *Store { return openStore(t, memConfig(vfs.NewMem())) }

func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openStore(t, s.cfg)
}

func keyOf(name string) request.Key {
	return request.Key{Name: []byte(name), Partition: ring.PartitionOf(ring.Slot([]byte(name)), testPartitions)}
}

// put is a Minter: it overwrites seen, or all that is there, by the versions.
type put struct {
	seen     *causal.Context // nil: what the replica holds
	versions []causal.Version
	calls    int
}

func (p *put) Mint(cur causal.State, actor func() causal.Actor) (causal.State, bool) {
	p.calls++
	seen := cur.Seen
	if p.seen != nil {
		seen = *p.seen
	}
	var a causal.Actor
	if len(p.versions) > 0 {
		a = actor()
	}
	return cur.Put(seen, a, p.versions, never), true
}

func never(causal.Stamp) bool { return false }

type decline struct{}

func (decline) Mint(causal.State, func() causal.Actor) (causal.State, bool) {
	return causal.State{}, false
}

func version(s *Store, value string) causal.Version {
	return causal.Version{Stamp: causal.Stamp{Time: s.Clock().Now(), Node: s.Boot().Bits}, Value: []byte(value)}
}

// setter returns a write that overwrites the key, as SET does.
func setter(s *Store, name, value string) *request.Write {
	return &request.Write{Key: keyOf(name), Mint: &put{versions: []causal.Version{version(s, value)}}}
}

// blind returns a write that adds a sibling.
func blind(s *Store, name, value string) *request.Write {
	return &request.Write{Key: keyOf(name), Mint: &put{seen: &causal.Context{}, versions: []causal.Version{version(s, value)}}}
}

func write(t testing.TB, s *Store, writes ...*request.Write) {
	t.Helper()
	if err := s.Write(context.Background(), writes); err != nil {
		t.Fatal(err)
	}
	for _, el := range writes {
		if el.Err != nil {
			t.Fatalf("write %q: %v", el.Key.Name, el.Err)
		}
	}
}

func writeError(s *Store, el *request.Write) error {
	if err := s.Write(context.Background(), []*request.Write{el}); err != nil {
		return err
	}
	return el.Err
}

func read(t testing.TB, s *Store, name string) causal.State {
	t.Helper()
	r := &request.Read{Key: keyOf(name)}
	s.Read([]*request.Read{r})
	if r.Err != nil {
		t.Fatalf("read %q: %v", name, r.Err)
	}
	return r.State
}

func values(state causal.State) (out []string) {
	for _, x := range state.Siblings {
		out = append(out, string(x.Value))
	}
	return out
}

func wantValues(t testing.TB, state causal.State, want ...string) {
	t.Helper()
	if got := values(state); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("values %q, want %q", got, want)
	}
}

func TestWriteIsReadBack(t *testing.T) {
	s := openMem(t)
	wantValues(t, read(t, s, "k"))
	write(t, s, setter(s, "k", "one"))
	wantValues(t, read(t, s, "k"), "one")
	write(t, s, setter(s, "k", "two"))
	wantValues(t, read(t, s, "k"), "two")
	s = reopen(t, s)
	wantValues(t, read(t, s, "k"), "two")
}

func TestEmptyKeyIsAKey(t *testing.T) {
	s := openMem(t)
	write(t, s, setter(s, "", "v"))
	wantValues(t, read(t, s, ""), "v")
	entries, next, err := s.Scan(t.Context(), 0, keyOf("").Partition, nil, 10)
	if err != nil || next != nil || len(entries) != 1 {
		t.Fatalf("scan: %v %v %v", entries, next, err)
	}
}

func TestCloseTwiceAndCallsAfterwards(t *testing.T) {
	s := openMem(t)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeError(s, &request.Write{Key: keyOf("k")}); !errors.Is(err, request.ErrClosed) {
		t.Fatalf("write after close: %v", err)
	}
	r := &request.Read{Key: keyOf("k")}
	if s.Read([]*request.Read{r}); !errors.Is(r.Err, request.ErrClosed) {
		t.Fatalf("read after close: %v", r.Err)
	}
	if err := s.Durable(t.Context()); !errors.Is(err, request.ErrClosed) {
		t.Fatalf("durable after close: %v", err)
	}
	_ = s.Stats()
	_ = s.HintStats()
}

func TestDirectoryInUseIsNamed(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Dir: dir, Partitions: testPartitions, MemoryBytes: MemoryBytesMin}
	openStore(t, cfg)
	_, err := Open(cfg)
	if !errors.Is(err, ErrInUse) || !contains(err.Error(), dir) {
		t.Fatalf("second open: %v", err)
	}
}

func contains(s, part string) bool {
	for i := range len(s) - len(part) + 1 {
		if s[i:i+len(part)] == part {
			return true
		}
	}
	return false
}

func TestNewerFormatIsRefusedUntouched(t *testing.T) {
	fs := vfs.NewMem()
	s := openStore(t, memConfig(fs))
	node := s.Node()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	replaceFile(t, fs, "node/format", "holdfast data format 2\n")
	before := fs.String()
	if _, err := Open(memConfig(fs)); !errors.Is(err, ErrNewerFormat) {
		t.Fatalf("open: %v", err)
	}
	if fs.String() != before {
		t.Fatal("the refused directory was touched")
	}
	replaceFile(t, fs, "node/format", "something else\n")
	if _, err := Open(memConfig(fs)); !errors.Is(err, ErrNotData) {
		t.Fatalf("open: %v", err)
	}
	if err := fs.Remove("node/format"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(memConfig(fs)); !errors.Is(err, ErrNotData) {
		t.Fatalf("open without mark: %v", err)
	}
	replaceFile(t, fs, "node/format", "holdfast data format 1\n")
	if s := openStore(t, memConfig(fs)); s.Node() != node {
		t.Fatal("the node's id changed")
	}
}

func replaceFile(t *testing.T, fs vfs.FS, name, text string) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write([]byte(text))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestOtherPartitionsAreRefused(t *testing.T) {
	cfg := memConfig(vfs.NewMem())
	if err := openStore(t, cfg).Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Partitions *= 2
	if _, err := Open(cfg); !errors.Is(err, ErrPartitions) {
		t.Fatalf("open: %v", err)
	}
}

func TestMetaDocumentsAndTheirCaps(t *testing.T) {
	s := openMem(t)
	name := string(make([]byte, MetaNameBytesMax))
	if err := s.PutMeta(name, []byte("doc")); err != nil {
		t.Fatal(err)
	}
	if err := s.PutMeta(name+"x", nil); !errors.Is(err, request.ErrTooBig) {
		t.Fatalf("name one over: %v", err)
	}
	if err := s.PutMeta("", nil); !errors.Is(err, request.ErrTooBig) {
		t.Fatalf("empty name: %v", err)
	}
	if err := s.PutMeta("big", make([]byte, MetaValueBytesMax+1)); !errors.Is(err, request.ErrTooBig) {
		t.Fatalf("value one over: %v", err)
	}
	s = reopen(t, s)
	if b, err := s.GetMeta(name); err != nil || string(b) != "doc" {
		t.Fatalf("get: %q %v", b, err)
	}
	if b, err := s.GetMeta("none"); err != nil || b != nil {
		t.Fatalf("get of none: %q %v", b, err)
	}
}

func TestScanIsBoundedAndResumes(t *testing.T) {
	s := openMem(t)
	want := 0
	for i := range 100 {
		write(t, s, setter(s, fmt.Sprintf("{a}%03d", i), "v"))
		want++
	}
	p := keyOf("{a}").Partition
	got := 0
	for from := []byte(nil); ; {
		entries, next, err := s.Scan(t.Context(), 0, p, from, 7)
		if err != nil || len(entries) > 7 {
			t.Fatalf("scan: %d entries, %v", len(entries), err)
		}
		if got += len(entries); next == nil {
			break
		}
		from = next
	}
	if got != want {
		t.Fatalf("%d of %d rows", got, want)
	}
	visited := 0
	if err := s.ForEach(t.Context(), 0, p, func(Entry) error { visited++; return nil }); err != nil || visited != want {
		t.Fatalf("visited %d, %v", visited, err)
	}
}

func TestUnknownPlaceIsAnError(t *testing.T) {
	s := openMem(t)
	for _, k := range []request.Key{{Space: request.SpacesMax}, {Partition: testPartitions}} {
		if err := writeError(s, &request.Write{Key: k, Mint: decline{}}); !errors.Is(err, request.ErrInternal) {
			t.Fatalf("write: %v", err)
		}
		r := &request.Read{Key: k}
		if s.Read([]*request.Read{r}); !errors.Is(r.Err, request.ErrInternal) {
			t.Fatalf("read: %v", r.Err)
		}
	}
}

func TestDigestsAreCompared(t *testing.T) {
	s := openMem(t)
	ask := func(name string, digest uint64) bool {
		r := &request.Read{Key: keyOf(name), Compare: true, Digest: digest}
		s.Read([]*request.Read{r})
		if r.Err != nil || r.Same != r.State.IsZero() && !read(t, s, name).IsZero() {
			t.Fatalf("same %v with state %v, %v", r.Same, r.State, r.Err)
		}
		return r.Same
	}
	if !ask("none", 0) || ask("none", 1) {
		t.Fatal("absence has digest 0")
	}
	write(t, s, setter(s, "k", "v"))
	digest := read(t, s, "k").Digest()
	if !ask("k", digest) || ask("k", digest+1) {
		t.Fatal("digest of a row")
	}
}

func TestStatsAndLevels(t *testing.T) {
	s := openMem(t)
	write(t, s, setter(s, "k", "v"))
	if st := s.Stats(); st.Total.Keys != 1 || st.MemtableBytes == 0 || st.Failed {
		t.Fatalf("stats %+v", st)
	}
	for _, name := range []string{"os", "always", "none"} {
		if l, err := ParseSyncLevel(name); err != nil || l.String() != name {
			t.Fatalf("level %s: %v %v", name, l, err)
		}
	}
	if _, err := ParseSyncLevel("never"); err == nil {
		t.Fatal("unknown level was parsed")
	}
	if time.Duration(0) == s.cfg.DriftMax {
		t.Fatal("no drift bound")
	}
}
