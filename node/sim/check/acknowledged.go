package check

import "github.com/holdfastdb/holdfast/causal"

// acknowledged: every acknowledged write that some disk kept is at the end on every primary, or overwritten.
func acknowledged(h *History, ix *index, report func(string, ...any)) {
	for _, m := range h.Mints {
		if m.Lost || !h.done(m) {
			continue
		}
		for _, x := range m.Delta.Siblings {
			if ix.byDot[dotOf{m.Key, x.Dot}] != m || h.mayExpire(x) {
				continue
			}
			for _, r := range h.Final {
				if r.Key == m.Key && !has(r.State, x.Dot) && !ix.replaced(m, x) {
					report("%s: acknowledged %q of operations %v is not on node %d", m.Key, x.Value, m.Ops, r.Node)
				}
			}
		}
	}
}

// replaced reports whether some other write replaced the sibling of m.
func (ix *index) replaced(m *Mint, x causal.Sibling) bool {
	for _, other := range ix.byKey[m.Key] {
		if other != m && other.Replaces(x) {
			return true
		}
	}
	return false
}

// mayExpire reports whether the sibling's time has come by the end, give or take the drift.
func (h *History) mayExpire(x causal.Sibling) bool {
	return x.ExpireAt != 0 && (h.Lawless || x.ExpireAt <= h.Wall+2*h.Drift)
}
