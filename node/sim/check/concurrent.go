package check

import (
	"slices"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// concurrent: an acknowledged value is only ever overwritten by a write that had seen it: a put with a context whose
// client was shown it, or a plain write whose coordinator held it or read it.
func concurrent(h *History, ix *index, report func(string, ...any)) {
	for _, r := range h.Final {
		for _, m := range ix.byKey[r.Key] {
			if m.Lost || !h.done(m) {
				continue
			}
			for _, x := range m.Delta.Siblings {
				if ix.byDot[dotOf{m.Key, x.Dot}] == m && !has(r.State, x.Dot) && !h.mayExpire(x) && !ix.lawful(h, m, x) {
					report("%s: %q of operations %v is gone from node %d, and no write had seen it", m.Key, x.Value, m.Ops, r.Node)
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
		return shares(by, m) || !by.Retry && (has(by.Base, x.Dot) || bears(by.Base, x.Stamp))
	}
	return has(by.Base, x.Dot) || bears(by.Base, x.Stamp)
}
