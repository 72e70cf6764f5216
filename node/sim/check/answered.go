package check

import "github.com/holdfastdb/holdfast/request"

// answered: every operation is answered by its deadline.
func answered(h *History, _ *index, report func(string, ...any)) {
	for _, op := range h.Ops {
		if op.Outcome == Unanswered {
			report("operation %d on %s was not answered", op.ID, op.Key)
		} else if op.End > op.Deadline {
			report("operation %d on %s was answered %d ms late", op.ID, op.Key, (op.End-op.Deadline)/1e6)
		}
	}
}

// truthful: what was refused is never stored, what is not idempotent is stored once at most, success means that
// enough nodes hold it, and nothing is executed after its time.
func truthful(h *History, _ *index, report func(string, ...any)) {
	stored := make(map[int]int)
	for _, m := range h.Mints {
		for _, id := range m.Ops {
			stored[id]++
			op := h.op(id)
			if op.Outcome == Refused {
				report("operation %d on %s was answered %q, and was written", id, op.Key, op.Err)
			}
			if op.Verb == request.Modify && stored[id] == 2 {
				report("operation %d on %s is not idempotent, and was written twice", id, op.Key)
			}
			if until := max(op.Deadline, op.Until); m.At > until {
				report("operation %d on %s was executed %d ms after its deadline", id, op.Key, (m.At-until)/1e6)
			}
		}
	}
	for _, op := range h.Ops {
		if op.Outcome == Done && op.Holders < op.Need {
			report("operation %d on %s was acknowledged while %d of %d nodes held it", op.ID, op.Key, op.Holders, op.Need)
		}
	}
}

// available: while nothing is wrong, everything succeeds.
func available(h *History, _ *index, report func(string, ...any)) {
	for _, op := range h.Ops {
		if op.Calm && op.Outcome != Done {
			report("operation %d on %s was answered %q though every node was in reach", op.ID, op.Key, op.Err)
		}
	}
}
