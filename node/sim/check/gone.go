package check

import (
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// goneIsGone: what an acknowledged write overwrote or deleted is nowhere at the end, and no twin of it either.
func goneIsGone(h *History, ix *index, report func(string, ...any)) {
	for _, r := range h.Final {
		for _, x := range r.State.Siblings {
			from := ix.byDot[dotOf{r.Key, x.Dot}]
			if from == nil {
				report("%s: node %d holds %q under %v, which nobody minted", r.Key, r.Node, x.Value, x.Dot)
				continue
			}
			for _, twin := range ix.twins(h, from) {
				if by := ix.overwriter(h, twin, ix.stampOf(twin, from, x)); by != nil {
					report("%s: %q of operations %v was overwritten by operations %v, and is back on node %d", r.Key, x.Value, from.Ops, by.Ops, r.Node)
				}
			}
		}
	}
}

// twins returns the writes of one operation: itself, and those of its retries.
func (ix *index) twins(h *History, m *Mint) []*Mint {
	if v := h.op(m.Ops[0]).Verb; v != request.Put && v != request.PutSeen {
		return []*Mint{m}
	}
	var all []*Mint
	for _, other := range ix.byKey[m.Key] {
		if shares(m, other) {
			all = append(all, other)
		}
	}
	return all
}

// stampOf returns the stamp of the twin's own value. It is that of x, unless somebody gave a retry another.
func (ix *index) stampOf(twin, from *Mint, x causal.Sibling) causal.Stamp {
	if twin != from {
		for _, y := range twin.Delta.Siblings {
			if ix.byDot[dotOf{twin.Key, y.Dot}] == twin {
				return y.Stamp
			}
		}
	}
	return x.Stamp
}

// overwriter returns an acknowledged write, not of the same operation, that overwrote m's value of that stamp, and was kept.
func (ix *index) overwriter(h *History, m *Mint, t causal.Stamp) *Mint {
	for _, by := range ix.byKey[m.Key] {
		if by.Lost || shares(by, m) || !h.done(by) {
			continue
		}
		for _, x := range m.Delta.Siblings {
			if x.Stamp == t && ix.mustReplace(h, by, x) && !bears(by.Delta, t) {
				return by
			}
		}
	}
	return nil
}
