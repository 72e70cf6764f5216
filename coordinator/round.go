package coordinator

import (
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/request"
)

// Read-modify-writes of one key queue here, on the key's coordinator. One round serves the head of the queue with one
// quorum read and one write: what arrives while a round runs waits for the next, since the running round's read may be
// older than a write that was acknowledged before the newcomer was sent.
//
// Plain writes do not queue: a round mints under the key's lock, over what the coordinator holds at that moment, so a
// SET in between is seen, never lost.

// queues holds the keys that have a round running.
type queues struct {
	mu sync.Mutex
	m  map[string]*queue
}

type queue struct {
	waiting []waiting // for the next round
}

// waiting is one read-modify-write in a queue.
type waiting struct {
	op     *request.Op
	layout uint64 // by which this node is to coordinate it
	term
	report func(request.Result)
}

// turn is what one round does for one key: operations of one kind, in the order of their arrival.
type turn struct {
	id  string
	ops []waiting
}

// rounds collects the turns that one batch may begin at once; the other operations wait behind a running round.
type rounds struct {
	q     *queues
	turns []turn
	at    map[string]int
	full  []waiting
}

func (q *queues) begin() *rounds { return &rounds{q: q} }

func queueID(k request.Key) string { return string(append([]byte{k.Space}, k.Name...)) }

// add puts an operation into a turn of this batch, or behind the round that runs for its key.
func (r *rounds) add(w waiting) {
	id := queueID(w.op.Key)
	if at, ok := r.at[id]; ok && sameKind(r.turns[at].ops[0].op, w.op) {
		r.turns[at].ops = append(r.turns[at].ops, w)
		return
	}
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	if running, ok := r.q.m[id]; ok {
		if len(running.waiting) >= queueMax {
			r.full = append(r.full, w)
			return
		}
		running.waiting = append(running.waiting, w)
		return
	}
	r.q.m[id] = &queue{}
	if r.at == nil {
		r.at = make(map[string]int)
	}
	r.at[id] = len(r.turns)
	r.turns = append(r.turns, turn{id: id, ops: []waiting{w}})
}

// run starts the turns of this batch as one round of several keys, and refuses what found its queue full.
func (r *rounds) run(c *Coordinator) {
	c.Counters.Overloaded.Add(int64(len(r.full)))
	for _, w := range r.full {
		w.report(request.Result{Err: request.ErrOverloaded})
	}
	if len(r.turns) > 0 {
		c.wg.Go(func() { c.runRounds(r.turns) })
	}
}

// runRounds runs rounds until no operation waits for any of its keys.
func (c *Coordinator) runRounds(turns []turn) {
	for len(turns) > 0 {
		c.round(turns)
		turns = c.queues.next(turns)
	}
}

// next takes the next turn of each key, and lets go of the keys that have none.
func (q *queues) next(done []turn) []turn {
	q.mu.Lock()
	defer q.mu.Unlock()
	var turns []turn
	for _, t := range done {
		k := q.m[t.id]
		if len(k.waiting) == 0 {
			delete(q.m, t.id)
			continue
		}
		n := 1
		for n < len(k.waiting) && n < roundOpsMax && sameKind(k.waiting[0].op, k.waiting[n].op) {
			n++
		}
		turns = append(turns, turn{id: t.id, ops: k.waiting[:n:n]})
		k.waiting = k.waiting[n:]
	}
	return turns
}

// sameKind: deletes read a sloppy quorum, the others primaries only, so they do not share a read.
func sameKind(a, b *request.Op) bool { return a.Verb == b.Verb }

// round reads all keys by quorum, writes what their operations make of them, and answers.
func (c *Coordinator) round(turns []turn) {
	began := time.Now()
	reign := c.within() // who coordinates the key after this node must not begin before the round is over
	defer reign.leave()
	turns = dropMoved(reign.view, dropExpired(turns))
	states, errs := c.readAll(reign.view, turns)
	turns = dropExpired(turns) // the node may have been paused over its read
	var intents []intent
	var at []int
	for i, t := range turns {
		switch {
		case len(t.ops) == 0:
		case errs[i] != nil:
			t.answerAll(request.Result{Err: errs[i]})
		default:
			intents, at = append(intents, c.roundIntent(t, states[i])), append(at, i)
		}
	}
	if len(intents) > 0 {
		c.writeAll(turns, intents, at)
	}
	c.observe("modify", began)
}

// dropExpired answers operations whose term was over before they began: they were not executed.
func dropExpired(turns []turn) []turn {
	now := time.Now()
	return drop(turns, request.ErrExpired, func(w *waiting) bool { return !now.Before(w.mint) })
}

// dropMoved refuses operations that waited here over a change of their partition's roles: this node has acknowledged it, and
// whoever has the first place now carries out rounds of its own.
func dropMoved(view *View, turns []turn) []turn {
	return drop(turns, request.ErrStaleLayout, func(w *waiting) bool {
		pl := view.Place(w.op.Key.Partition)
		return w.layout < pl.Since || pl.Handing && w.op.Verb == request.Modify
	})
}

// drop answers the operations that are out with an error, and returns the others.
func drop(turns []turn, err error, out func(*waiting) bool) []turn {
	kept := make([]turn, len(turns))
	for i, t := range turns {
		kept[i].id = t.id
		for _, w := range t.ops {
			if out(&w) {
				w.report(request.Result{Err: err})
				continue
			}
			kept[i].ops = append(kept[i].ops, w)
		}
	}
	return kept
}

func (t turn) answerAll(r request.Result) {
	for _, w := range t.ops {
		w.report(r)
	}
}

func (w waiting) waitsUntil() time.Time { return w.until }
func (w waiting) mintsUntil() time.Time { return w.mint }

// latest returns the last such time of all operations of all turns.
func latest(turns []turn, of func(waiting) time.Time) (last time.Time) {
	for _, t := range turns {
		for _, w := range t.ops {
			if each := of(w); each.After(last) {
				last = each
			}
		}
	}
	return last
}

// readAll reads the keys of all turns and waits for every one, at most until nothing is minted for them any more.
func (c *Coordinator) readAll(view *View, turns []turn) ([]causal.State, []error) {
	states, errs := make([]causal.State, len(turns)), make([]error, len(turns))
	var asks []asking
	var at []int
	for i, t := range turns {
		if len(t.ops) == 0 {
			continue
		}
		op := t.ops[0].op
		asks, at = append(asks, asking{key: op.Key, r: op.R, primariesOnly: op.Verb == request.Modify && !fault.On(fault.ModifyFromFallbacks)}), append(at, i)
	}
	if len(asks) == 0 {
		return states, errs
	}
	var wg sync.WaitGroup
	wg.Add(len(asks))
	r := &reading{}
	r.begin(c, view, len(asks), latest(turns, waiting.mintsUntil), finderFunc(func(g *getting, s causal.State, err error) {
		states[g.at], errs[g.at] = s, err
		wg.Done()
	}))
	for j := range asks {
		r.gets[j].want, r.gets[j].at = asks[j], at[j]
	}
	r.start()
	wg.Wait()
	return states, errs
}

func (c *Coordinator) roundIntent(t turn, read causal.State) intent {
	ops := make([]*request.Op, len(t.ops))
	var w uint8
	for i, each := range t.ops {
		ops[i] = each.op
		w = max(w, each.op.W)
	}
	m := c.minting(ops...)
	m.Over(read)
	m.Until(func(i int) bool { return !time.Now().Before(t.ops[i].mint) })
	return intent{key: ops[0].Key, w: w, m: m}
}

// writeAll writes the turns' intents and waits for every one.
func (c *Coordinator) writeAll(turns []turn, intents []intent, at []int) {
	var wg sync.WaitGroup
	wg.Add(len(intents))
	c.startWrite(intents, latest(turns, waiting.waitsUntil), reportFunc(func(j int, p *putting) {
		answerTurn(turns[at[j]], p.m, &p.written)
		wg.Done()
	}))
	wg.Wait()
}

// answerTurn gives each operation its own result.
func answerTurn(t turn, m *Minting, out *written) {
	for i, w := range t.ops {
		w.report(m.Answer(i, out.delta, out.acks, out.err))
	}
}
