package request

import "github.com/holdfastdb/holdfast/causal"

// Verb is what a client's operation does to one key.
type Verb uint8

// The verbs. Each front-end translates its commands into these; a command over several keys is several operations.
const (
	// Get reads: Result.State holds the synced siblings of R replicas.
	Get Verb = iota
	// Put replaces everything its coordinator holds by Value (Redis SET without options). Idempotent by Stamp.
	Put
	// PutSeen replaces what Seen covers by Value; concurrent siblings stay (PUTCTX). Idempotent by Stamp.
	PutSeen
	// DeleteSeen removes what Seen covers (DELCTX). Result.Int is 1 when no value is left, else 0. Idempotent.
	DeleteSeen
	// Delete removes all that a quorum read shows (DEL). Result.Int is 1 when a live value was there. Idempotent.
	Delete
	// Modify reads R primaries and writes what Change makes of the value that GET shows. Not idempotent.
	Modify
)

// Idempotent reports whether the verb may be run again under the same stamp after a lost reply.
func (v Verb) Idempotent() bool { return v != Modify }

// Writes reports whether the verb may change the key.
func (v Verb) Writes() bool { return v != Get }

// Change is the kind of a Modify.
type Change uint8

// The changes. Cur is the value that GET shows, absent when there is none or it is expired.
const (
	// ChangeSet writes Value if Cond allows; Result.State shows what was there before (SET NX/XX/GET/KEEPTTL, SETNX, GETSET).
	ChangeSet Change = iota
	// ChangeAdd adds Delta to a decimal 64-bit integer, absent counting as 0 (INCR, DECRBY). Result.Int is the sum. Keeps the expiry.
	ChangeAdd
	// ChangeAppend appends Value (APPEND). Result.Int is the new length. Keeps the expiry.
	ChangeAppend
	// ChangeDelete removes the key and shows what was there (GETDEL). Result.Int is 1 if it was there.
	ChangeDelete
	// ChangeExpire sets every sibling's expiry to ExpireAt (0: none, PERSIST) if Cond allows, keeping values and stamps.
	// Result.Int is 1 if it was set; Result.State shows the value before (GETEX).
	ChangeExpire
)

// Cond is a bit set of conditions on a Modify.
type Cond uint16

// The conditions.
const (
	IfAbsent  Cond = 1 << iota // NX of SET: only if there is no value
	IfPresent                  // XX of SET: only if there is one
	KeepTTL                    // keep the expiry of what is replaced; for PutSeen: of the newest sibling covered
	IfNoTTL                    // NX of EXPIRE: only if the value has no expiry
	IfTTL                      // XX of EXPIRE: only if it has one
	IfLater                    // GT of EXPIRE: only if ExpireAt is later (no expiry counts as infinitely late)
	IfEarlier                  // LT of EXPIRE: only if ExpireAt is earlier
)

// Op is one operation of a client on one key, and its result. It is what a node forwards to a key's coordinator.
type Op struct {
	Verb     Verb
	Change   Change // for Modify
	Cond     Cond
	Key      Key
	Value    []byte
	Delta    int64          // for ChangeAdd
	ExpireAt int64          // absolute, Unix milliseconds; 0: none
	Flags    uint32         // Memcached's flags
	Seen     causal.Context // for PutSeen and DeleteSeen
	R, W     uint8          // 0: the keyspace's own
	// Stamp is drawn where the client's bytes arrived, and is kept by every retry. Zero: the coordinator stamps (the
	// asker's clock is beyond the drift bound).
	Stamp causal.Stamp
	// Attempt is 0 the first time. A retry of a Put overwrites nothing: it becomes a sibling of what is there.
	Attempt uint8

	Result Result
}

// Result is the answer to an Op. Which fields are set is said with each verb and change.
type Result struct {
	Err   error // nil, or one of this package's errors; ErrMaybe means perhaps written
	Int   int64
	Wrote bool // a Modify changed the key
	// State is the synced state that a Get read, or, for a Modify that shows the old value, a state of that one sibling.
	State causal.State
	// Seen is the context after a PutSeen: what the given one covered, and the new value.
	Seen causal.Context
	// Acks is how many replicas were known to hold the write when it was answered, hints at fallbacks not counted; while an owner is
	// being exchanged, of the old or the new owners, whichever are fewer.
	Acks int
}
