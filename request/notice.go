package request

import "github.com/holdfastdb/holdfast/causal"

// Notice is what a node says of the operations that clients brought to it: of those that it stamped between Floor and
// Low, none was or will be retried but those listed. A replica that knows it need not remember the other stamps.
type Notice struct {
	Node    uint64         // the boot bits of the node that stamped
	Floor   causal.Time    // the first stamp that the notice speaks of
	Low     causal.Time    // the stamp from which on operations may still be in flight
	Retried []causal.Stamp // at most NoticeRetriedMax
}
