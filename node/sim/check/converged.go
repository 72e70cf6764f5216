package check

// converged: at the end all primaries of a key hold the same, and no hint is left.
func converged(h *History, _ *index, report func(string, ...any)) {
	same(h.Final, "at the end", report)
	if h.Hints > 0 {
		report("%d hints are left for nodes that live", h.Hints)
	}
}

// hinted: when no coordinator crashed, what is hinted suffices: every primary that missed a write is owed it.
func hinted(h *History, _ *index, report func(string, ...any)) {
	same(h.Quiet, "by hints alone", report)
}

func same(all []Replica, when string, report func(string, ...any)) {
	first := make(map[string]Replica)
	for _, r := range all {
		f, known := first[r.Key]
		switch {
		case !known:
			first[r.Key] = r
		case len(f.State.Siblings)+len(r.State.Siblings) == 0: // a tombstone is absence
		case !f.State.Covers(r.State) || !r.State.Covers(f.State) || f.State.Digest() != r.State.Digest():
			report("%s: nodes %d and %d differ %s: %v and %v", r.Key, f.Node, r.Node, when, values(f), values(r))
		}
	}
}

func values(r Replica) []string {
	out := []string{}
	for _, x := range r.State.Siblings {
		out = append(out, string(x.Value))
	}
	return out
}
