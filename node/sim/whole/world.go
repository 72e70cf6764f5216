package whole

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node/nettest"
	"github.com/holdfastdb/holdfast/node/nodetest"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/ring"
)

// world is one run.
type world struct {
	script     *Script
	cluster    *nodetest.Cluster
	machines   []*machine
	rec        *recorder
	rng        *rand.Rand // of what is left to chance while faults happen
	skewed     []bool     // machines whose clock is beyond the drift bound at some time
	injected   map[string]int
	quiet      []check.Replica // by hints alone
	final      []check.Replica
	finalRoots []check.Root
	left       int           // hints at the end
	orders     []func() bool // what was asked and not granted yet
	mu         sync.Mutex
	faults     []string // what no checker looks at
}

// Result is what became of a run.
type Result struct {
	Script     *Script
	Violations []string
	Injected   map[string]int // faults that happened, by kind
	Operations int
	Virtual    time.Duration
	history    *check.History
	asked      []*asked
	logs       []string
}

// Play runs a script in a bubble of its own and checks what happened.
func Play(t *testing.T, s *Script) (result *Result) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, s)
		began := time.Now()
		w.run()
		result = w.result(time.Since(began))
	})
	return result
}

func newWorld(t *testing.T, s *Script) *world {
	w := &world{script: s, cluster: nodetest.New(t, s.Nodes, configure(s)), rng: rand.New(rand.NewPCG(s.Seed, 3)),
		skewed: make([]bool, s.machines()), injected: map[string]int{}}
	w.cluster.Net = nettest.New(s.Seed)
	w.newcomers()
	for i, m := range w.cluster.Machines {
		w.machines = append(w.machines, &machine{Machine: m, index: i, w: w})
		w.machines[i].absent.Store(i >= s.Nodes)
	}
	for _, f := range s.Faults {
		if f.beyondDrift() {
			w.skewed[f.Nodes[0]-1] = true
		}
	}
	return w
}

func (f Fault) beyondDrift() bool {
	return f.Kind == Clock && time.Duration(max(f.Amount, -f.Amount))*time.Millisecond > driftMax
}

// skewMax is how many milliseconds two clocks may be apart that are not beyond the drift bound.
func (w *world) skewMax() int64 {
	if w.script.has(Clock) {
		return 2 * driftMax.Milliseconds()
	}
	return 0
}

// wrong notes a violation that no checker looks for.
func (w *world) wrong(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// run starts the cluster, lets clients and faults at it, and mends everything.
func (w *world) run() {
	defer w.close()
	w.rec = newRecorder(w.holders)
	for _, m := range w.machines {
		m.start()
	}
	if !w.await(readyMax, "the cluster forms", w.ready) {
		return
	}
	w.rec.began = time.Now()
	w.slowAll()
	var asking sync.WaitGroup
	until := time.Now().Add(w.script.Lasts)
	for id := range clients {
		asking.Go(func() { w.client(id).run(until) })
	}
	w.inject()
	asking.Wait()
	w.settle()
}

func (w *world) close() {
	w.cluster.Net.HealAll()
	for _, m := range w.machines {
		m.stop()
	}
	w.cluster.Close()
}

// await waits for something that must come about; that it does not is a violation.
func (w *world) await(limit time.Duration, what string, ok func() bool) bool {
	for until := time.Now().Add(limit); !ok(); time.Sleep(pollEvery) {
		if time.Now().After(until) {
			w.wrong("not within %v: %s", limit, what)
			return false
		}
	}
	return true
}

// ready reports whether every machine serves, and sees every other's node.
func (w *world) ready() bool {
	for _, m := range w.present() {
		if m.down() || !m.Node.Ready() {
			return false
		}
	}
	return !slices.ContainsFunc(w.present(), func(m *machine) bool { return !w.sees(m) })
}

func (w *world) sees(m *machine) bool {
	alive := map[string]bool{}
	for _, n := range m.Ring().Nodes {
		alive[n.ID] = n.Alive
	}
	return !slices.ContainsFunc(w.present(), func(o *machine) bool { return !alive[o.Node.ID().String()] })
}

// lose notes that a machine's disk lost something.
func (w *world) lose(m *machine) {
	var others []map[string]causal.State
	for _, o := range w.machines {
		if o != m {
			others = append(others, o.holds())
		}
	}
	w.rec.lose(others)
}

// holders counts the machines that hold a write, or may.
func (w *world) holders(key string, delta causal.State) (n int) {
	for _, m := range w.machines {
		if m.mayHold(key, delta) {
			n++
		}
	}
	return n
}

// hints counts the hints for nodes that live.
func (w *world) hints() (left int) {
	alive := map[ring.NodeID]bool{}
	for _, m := range w.present() {
		alive[m.Node.ID()] = true
	}
	for _, m := range w.present() {
		for id, n := range m.Node.Hints() {
			if alive[id] {
				left += n
			}
		}
	}
	return left
}

// result checks what happened.
func (w *world) result(virtual time.Duration) *Result {
	r := &Result{Script: w.script, Injected: w.injected, Operations: len(w.rec.mu.asked), Virtual: virtual, Violations: w.faults, asked: w.rec.mu.asked}
	r.history = w.finish()
	for _, a := range r.asked {
		if a.odd() {
			r.Violations = append(r.Violations, fmt.Sprintf("operation %d, %s, was answered %q", a.ID, a.text, a.Err))
		}
	}
	r.Violations = append(r.Violations, w.rec.vanished(r.history, w.skewMax())...)
	for _, v := range check.All(r.history) {
		r.Violations = append(r.Violations, v.String())
	}
	for _, m := range w.machines {
		r.logs = append(r.logs, m.Log.String())
	}
	return r
}
