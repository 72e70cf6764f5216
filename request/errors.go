package request

import (
	"errors"
	"fmt"
)

// What can become of a request. Each has one home here, crosses the wire as a code, and is matched by errors.Is.
var (
	// ErrNoQuorum: fewer replicas than needed are in reach. Found before minting; nothing was written.
	ErrNoQuorum = errors.New("not enough replicas in reach")
	// ErrMaybe: the write reached some replicas, not enough; it is perhaps written and may turn up later.
	ErrMaybe = errors.New("perhaps written")
	// ErrOverloaded: refused unexecuted because a queue is full. Try again.
	ErrOverloaded = errors.New("overloaded")
	// ErrTooBig: a cap on a value or on a key's siblings; checked before minting.
	ErrTooBig = errors.New("too big")
	// ErrTooManySiblings is the ErrTooBig of a key that holds SiblingsMax concurrent values.
	ErrTooManySiblings = fmt.Errorf("%w: too many concurrent values", ErrTooBig)
	// ErrNotInteger: ChangeAdd on a value that is not a decimal 64-bit integer.
	ErrNotInteger = errors.New("value is not an integer or out of range")
	// ErrOverflow: ChangeAdd beyond 64 bits.
	ErrOverflow = errors.New("increment or decrement would overflow")
	// ErrDiskLow: the replica's disk is nearly full; refused unexecuted.
	ErrDiskLow = errors.New("disk nearly full")
	// ErrHintsFull: the fallback's hint store is full; refused unexecuted.
	ErrHintsFull = errors.New("hint store full")
	// ErrNotOwner: the receiver lacks the role that it was asked in; refused unexecuted.
	ErrNotOwner = errors.New("not an owner of the partition")
	// ErrStaleLayout: the request names a layout older than the roles of its partition; refused unexecuted. The asker takes the
	// newer layout and asks again.
	ErrStaleLayout = errors.New("outdated layout")
	// ErrExpired: the deadline passed before the work began; it was dropped unexecuted.
	ErrExpired = errors.New("deadline passed before execution")
	// ErrUnreachable: the request never left this node; it was certainly not executed.
	ErrUnreachable = errors.New("node unreachable")
	// ErrLost: the connection broke or the deadline passed after the request left; perhaps executed.
	ErrLost = errors.New("reply lost")
	// ErrCorrupt: stored bytes fail their checksum or do not decode.
	ErrCorrupt = errors.New("stored state is damaged")
	// ErrClosed: the node is shutting down; refused unexecuted.
	ErrClosed = errors.New("node is shutting down")
	// ErrInternal: the receiver failed in a way that has no code of its own; perhaps executed.
	ErrInternal = errors.New("internal error")
)

// QuorumError says how far an operation got. Cause is ErrNoQuorum or ErrMaybe.
type QuorumError struct {
	Op         string // "get", "put", ...
	Need, Have int    // replicas needed; replicas in reach (ErrNoQuorum) or that answered (ErrMaybe)
	Cause      error
}

// Error implements error.
func (e *QuorumError) Error() string {
	return fmt.Sprintf("%s: %v: need %d, have %d", e.Op, e.Cause, e.Need, e.Have)
}

// Unwrap returns the cause.
func (e *QuorumError) Unwrap() error { return e.Cause }

// NotExecuted reports whether err says for certain that nothing was done, so that the request may be sent elsewhere.
func NotExecuted(err error) bool {
	for _, e := range []error{ErrUnreachable, ErrNotOwner, ErrStaleLayout, ErrExpired, ErrOverloaded, ErrDiskLow, ErrHintsFull, ErrClosed, ErrNoQuorum} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
