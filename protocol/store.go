package protocol

import (
	"context"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// Store is what a front-end needs of the node to answer data commands.
type Store interface {
	Executor
	Clock
	Contexts
	Holders
}

// Executor runs operations.
type Executor interface {
	// Do answers every op of the batch in place and returns when all are answered, at the latest soon after ctx ends or its deadline
	// has passed: ctx need not end by itself then.
	// The ops run concurrently: a batch names a key twice only if all ops on it are Get, all Put, or all Modify, and
	// the last are executed in their order.
	//
	// Keys and values handed over are never written again, so that the callee may keep them after the reply (hints,
	// late replicas). What an answer shares is read-only and valid for ever.
	//
	// After a successful write, Result.Seen contains at least the dots of the write where the coordinator knows them:
	// WAIT asks for them. When it is empty, WAIT answers Result.Acks.
	Do(ctx context.Context, ops []*request.Op)
}

// Clock says when a client's bytes arrived.
type Clock interface {
	// Stamp returns the identity of one operation: it is drawn once per write when its bytes arrive, and never twice
	// the same. It is zero when this node's clock must not stamp; the coordinator then does.
	Stamp() causal.Stamp
	// Now returns the node's wall clock, for relative expiry times, for what has expired, and for durations.
	Now() time.Time
}

// Contexts turns contexts into tokens and back.
type Contexts interface {
	// ReadContext returns the context that a reader of the state is given.
	ReadContext(causal.State) causal.Context
	// EncodeContext returns the token of a context for one key; empty for the empty context.
	EncodeContext(space uint8, key []byte, seen causal.Context) []byte
	// DecodeContext reverses EncodeContext. It refuses damaged, forged and other keys' tokens with causal.ErrBadToken.
	DecodeContext(space uint8, key, token []byte) (causal.Context, error)
}

// Holders counts copies.
type Holders interface {
	// Replicas returns how many replicas of the key hold every dot of seen now, or state that covers it.
	Replicas(ctx context.Context, space uint8, key []byte, seen causal.Context) int
}
