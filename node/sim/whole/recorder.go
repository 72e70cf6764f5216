package whole

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/coordinator"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/request"
)

// recorder writes down what clients and nodes did. Which operation a node speaks of is told by its stamp, which the node
// draws when the client's bytes arrive; a client asks no two of a kind for one key of one node at a time, so that the
// answer tells the stamp of its own.
type recorder struct {
	began   time.Time
	holders func(key string, delta causal.State) int // at most, now

	mu struct {
		sync.Mutex
		asked   []*asked
		waiting map[kind]*asked
		stamps  map[causal.Stamp]*asked
		mints   []*minted
		written map[causal.Stamp][]*minted
	}
}

// kind tells the operations apart that may be under way at once.
type kind struct {
	node, life int
	key        string
	verb       request.Verb
	change     request.Change
}

// asked is one operation of a client.
type asked struct {
	check.Op
	kind   kind
	client int
	text   string // the command
	reply  string
	given  token
	state  causal.State // of a read
	acks   int          // primaries that hold the write
	ended  int64        // Unix milliseconds
}

// token is a context, and what its client was shown with it.
type token struct {
	text string
	dots []causal.Dot
	puts []*asked
}

// minted is a write, with the stamps of the operations that it is of.
type minted struct {
	check.Mint
	stamps []causal.Stamp
}

func newRecorder(holders func(string, causal.State) int) *recorder {
	r := &recorder{began: time.Now(), holders: holders}
	r.mu.written = map[causal.Stamp][]*minted{}
	r.mu.waiting, r.mu.stamps = map[kind]*asked{}, map[causal.Stamp]*asked{}
	return r
}

func (r *recorder) now() check.Moment { return check.Moment(time.Since(r.began)) }

// ask notes that a client is about to send an operation, unless one of its kind is under way.
func (r *recorder) ask(a *asked) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := a.kind
	if r.mu.waiting[k] != nil {
		return false
	}
	r.mu.waiting[k] = a
	a.ID, a.Node, a.Key, a.Verb, a.Change = len(r.mu.asked), k.node, k.key, k.verb, k.change
	a.Begin = r.now()
	a.Deadline = a.Begin + check.Moment(budget+grace)
	r.mu.asked = append(r.mu.asked, a)
	return true
}

// forget stops waiting for what was answered without being asked of the coordinator.
func (r *recorder) forget(a *asked) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.Outcome != check.Unanswered && r.mu.waiting[a.kind] == a && a.reply != lost {
		delete(r.mu.waiting, a.kind)
	}
}

// keys returns every key that was asked for, in order.
func (r *recorder) keys() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := make(map[string]bool)
	for _, a := range r.mu.asked {
		known[a.Key] = true
	}
	return slices.Sorted(maps.Keys(known))
}

// eyes is the witness of one life of a node.
type eyes struct {
	*recorder
	node, life int
}

// Answered implements node.Witness.
func (e eyes) Answered(ops []*request.Op) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, op := range ops {
		k := kind{e.node, e.life, string(op.Key.Name), op.Verb, op.Change}
		a := e.mu.waiting[k]
		if a == nil {
			continue
		}
		delete(e.mu.waiting, k)
		a.state, a.acks = op.Result.State, op.Result.Acks
		if !op.Stamp.IsZero() {
			e.mu.stamps[op.Stamp] = a
		}
		if m := e.mu.written[op.Stamp]; op.Result.Err == nil && len(m) == 1 && !m[0].Dented {
			a.Holders, a.Need = e.holders(a.Key, m[0].Delta), quorum
		}
	}
}

// Minted implements node.Witness. What was perhaps stored may be seen, and need not be.
func (e eyes) Minted(key request.Key, m coordinator.Minted, delta causal.State, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := &minted{Mint: check.Mint{Key: string(key.Name), Node: e.node, At: e.now(), Retry: m.Retry, Base: m.Base, Delta: delta, Dented: err != nil, Lost: err != nil}}
	for _, op := range m.Ops {
		w.stamps = append(w.stamps, op.Stamp)
		e.mu.written[op.Stamp] = append(e.mu.written[op.Stamp], w)
	}
	e.mu.mints = append(e.mu.mints, w)
}

// lose notes that a disk lost something: which writes are now on none of the others.
func (r *recorder) lose(others []map[string]causal.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.mu.mints {
		m.Dented = true
		kept := slices.ContainsFunc(others, func(held map[string]causal.State) bool { return check.Holds(held[m.Key], m.Delta) })
		m.Lost = m.Lost || !kept
	}
}

// history is what the checkers read. The recorder must not be used while it is.
func (r *recorder) history(reads bool) *check.History {
	h := &check.History{Drift: driftMax.Milliseconds()}
	for _, a := range r.mu.asked {
		h.Ops = append(h.Ops, &a.Op)
		if reads && a.Verb == request.Get && a.Outcome == check.Done {
			h.Reads = append(h.Reads, &check.Read{Key: a.Key, Node: a.Node, Begin: a.Begin, End: a.End, Primaries: true, State: a.state})
		}
	}
	for _, m := range r.mu.mints {
		h.Mints = append(h.Mints, r.resolve(h, m))
	}
	r.acknowledge(h)
	r.modify(h)
	r.know(h)
	return h
}

// resolve finds the operations of a write. Nobody knows those whose node was killed before it could say their stamps.
func (r *recorder) resolve(h *check.History, m *minted) *check.Mint {
	m.Ops = nil
	for _, s := range m.stamps {
		a := r.mu.stamps[s]
		if a == nil {
			a = &asked{Op: check.Op{ID: len(h.Ops), Key: m.Key, Verb: request.Delete, Outcome: check.Maybe, Begin: m.At, End: m.At, Deadline: m.At}}
			r.mu.stamps[s], h.Ops = a, append(h.Ops, &a.Op)
		}
		m.Ops = append(m.Ops, a.ID)
	}
	return &m.Mint
}

// acknowledge notes when W primaries were known to hold a write: when it was answered, if it was written once.
func (r *recorder) acknowledge(h *check.History) {
	written := make(map[int][]*check.Mint)
	for _, m := range h.Mints {
		for _, id := range m.Ops {
			written[id] = append(written[id], m)
		}
	}
	for _, a := range r.mu.asked {
		if m := written[a.ID]; len(m) == 1 && a.Outcome == check.Done && a.acks >= quorum && (m[0].QuorumAt == 0 || a.End < m[0].QuorumAt) {
			m[0].QuorumAt = a.End
		}
	}
}

// modify adds what the coordinators of read-modify-writes had read, which takes R primaries.
func (r *recorder) modify(h *check.History) {
	for _, m := range h.Mints {
		if slices.ContainsFunc(m.Ops, func(id int) bool { return h.Ops[id].Verb != request.Modify }) {
			continue // a DEL may read fallbacks
		}
		read := &check.Read{Key: m.Key, Node: m.Node, Begin: m.At, End: m.At, Primaries: true, Modify: true, State: m.Base}
		for _, id := range m.Ops {
			read.Begin = min(read.Begin, h.Ops[id].Begin)
		}
		h.Reads = append(h.Reads, read)
	}
}

// know finds the operations whose values each context showed.
func (r *recorder) know(h *check.History) {
	type place struct {
		key string
		dot causal.Dot
	}
	by := make(map[place]*check.Mint)
	for _, m := range h.Mints {
		for _, x := range m.Delta.Siblings {
			by[place{m.Key, x.Dot}] = m
		}
	}
	for _, a := range r.mu.asked {
		a.Knows = nil
		for _, d := range a.given.dots {
			if m := by[place{a.Key, d}]; m != nil {
				a.Knows = append(a.Knows, m.Ops...)
			}
		}
		for _, p := range a.given.puts {
			a.Knows = append(a.Knows, p.ID)
		}
	}
}
