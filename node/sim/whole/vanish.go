package whole

import (
	"fmt"
	"slices"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/request"
)

// vanished returns the values that a read knew of and did not show, though no write replaced them and their time had not
// come: whoever removes what expired must wait until it has.
func (r *recorder) vanished(h *check.History, skew int64) (found []string) {
	live := make(map[string][]causal.Sibling) // by key, what nothing ever replaced
	for _, m := range h.Mints {
		for _, x := range m.Delta.Siblings {
			if !replaced(h, m.Key, x) {
				live[m.Key] = append(live[m.Key], x)
			}
		}
	}
	for _, a := range r.mu.asked {
		if a.Verb != request.Get || a.Outcome != check.Done {
			continue
		}
		for _, x := range live[a.Key] {
			early := x.ExpireAt == 0 || !h.Lawless && x.ExpireAt > a.ended+skew
			if early && a.state.Seen.Has(x.Dot) && !holds(a.state, x.Dot) {
				found = append(found, fmt.Sprintf("%s: %q, which nothing replaced, is gone from what operation %d read", a.Key, x.Value, a.ID))
			}
		}
	}
	return found
}

// replaced reports whether some write replaced the sibling.
func replaced(h *check.History, key string, x causal.Sibling) bool {
	return slices.ContainsFunc(h.Mints, func(m *check.Mint) bool {
		return m.Key == key && (m.Delta.Seen.Has(x.Dot) && !holds(m.Delta, x.Dot) || m.Delta.Seen.HasStamp(x.Stamp))
	})
}

func holds(s causal.State, d causal.Dot) bool {
	return slices.ContainsFunc(s.Siblings, func(x causal.Sibling) bool { return x.Dot == d })
}
