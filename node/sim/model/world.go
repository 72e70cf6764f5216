package model

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// world is one run: the cluster, its network, its clients, and the record of what happened.
type world struct {
	agenda
	script  *Script
	rng     *rand.Rand
	views   *views
	ids     []ring.NodeID
	nodes   []*node
	links   [][]link
	keys    []string
	parts   map[string]ring.Partition
	clients map[int]*client
	history check.History
	count   Counts
	minted  map[mintedDot]*check.Mint
	unmet   map[int]uint8             // by operation, the last attempt of it that found nothing to do and met nothing of what another had minted
	indexed int                       // mints that are in minted
	changes bool                      // the script changes the ring
	reaps   bool                      // the script has tombstones reaped
	reaping bool                      // they are, from now on
	reaped  map[string]causal.Context // what was forgotten
	crashed bool                      // memory was lost: hints that were due need not be kept
	calm    bool                      // everything is healed
}

type mintedDot struct {
	key string
	dot causal.Dot
}

// Counts counts what a run went through.
type Counts struct {
	Operations int            // of clients
	Faults     map[string]int // by kind; those of messages are "lost", "doubled" and "stale"
	Virtual    time.Duration

	lost, doubled, stale, forwards, retries, folds, repairs, ioErrors int
	steps, pulled, purged, reaped                                     int
}

// Add adds what another run went through.
func (c *Counts) Add(o Counts) {
	c.Operations, c.Virtual = c.Operations+o.Operations, c.Virtual+o.Virtual
	for kind, n := range o.Faults {
		c.Faults[kind] += n
	}
}

const epoch = 1_700_000_000_000 // Unix milliseconds when every run begins

func (w *world) trueTime() time.Time { return time.UnixMilli(epoch).Add(time.Duration(w.now)) }

// draw returns random bits that are not all zero.
func (w *world) draw() uint64 { return w.rng.Uint64() | 1 }

func (w *world) index(id ring.NodeID) int { return int(id[0]) - 1 }

func (w *world) partition(key string) ring.Partition { return w.parts[key] }

func newWorld(s *Script) *world {
	w := &world{script: s, rng: rand.New(rand.NewPCG(s.Seed, 1)), views: newViews(s.Nodes, s.nodes()), clients: map[int]*client{}, minted: map[mintedDot]*check.Mint{}, unmet: map[int]uint8{}}
	w.ids = w.views.ids
	w.count.Faults = map[string]int{}
	w.history.Drift = int64(driftMax / milli)
	w.keys = []string{probeKey}
	for _, step := range s.Steps {
		if step.operation() && !slices.Contains(w.keys, step.Key) {
			w.keys = append(w.keys, step.Key)
		}
	}
	slices.Sort(w.keys)
	w.parts = make(map[string]ring.Partition)
	for _, k := range w.keys {
		w.parts[k] = ring.PartitionOf(ring.Slot([]byte(k)), partitions)
	}
	w.changes, w.reaps, w.reaped = s.changes(), s.reaps(), map[string]causal.Context{}
	w.crashed = w.changes // hints alone need not suffice while owners come and go
	w.links = make([][]link, s.nodes())
	for i := range w.links {
		w.links[i] = make([]link, s.nodes())
		for j := range w.links[i] {
			w.links[i][j].loss = s.Loss
		}
		n := &node{w: w, id: i, store: newStorage(newDisk())}
		n.store.live.doc, n.store.safe.doc = w.views.state, w.views.state
		n.down, n.gone = i >= s.Nodes, i >= s.Nodes // it may join later
		w.nodes = append(w.nodes, n)
	}
	for _, n := range w.nodes[:s.Nodes] {
		n.start()
	}
	return w
}

const probeKey = "probe"

// Run plays the script and returns what happened. It heals everything at the end, lets the hints drain, and reads
// every key at every node from all replicas, so that read repair, the only anti-entropy there is, makes them agree.
func Run(s *Script) (*check.History, Counts) {
	w := newWorld(s)
	end := check.Moment(0)
	for _, step := range s.Steps {
		end = max(end, at(step.At))
		w.add(at(step.At), func() { w.play(step) })
	}
	w.run(end + second)
	w.healAll()
	w.resolve()
	w.run(w.now + 5*second)
	w.probe()
	w.drain()
	w.sweepAll()
	w.history.Quiet = w.quiet()
	if w.reaps {
		w.run(w.now + 3*reapQuiet)
	}
	w.readAll()
	w.run(w.now + 3*second)
	w.readAll() // what the repairs of the first round made stale elsewhere
	w.run(w.now + 3*second)
	w.drain()
	w.sweepAll()
	w.history.Final, w.history.Hints = w.replicas(), w.hints()
	w.history.Wall = w.trueTime().UnixMilli()
	w.count.Operations, w.count.Virtual = len(w.history.Ops), time.Duration(w.now)
	w.count.Faults["lost"], w.count.Faults["doubled"], w.count.Faults["stale"] = w.count.lost, w.count.doubled, w.count.stale
	w.count.Faults["ring step"], w.count.Faults["row moved"], w.count.Faults["purge"] = w.count.steps, w.count.pulled, w.count.purged
	w.count.Faults["row reaped"] = w.count.reaped
	return &w.history, w.count
}

// healAll undoes every fault.
func (w *world) healAll() {
	w.calm = true
	for i := range w.links {
		for j := range w.links[i] {
			l := &w.links[i][j]
			l.slow, l.loss, l.cut = 0, 0, min(l.cut, 1) // what ends a fault later takes nothing off
			w.heal(i, j)
			w.deliver(w.goOn(l))
		}
	}
	for _, n := range w.nodes {
		n.full, n.broken, n.skew = false, false, 0
		if n.paused {
			w.wake(n)
		}
		if n.down && !n.gone {
			n.start()
		}
	}
}

// sweepAll has all nodes sweep at one moment: each does once a second, at moments of its own, and in between they differ in what has
// just expired.
func (w *world) sweepAll() {
	for _, n := range w.nodes {
		if !n.gone {
			n.sweep()
		}
	}
}

// drain waits until no hint is left for a node that lives.
func (w *world) drain() {
	for until := w.now + hopelessMax; w.now < until && (w.hints() > 0 || w.changes && !w.atRest()); {
		w.run(w.now + second)
	}
	w.run(w.now + 2*second)
}

func (w *world) hints() (left int) {
	for _, n := range w.nodes {
		if n.gone {
			continue
		}
		for id := range n.store.live.hints {
			if !w.nodes[id.target].gone {
				left++
			}
		}
		for id := range n.store.live.marks {
			if !w.nodes[id.target].gone {
				left++
			}
		}
	}
	return left
}

// quiet returns what the primaries hold by hints alone, if hints must suffice: nothing was lost from memory or disk.
func (w *world) quiet() []check.Replica {
	if w.crashed {
		return nil
	}
	return w.replicas()
}

func (w *world) replicas() (all []check.Replica) {
	for _, key := range w.keys {
		for _, id := range w.document().Layout.Primaries(w.partition(key)) {
			if n := w.nodes[w.index(id)]; !n.gone {
				all = append(all, check.Replica{Node: n.id, Key: key, State: n.store.live.rows[key].state})
			}
		}
	}
	return all
}

// readAll reads every key at every node, from as many replicas as there are.
func (w *world) readAll() {
	alive := 0
	for _, n := range w.nodes {
		if !n.gone {
			alive++
		}
	}
	for _, n := range w.nodes {
		for _, key := range w.keys {
			if !n.gone {
				n.startRead(key, min(copies, alive), false, true, w.now+budget, func(causal.State, error) {})
			}
		}
	}
}

// probe does one of everything at each node while nothing is wrong: all must succeed.
func (w *world) probe() {
	for _, n := range w.nodes {
		if n.gone {
			continue
		}
		for i, verb := range []string{"SET", "GETV", "PUTCTX", "INCR", "DEL"} {
			w.add(w.now+at(i*100), func() {
				w.operate(Step{Verb: verb, Client: 100 + n.id, Node: n.id + 1, Key: probeKey, With: "fresh"}, true)
			})
		}
		w.run(w.now + second)
	}
	w.run(w.now + budget)
}

// saw indexes the mints recorded since the last call.
func (w *world) saw() {
	for _, m := range w.history.Mints[w.indexed:] {
		for _, x := range m.Delta.Siblings {
			if _, known := w.minted[mintedDot{m.Key, x.Dot}]; !known {
				w.minted[mintedDot{m.Key, x.Dot}] = m
			}
		}
	}
	w.indexed = len(w.history.Mints)
}

// lose replaces a node's disk by what is left of it, and notes which writes it held and holds no more.
func (w *world) lose(n *node, left *disk) {
	before, nodes := n.store.live, len(w.nodes)
	n.store = newStorage(left)
	for _, m := range w.history.Mints {
		if n.gone && m.Dented { // what was kept in hints for it is kept no more
			m.Lost = m.Lost || !w.kept(m)
		}
		if !check.Holds(before.held(m.Key, nodes), m.Delta) || check.Holds(left.held(m.Key, nodes), m.Delta) {
			continue
		}
		m.Dented = true
		m.Lost = m.Lost || !w.kept(m)
	}
}

// kept reports whether some disk holds a write where it can come back from: not only in a hint for a node that is gone,
// which waits until that node is removed or replaced.
func (w *world) kept(m *check.Mint) bool {
	for _, n := range w.nodes {
		s := w.known(m.Key, n.store.live.rows[m.Key].state)
		for _, target := range w.nodes {
			if h := n.store.live.hints[hintID{target.id, m.Key}]; !target.gone {
				s = causal.Sync(s, h.state)
			}
		}
		if check.Holds(s, m.Delta) {
			return true
		}
	}
	return false
}

// holders returns how many nodes hold an operation's write: that of the attempt which most hold, for another may have begun since,
// and the last of each, for a fold comes after what it is for. False when nothing was written, or a disk that held it lost it.
func (w *world) holders(op int) (most int, ok bool) {
	counted := make([]bool, len(w.nodes))
	for _, m := range slices.Backward(w.history.Mints) {
		if !slices.Contains(m.Ops, op) || counted[m.Node] {
			continue
		}
		if m.Dented {
			return 0, false
		}
		counted[m.Node], ok = true, true
		most = max(most, w.holding(m))
	}
	return most, ok
}

func (w *world) holding(m *check.Mint) (count int) {
	for _, n := range w.nodes {
		if check.Holds(w.known(m.Key, n.store.live.held(m.Key, len(w.nodes))), m.Delta) {
			count++
		}
	}
	return count
}

func outcome(err error) check.Outcome {
	switch {
	case err == nil:
		return check.Done
	case lostReply(err):
		return check.Maybe
	}
	return check.Refused
}

// wrong reports whether an error answers the operation itself, whatever the cluster's health.
func wrong(err error) bool { return err == request.ErrNotInteger || err == request.ErrOverflow }
