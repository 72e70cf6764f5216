// Package request holds what nodes ask of each other and of themselves, as values: the key, the read and the write of
// one replica, and the operation that a client asked for, each with its answer beside it.
//
// It is the vocabulary between the coordinator, the replica store and the wire between nodes, none of which knows the
// others. Everything here is plain data with a codec; nothing waits, locks or measures time.
//
// A batch is a slice of pointers: whole pipelines travel together, and every element is answered in place. An element
// belongs to one goroutine at a time: to the caller before and after the call, to the callee during it.
package request

import (
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/ring"
)

// Key names a value: a keyspace (Redis's numbered database) and the client's bytes.
type Key struct {
	Space     uint8          // keyspace, 0 to SpacesMax-1
	Name      []byte         // 0 to KeyBytesMax bytes; the empty key is a key
	Partition ring.Partition // derived from Name and the ring's Q by whoever holds the ring; not sent
}

// Role is what the sender takes the receiver to be for a partition. A node that lacks the role refuses unexecuted.
type Role uint8

// The roles of DESIGN.md section 3.
const (
	RolePrimary Role = iota
	RoleFallback
	RoleCoordinator
)

// Read asks one replica for the state of one key.
//
// A replica reads its own copy and, where it holds hints for the key (as a fallback), syncs those in.
type Read struct {
	Key    Key
	Role   Role
	Digest uint64 // the asker's own digest (causal.State.Digest), valid when Compare is set
	// Compare lets the replica answer Same instead of its state when its digest equals Digest: no value travels twice.
	Compare bool

	// The answer.

	Same  bool         // the replica's state has the asker's digest; State is empty
	State causal.State // what the replica holds; values are valid for ever
	Err   error        // nil, or one of this package's sentinels (by errors.Is)
}

// Minter decides, under the key's lock, what a write adds to the state that the replica holds.
type Minter interface {
	// Mint returns the delta to sync into cur, or false to write nothing. It calls actor at most once, and only if it
	// mints a dot. It must not block, and must not keep cur's slices unless it copies them or returns them in the delta.
	Mint(cur causal.State, actor func() causal.Actor) (delta causal.State, ok bool)
}

// Write syncs a delta into one replica's state of one key, or stores it as a hint.
type Write struct {
	Key   Key
	Role  Role
	Delta causal.State // what to sync in; when Mint is set, what was minted (an answer)
	For   ring.NodeID  // not zero: this replica is a fallback, and keeps the delta as a hint for that node

	// These two are for the node's own replica only and never travel.

	Mint Minter        // decides the delta under the key's lock; nil: Delta is given
	Owed []ring.NodeID // nodes known to miss this write: a hint for each is stored in the same batch, a marker, or at a fallback the data

	// Reserve lets the write use the disk's reserve: deletes and handoff go on when the disk is nearly full.
	Reserve bool

	// The answer.

	Wrote    bool         // false: nothing changed (the delta was known already, or Mint declined)
	Survivor causal.State // siblings held afterwards that outstamp every sibling of Delta, with the context that covers them; mostly empty
	Err      error        // nil, or one of this package's sentinels (by errors.Is)
}
