package check

// confirmed: what lets another node forget something is said when it would survive a power cut.
func confirmed(h *History, _ *index, report func(string, ...any)) {
	for _, c := range h.Confirmations {
		if !c.Durable {
			report("%s: node %d confirmed a hint that a power cut would have taken", c.Key, c.Node)
		}
	}
}
