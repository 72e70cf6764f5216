package history

import "slices"

// Counter is what became of a key's increments.
type Counter struct {
	Answers []int64 // of those acknowledged
	Unsure  int64   // perhaps executed
}

// Add joins what another client did and saw.
func (c *Counter) Add(o Counter) {
	c.Answers, c.Unsure = append(c.Answers, o.Answers...), c.Unsure+o.Unsure
}

// Forks returns how many increments answered what another had answered: they were carried out by two nodes that did not
// agree who coordinates the key, and stand beside each other.
func (c *Counter) Forks() int {
	sorted := slices.Sorted(slices.Values(c.Answers))
	return len(sorted) - len(slices.Compact(sorted))
}

// Check compares the counter's value at the end with its increments. It is never more than the acknowledged and the unsure
// ones, and, unless the counter forked, never less than the acknowledged. Its clients see a fork only where both sides were acknowledged:
// forked says that the nodes know of one.
func (c *Counter) Check(key string, value int64, forked bool) (violations []Violation) {
	acked := int64(len(c.Answers))
	if value > acked+c.Unsure || value < acked && c.Forks() == 0 && !forked {
		violations = append(violations, violation(Miscounted, "%s is %d, want %d to %d", key, value, acked, acked+c.Unsure))
	}
	return violations
}
