package replica

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// model is what a store should hold, the dumb way.
type model struct {
	rows, hints map[string]causal.State
	dots        *dotLog
}

func newModel(dots *dotLog) *model {
	return &model{rows: make(map[string]causal.State), hints: make(map[string]causal.State), dots: dots}
}

func (m *model) clone() *model {
	c := newModel(m.dots)
	for k, v := range m.rows {
		c.rows[k] = v
	}
	for k, v := range m.hints {
		c.hints[k] = v
	}
	return c
}

func (m *model) apply(t *testing.T, el *request.Write) {
	if el.Err != nil {
		t.Fatal(el.Err)
	}
	m.dots.add(t, el)
	name := string(el.Key.Name)
	if el.For.IsZero() {
		m.rows[name] = causal.Sync(m.rows[name], el.Delta)
	} else {
		m.hints[name] = causal.Sync(m.hints[name], el.Delta)
	}
}

func (m *model) check(t *testing.T, s *Store) {
	t.Helper()
	var want Counts
	for i := range modelKeys {
		name := fmt.Sprint("k", i)
		if got, want := read(t, s, name), causal.Sync(m.rows[name], m.hints[name]); !got.Equal(want) {
			t.Fatalf("%s holds %v, want %v", name, values(got), values(want))
		}
		if row := m.rows[name]; !row.IsZero() {
			want.Rows++
			want.Keys += int64(min(len(row.Siblings), 1))
			want.Siblings += int64(min(max(len(row.Siblings)-1, 0), 1))
		}
	}
	if !s.Counted() {
		return
	}
	if got := s.Total(); got.Keys != want.Keys || got.Rows != want.Rows || got.Siblings != want.Siblings {
		t.Fatalf("counts %+v, want %+v", got, want)
	}
	wantTrees(t, s)
}

const modelKeys = 6

// randomWrite overwrites, adds a sibling, deletes, covers part of what was read, or brings a peer's or an old delta.
func randomWrite(t *testing.T, rng *rand.Rand, s, peer *Store, deltas *[]*request.Write) *request.Write {
	name := fmt.Sprint("k", rng.IntN(modelKeys))
	value := fmt.Sprint("v", rng.Uint64())
	var el *request.Write
	switch rng.IntN(7) {
	case 0:
		el = blind(s, name, value)
	case 1:
		el = &request.Write{Key: keyOf(name), Mint: &put{}}
	case 2:
		seen := read(t, peer, name).Seen
		el = &request.Write{Key: keyOf(name), Mint: &put{seen: &seen, versions: []causal.Version{version(s, value)}}}
	case 3:
		theirs := blind(peer, name, value)
		write(t, peer, theirs)
		el = &request.Write{Key: keyOf(name), Delta: theirs.Delta}
	case 4:
		if len(*deltas) > 0 {
			old := (*deltas)[rng.IntN(len(*deltas))]
			return &request.Write{Key: old.Key, Delta: old.Delta}
		}
		fallthrough
	default:
		el = setter(s, name, value)
	}
	if rng.IntN(5) == 0 {
		el.For = ring.NodeID{1}
	}
	return el
}

// survivor returns the model that the store holds after a power cut: one of those since the last Durable, the oldest first.
func survivor(t *testing.T, s *Store, since []*model) *model {
	t.Helper()
	for _, m := range since {
		if m.matches(t, s) {
			return m.clone()
		}
	}
	return since[0].clone() // check says what differs
}

func (m *model) matches(t *testing.T, s *Store) bool {
	t.Helper()
	for i := range modelKeys {
		name := fmt.Sprint("k", i)
		if !read(t, s, name).Equal(causal.Sync(m.rows[name], m.hints[name])) {
			return false
		}
	}
	return true
}

// TestModel compares random batches with the model, over clean restarts, resumed boots and power cuts.
func TestModel(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, seed) })
	}
}

func runModel(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	fs := vfs.NewCrashableMem()
	cfg := memConfig(fs)
	s, peer := openStore(t, cfg), openMem(t)
	m := newModel(&dotLog{values: make(map[causal.Dot]string)})
	safe := []*model{m.clone()} // what was there at the last Durable, and after each batch since
	var deltas []*request.Write
	for range 150 {
		switch rng.IntN(30) {
		case 0:
			s = reopen(t, s)
			safe = []*model{m.clone()}
		case 1:
			if s = reopen(t, s); s.ResumeBoot() != nil {
				t.Fatal("a clean boot was not resumed")
			}
			safe = []*model{m.clone()}
		case 2: // the unsynced rest is gone: all since the last Durable, but for what the store has synced on its own by the clock
			fs = fs.CrashClone(vfs.CrashCloneCfg{})
			cfg.FS = fs
			s = openStore(t, cfg)
			m = survivor(t, s, safe)
			safe = []*model{m.clone()}
		case 3:
			if err := s.Durable(t.Context()); err != nil {
				t.Fatal(err)
			}
			safe = []*model{m.clone()}
		default:
			els := make([]*request.Write, 1+rng.IntN(4))
			for i := range els {
				els[i] = randomWrite(t, rng, s, peer, &deltas)
			}
			write(t, s, els...)
			for _, el := range els {
				m.apply(t, el)
			}
			deltas, safe = append(deltas, els...), append(safe, m.clone())
			write(t, peer, &request.Write{Key: els[0].Key, Delta: els[0].Delta})
		}
		m.check(t, s)
		if t.Failed() {
			return
		}
	}
}
