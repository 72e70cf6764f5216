package ring

import "fmt"

// WaitKind is what a change of the ring waits for.
type WaitKind uint8

// The kinds of waits.
const (
	WaitAck   WaitKind = iota // a member to acknowledge the layout
	WaitHold                  // an incoming owner to hold what it takes over
	WaitEmpty                 // a leaving node to hand its hints and last data on
	WaitOwner                 // somebody who may own anything
)

// Wait says what the change of the ring waits for, and by whom it would be ended.
type Wait struct {
	What       WaitKind
	Node       NodeID // zero for WaitOwner
	Name       string // the node's
	Version    uint64 // of the layout to acknowledge
	Partitions int    // to be held
}

// String says it in words, for an operator: "node-4 to acknowledge layout 17".
func (w Wait) String() string {
	name := w.Name
	if name == "" {
		name = w.Node.String()
	}
	switch w.What {
	case WaitAck:
		return fmt.Sprintf("%s to acknowledge layout %d", name, w.Version)
	case WaitHold:
		return fmt.Sprintf("%s to hold %d %s", name, w.Partitions, plural("partition", w.Partitions))
	case WaitEmpty:
		return fmt.Sprintf("%s to hand on what it alone holds", name)
	}
	return "a node that may take partitions over"
}

func plural(noun string, n int) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// waitFor fills in who is waited for.
func (s State) waitFor(id NodeID, w Wait) Wait {
	m, _ := s.Member(id)
	w.Node, w.Name = id, m.Name
	return w
}

// acknowledgements returns the waits for those that have not acknowledged the edition.
func (s State) acknowledgements() (waits []Wait) {
	for _, id := range s.Unacknowledged() {
		waits = append(waits, s.waitFor(id, Wait{What: WaitAck, Version: s.Layout.Version}))
	}
	return waits
}
