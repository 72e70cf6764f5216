package check

import "github.com/holdfastdb/holdfast/causal"

// quorum: a write that W primaries acknowledged and kept is met by every later read that R primaries answered, and
// every read-modify-write reads R primaries.
func quorum(h *History, ix *index, report func(string, ...any)) {
	for _, r := range h.Reads {
		if !r.Primaries && !r.Modify {
			continue
		}
		for _, m := range ix.byKey[r.Key] {
			if m.QuorumAt == 0 || m.QuorumAt >= r.Begin || m.Dented {
				continue
			}
			if text := ix.missed(h, m, r); text != "" {
				report("%s: a read at node %d %s operations %v, which W primaries had acknowledged before", r.Key, r.Node, text, m.Ops)
			}
		}
	}
}

// mayHaveExpired reports whether the sibling's time had come when the read began. Sweepers wait for the drift to pass, so
// that none is early whose clock is right.
func (h *History) mayHaveExpired(r *Read, x causal.Sibling) bool {
	if r.Wall == 0 {
		return h.mayExpire(x)
	}
	return x.ExpireAt != 0 && (h.Lawless || x.ExpireAt <= r.Wall)
}

// missed says how the read is older than the write; "" if it is not.
func (ix *index) missed(h *History, m *Mint, r *Read) string {
	for _, x := range r.State.Siblings {
		if ix.mustReplace(h, m, x) {
			return "shows a value overwritten by"
		}
	}
	for _, x := range m.Delta.Siblings {
		if has(r.State, x.Dot) || h.mayHaveExpired(r, x) {
			continue
		}
		if r.State.Seen.Has(x.Dot) || r.State.Seen.HasStamp(x.Stamp) {
			if x.ExpireAt != 0 && !ix.replaced(m, x) {
				return "knows to have expired, long before its time, a value of"
			}
			continue
		}
		// A tombstone may answer as absence does: what a delete covered need not be known to the reader.
		if len(r.State.Siblings) == 0 && ix.replaced(m, x) {
			continue
		}
		return "misses"
	}
	return ""
}
