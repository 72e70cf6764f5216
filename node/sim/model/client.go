package model

import (
	"fmt"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/request"
)

// client remembers the contexts that it was given.
type client struct{ shown, put map[string][]token }

// token is a context, and the operations whose values its client was shown with it.
type token struct {
	seen  causal.Context
	knows []int
}

func (w *world) client(id int) *client {
	c := w.clients[id]
	if c == nil {
		c = &client{shown: map[string][]token{}, put: map[string][]token{}}
		w.clients[id] = c
	}
	return c
}

// context picks what a put names as seen: the newest that the client was shown, the oldest, that of its own last put
// (which covers no more than it was shown before, and its own value), or nothing.
func (c *client) context(with, key string) token {
	shown, put := c.shown[key], c.put[key]
	switch {
	case with == "fresh" && len(shown) > 0:
		return shown[len(shown)-1]
	case with == "stale" && len(shown) > 0:
		return shown[0]
	case with == "partial" && len(put) > 0:
		return put[len(put)-1]
	}
	return token{}
}

// grace is how long after its deadline a client still takes an answer.
const grace = 100 * milli

// operate sends one operation of a client to a node, and records it. Nothing is sent to a node that is down.
func (w *world) operate(s Step, calm bool) {
	n := w.nodes[s.Node-1]
	if n.down {
		return
	}
	op := &check.Op{ID: len(w.history.Ops), Node: n.id, Key: s.Key, Begin: w.now, Deadline: w.now + budget + grace, Calm: calm && !n.farewell(), Skewed: abs(n.skew) > driftMax || n.misled}
	w.history.Ops = append(w.history.Ops, op)
	c := w.client(s.Client)
	given := c.context(s.With, s.Key)
	t := w.translate(s, op, given)
	op.Verb, op.Change, op.Knows = t.Verb, t.Change, given.knows
	life, slept := n.life, n.paused
	open := true
	take := func(r request.Result) {
		if !open {
			return
		}
		open = false
		w.record(op, r)
		if r.Err == nil {
			w.remember(c, op, s, given, r)
		}
	}
	n.run(life, func() {
		op.Until = w.now + budget // a paused node begins when it wakes
		n.serving++
		n.do(t, 0, func(r request.Result) {
			if n.life == life {
				n.serving--
			}
			take(r)
		})
	})
	w.add(op.Deadline, func() {
		// The client gives up. A node that was stopped meanwhile cannot answer.
		if open && (slept || n.paused || n.life != life || n.slept > op.Begin) {
			open = false
			op.End, op.Outcome = w.now, check.Maybe
		}
	})
}

func (w *world) translate(s Step, op *check.Op, given token) *task {
	o := &request.Op{Key: request.Key{Name: []byte(s.Key)}, Value: fmt.Appendf(nil, "v%d", op.ID)}
	if s.TTL != 0 {
		o.ExpireAt = w.trueTime().UnixMilli() + int64(s.TTL)
	}
	switch s.Verb {
	case "GET", "GETV":
		o.Verb, o.Value = request.Get, nil
	case "SET":
		o.Verb = request.Put
	case "DEL":
		o.Verb = request.Delete
	case "INCR":
		o.Verb, o.Change, o.Delta = request.Modify, request.ChangeAdd, 1
	case "SETNX":
		o.Verb, o.Change, o.Cond = request.Modify, request.ChangeSet, request.IfAbsent
	case "EXPIRE":
		o.Verb, o.Change = request.Modify, request.ChangeExpire
	case "PUTCTX":
		o.Verb, o.Seen = request.PutSeen, given.seen
	case "DELCTX":
		o.Verb, o.Seen = request.DeleteSeen, given.seen
	default:
		panic("model: unknown operation " + s.Verb)
	}
	return &task{o, s.Key, op.ID}
}

func (w *world) record(op *check.Op, r request.Result) {
	op.End, op.Outcome, op.Wall = w.now, outcome(r.Err), w.trueTime().UnixMilli()
	if wrong(r.Err) {
		op.Outcome, op.Calm = check.Refused, false
	}
	if r.Err != nil {
		op.Err = r.Err.Error()
		return
	}
	if op.Verb == request.Get {
		if x, ok := r.State.Winner(); ok && (x.ExpireAt == 0 || x.ExpireAt > w.nodes[op.Node].wall().UnixMilli()) {
			op.ExpireAt = x.ExpireAt
		}
		return
	}
	if _, unmet := w.unmet[op.ID]; unmet {
		return
	}
	if n, ok := w.holders(op.ID); ok {
		op.Holders, op.Need = n, min(quorumSize, len(w.document().Layout.Owners[w.partition(op.Key)]))
	}
}

// remember keeps the context that an answer gave.
func (w *world) remember(c *client, op *check.Op, s Step, given token, r request.Result) {
	switch s.Verb {
	case "GETV":
		w.saw()
		var knows []int
		for _, x := range r.State.Siblings {
			if m := w.minted[mintedDot{op.Key, x.Dot}]; m != nil {
				knows = append(knows, m.Ops...)
			}
		}
		c.shown[op.Key] = append(c.shown[op.Key], token{r.State.Context(w.nodes[op.Node].settled), knows})
	case "PUTCTX":
		c.put[op.Key] = append(c.put[op.Key], token{r.Seen, append(append([]int(nil), given.knows...), op.ID)})
	}
}
