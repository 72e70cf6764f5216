package check

import (
	"bytes"

	"github.com/holdfastdb/holdfast/causal"
)

// dots: no dot is minted twice with different values, or expiries.
func dots(h *History, _ *index, report func(string, ...any)) {
	seen := make(map[dotOf]causal.Sibling)
	for _, m := range h.Mints {
		for _, x := range m.Delta.Siblings {
			at := dotOf{m.Key, x.Dot}
			old, known := seen[at]
			if known && (!bytes.Equal(old.Value, x.Value) || old.ExpireAt != x.ExpireAt || old.Stamp != x.Stamp) {
				report("%s: %v was minted for %q and for %q", m.Key, x.Dot, old.Value, x.Value)
			}
			seen[at] = x
		}
	}
}
