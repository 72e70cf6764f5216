package resp

import (
	"context"
	"unsafe"

	"github.com/holdfastdb/holdfast/request"
)

// wave is a run of consecutive calls whose operations go to the store as one batch.
//
// The store runs the operations of a batch concurrently, so a wave never holds two on one key whose order matters. A
// call that would bring such a pair cuts the wave: what is there is executed first.
type wave struct {
	calls []*call
	ops   []*request.Op          // to execute; each once, though calls may share them
	last  map[string]*request.Op // the latest op on each key; kept only while a wave has several calls
}

// fits reports whether q's operations may join the wave: whether each key that both name is only read in both, only
// set in both, or only modified in both (the store runs the last in order).
func (v *wave) fits(q *call) bool {
	if len(v.ops) == 0 {
		return true
	}
	v.index()
	for _, op := range q.ops {
		if prev := v.last[nameOf(op)]; prev != nil && !commute(prev, op) {
			return false
		}
	}
	return true
}

// commute reports whether two ops on one key may be in one batch.
func commute(a, b *request.Op) bool {
	if a.Verb != b.Verb || a.Key.Space != b.Key.Space {
		return false
	}
	return a.Verb == request.Modify || mergeable(a, b)
}

// mergeable reports whether one execution may answer both of two ops on one key.
func mergeable(a, b *request.Op) bool {
	same := a.Verb == b.Verb && a.R == b.R && a.W == b.W
	return same && (a.Verb == request.Get || a.Verb == request.Put)
}

// index makes the map of keys, which a wave of one call does without. One wave is of one keyspace: SELECT cuts it.
func (v *wave) index() {
	if len(v.last) > 0 {
		return
	}
	if v.last == nil {
		v.last = make(map[string]*request.Op, len(v.ops))
	}
	for _, op := range v.ops {
		v.last[nameOf(op)] = op
	}
}

// nameOf returns the key's name without a copy: the bytes of arguments are never written again (decoder.next).
func nameOf(op *request.Op) string {
	return unsafe.String(unsafe.SliceData(op.Key.Name), len(op.Key.Name))
}

// add appends a call that fits. An operation that another can answer too is not executed of its own:
//
//   - Identical GETs read once.
//   - Of several SETs of one key only the last is executed, and all share its result. Between them the connection
//     reads nothing, and another connection that sees none of the earlier values has merely not looked in between.
//     What holds of the last's acknowledgement (stored, or surely not, or perhaps) is then true of every one, as it is
//     of values that were stored and overwritten at once.
func (v *wave) add(q *call) {
	v.calls = append(v.calls, q)
	if len(v.calls) == 1 && len(q.ops) == 1 {
		v.ops = append(v.ops, q.ops[0])
		return
	}
	v.index()
	for i, op := range q.ops {
		prev := v.last[nameOf(op)]
		if prev != nil && mergeable(prev, op) {
			if op.Verb == request.Put {
				*prev = *op
			}
			q.ops[i] = prev
			continue
		}
		v.ops = append(v.ops, op)
		v.last[nameOf(op)] = op
	}
}

// reset forgets what was executed.
func (v *wave) reset() {
	clear(v.calls)
	clear(v.ops)
	v.calls, v.ops = v.calls[:0], v.ops[:0]
	if cap(v.ops) > argsKeptMax {
		v.ops = nil
	}
	switch {
	case len(v.last) > argsKeptMax:
		v.last = nil // a map never shrinks
	default:
		clear(v.last)
	}
}

// window bounds what one call of the store may bring back at a time: it halves when answers are large, and doubles
// when they are small, since their size is not known before.
type window int

// adapt learns from a call that brought so many bytes by n operations.
func (w *window) adapt(n, bytes int) {
	switch {
	case bytes > windowBytes:
		*w = max(*w/2, WindowMin)
	case n >= int(*w):
		*w = min(*w*2, WindowMax)
	}
}

// perform executes ops, no more than the window at a time. Once they have brought more than ReplyBytesMax, the rest
// is not executed and fails: only a command that reads very many keys gets there.
func (w *window) perform(ctx context.Context, do func(context.Context, []*request.Op), ops []*request.Op) {
	total := 0
	for len(ops) > 0 {
		n := min(len(ops), int(*w))
		do(ctx, ops[:n])
		bytes := shownBytes(ops[:n])
		w.adapt(n, bytes)
		total, ops = total+bytes, ops[n:]
		if total > ReplyBytesMax {
			fail(ops, errReplyTooBig)
			return
		}
	}
}

func fail(ops []*request.Op, err error) {
	for _, op := range ops {
		op.Result.Err = err
	}
}

// shownBytes counts the values that ops brought back.
func shownBytes(ops []*request.Op) int {
	n := 0
	for _, op := range ops {
		for i := range op.Result.State.Siblings {
			n += len(op.Result.State.Siblings[i].Value)
		}
	}
	return n
}
