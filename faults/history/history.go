// Package history is what the clients of a cluster did to its keys and saw of them, and what must hold of that, whatever
// happened to the cluster meanwhile. It knows nothing of how nodes work inside: a value tells which write it is from, since
// no two writes of a key have the same.
package history

import (
	"fmt"
	"math"
	"time"
)

// Never is the end of a write that was not acknowledged: it may take effect at any time after it began.
const Never = time.Duration(math.MaxInt64)

// Write is one write of a key, by the clients' clock.
type Write struct {
	Value      string // unique in its key; empty: a delete
	Begin, End time.Duration
	Over       []string // of PUTCTX and DELCTX: the values that the context covered
}

// Read is what one read of a key showed: the values of GETV, or the one of GET; none when the key is missing.
type Read struct {
	Values     []string
	Begin, End time.Duration
	By         string // who was asked
}

// Key is what was done to one key, in no order.
type Key struct {
	Writes  []Write
	Reads   []Read
	Refused []Write // what was answered so was not executed: nobody may ever see it
}

// Add joins what another client did and saw.
func (k *Key) Add(o Key) {
	k.Writes, k.Reads, k.Refused = append(k.Writes, o.Writes...), append(k.Reads, o.Reads...), append(k.Refused, o.Refused...)
}

// Kind is what is wrong with a history.
type Kind string

// The kinds.
const (
	Lost       Kind = "lost"       // an acknowledged write is gone
	Back       Kind = "back"       // an overwritten or deleted value is shown
	Invented   Kind = "invented"   // a value is shown that was refused, or that nobody wrote
	Miscounted Kind = "miscounted" // increments are lost or counted twice
)

// Violation is one thing that is wrong.
type Violation struct {
	Kind Kind
	Text string
}

func violation(k Kind, format string, args ...any) Violation {
	return Violation{k, fmt.Sprintf(format, args...)}
}
