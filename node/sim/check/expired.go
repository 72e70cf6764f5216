package check

import "github.com/holdfastdb/holdfast/request"

// expired: nothing that expired is shown, give or take the drift, by a node whose clock is right.
func expired(h *History, _ *index, report func(string, ...any)) {
	for _, op := range h.Ops {
		if op.Verb == request.Get && op.Outcome == Done && !op.Skewed && op.ExpireAt != 0 && op.ExpireAt+h.Drift < op.Wall {
			report("operation %d on %s showed a value %d ms after it expired", op.ID, op.Key, op.Wall-op.ExpireAt)
		}
	}
}
