package node

import (
	"bytes"
	"slices"
	"sync"

	"github.com/holdfastdb/holdfast/ring"
)

// outlook remembers what the newest ring document leaves to be done. To know it may cost a ring.Plan, milliseconds of a processor that
// clients wait for, and every status of every node asks, many times for each document while somebody watches a change.
type outlook struct {
	planner ring.Planner // the node's own steps are made by it, too

	mu struct {
		sync.Mutex
		layout  *ring.Layout // of which
		members []ring.Member
		copies  map[ring.NodeID]int

		document []byte // of which what is waited for is known
		waits    []ring.Wait
	}
}

// remaining is ring.State.Remaining. The map is shared: it is not to be changed. Callers at the same time share one Plan.
func (o *outlook) remaining(s ring.State) map[ring.NodeID]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.Layout != o.mu.layout || !slices.Equal(s.Members, o.mu.members) {
		o.mu.layout, o.mu.members, o.mu.copies = s.Layout, s.Members, o.planner.Remaining(s)
	}
	return o.mu.copies
}

// waits is what ring.Next says is waited for. It is shared, too.
func (o *outlook) waits(s ring.State, self ring.NodeID) []ring.Wait {
	document := s.Encode()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !bytes.Equal(document, o.mu.document) {
		o.mu.document = document
		_, o.mu.waits = o.planner.Next(s, self)
	}
	return o.mu.waits
}
