package check

import (
	"slices"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// concurrent: an acknowledged value is only ever overwritten by a write that had seen it: a put with a context whose
// client was shown it, or a plain write whose coordinator held it or read it while its own client waited. A write that began after
// that client was answered is its next one, or one that it may have caused; a plain write that removes it is not before it but late.
func concurrent(h *History, ix *index, report func(string, ...any)) {
	for _, r := range h.Final {
		for _, m := range ix.byKey[r.Key] {
			if m.Lost || !h.done(m) {
				continue
			}
			for _, x := range m.Delta.Siblings {
				if ix.byDot[dotOf{m.Key, x.Dot}] == m && !has(r.State, x.Dot) && !h.mayExpire(x) && !ix.lawful(h, m, x) {
					report("%s: %q of operations %v is gone from node %d, and no write under way had seen it", m.Key, x.Value, m.Ops, r.Node)
				}
			}
		}
	}
}

// lawful reports whether some write was entitled to replace the sibling of m.
func (ix *index) lawful(h *History, m *Mint, x causal.Sibling) bool {
	for _, by := range ix.byKey[m.Key] {
		if by != m && by.Replaces(x) && ix.entitled(h, by, m, x) {
			return true
		}
	}
	return false
}

// entitled: a new expiry keeps its value's stamp, so that who was shown the value was shown all its rewrites.
func (ix *index) entitled(h *History, by, m *Mint, x causal.Sibling) bool {
	op := h.op(by.Ops[0])
	switch op.Verb {
	case request.PutSeen, request.DeleteSeen:
		return slices.ContainsFunc(ix.byKey[m.Key], func(of *Mint) bool {
			return (of == m || bears(of.Delta, x.Stamp)) && slices.ContainsFunc(of.Ops, func(id int) bool { return id == op.ID || slices.Contains(op.Knows, id) })
		})
	case request.Put:
		return shares(by, m) || !by.Retry && met(by, x) && !ix.late(h, by, m, x)
	}
	return met(by, x) && !ix.late(h, by, m, x)
}

// met reports whether who minted knew the sibling, or its value under another expiry.
func met(by *Mint, x causal.Sibling) bool { return has(by.Base, x.Dot) || bears(by.Base, x.Stamp) }

// late reports whether the sibling of m, and all of the same value, was written by operations that began when those of by were over.
func (ix *index) late(h *History, by, m *Mint, x causal.Sibling) bool {
	over := Moment(0)
	for _, id := range by.Ops {
		over = max(over, h.op(id).over())
	}
	return !slices.ContainsFunc(ix.byKey[m.Key], func(of *Mint) bool {
		return (of == m || bears(of.Delta, x.Stamp)) && slices.ContainsFunc(of.Ops, func(id int) bool { return h.op(id).Begin <= over })
	})
}

// over is when nobody carries the operation out any more: once it is answered, or, where the answer is Maybe, when all
// have given up.
func (op *Op) over() Moment {
	if op.Outcome == Done {
		return op.End
	}
	return max(op.End, op.Deadline, op.Until)
}
