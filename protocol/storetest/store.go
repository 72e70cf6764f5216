// Package storetest is one honest node in memory, for the tests of front-ends: it keeps causal states, answers every
// verb as the coordinator does when all goes well, and fails on demand.
package storetest

import (
	"context"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// node is the boot number of the only node there is.
const node = 7

// Store implements protocol.Store. The zero value is not ready; use New.
type Store struct {
	// Before, when set, is called with every batch before it is executed, without a lock: to look, wait or panic.
	Before func(ctx context.Context, ops []*request.Op)
	// Refuse, when set, returns the error of an operation that is not to be executed, or nil.
	Refuse func(*request.Op) error
	// Held, when set, answers Replicas.
	Held func(ctx context.Context, key []byte, seen causal.Context) int

	now    func() time.Time
	clock  *causal.Clock
	secret [32]byte

	mu struct {
		sync.Mutex
		keys map[name]causal.State
	}
}

type name struct {
	space uint8
	key   string
}

// New returns an empty store by this clock.
func New(now func() time.Time) *Store {
	s := &Store{now: now, clock: causal.NewClock(now, 0, time.Minute), secret: [32]byte{1}}
	s.mu.keys = map[name]causal.State{}
	return s
}

// settled: the only node executes its own operations at the first attempt.
func settled(causal.Stamp) bool { return true }

// Stamp draws the identity of one operation.
func (s *Store) Stamp() causal.Stamp { return causal.Stamp{Time: s.clock.Now(), Node: node} }

// Now returns the time by the store's clock.
func (s *Store) Now() time.Time { return s.now() }

// ReadContext returns what a reader of the state has seen.
func (s *Store) ReadContext(st causal.State) causal.Context { return st.Context(settled) }

// EncodeContext returns the token of a context.
func (s *Store) EncodeContext(space uint8, key []byte, seen causal.Context) []byte {
	return causal.EncodeToken(&s.secret, space, key, seen)
}

// DecodeContext reverses EncodeContext.
func (s *Store) DecodeContext(space uint8, key, token []byte) (causal.Context, error) {
	return causal.DecodeToken(&s.secret, space, key, token)
}

// Replicas answers 1 when the store holds what seen covers.
func (s *Store) Replicas(ctx context.Context, space uint8, key []byte, seen causal.Context) int {
	if s.Held != nil {
		return s.Held(ctx, key, seen)
	}
	if s.State(space, key).Seen.Covers(seen) {
		return 1
	}
	return 0
}

// State returns what the store holds of a key.
func (s *Store) State(space uint8, key []byte) causal.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.keys[name{space, string(key)}]
}

// Live counts the keys of a keyspace that hold a value.
func (s *Store) Live(space uint8) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := int64(0)
	for k, st := range s.mu.keys {
		if _, ok := s.shown(st); ok && k.space == space {
			n++
		}
	}
	return n
}

// Do executes the operations in their order.
func (s *Store) Do(ctx context.Context, ops []*request.Op) {
	if s.Before != nil {
		s.Before(ctx, ops)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range ops {
		s.doLocked(op)
	}
}

func (s *Store) doLocked(op *request.Op) {
	op.Result = request.Result{Acks: 1}
	if s.Refuse != nil {
		if op.Result.Err = s.Refuse(op); op.Result.Err != nil {
			return
		}
	}
	at := name{op.Key.Space, string(op.Key.Name)}
	if next := s.next(op, s.mu.keys[at]); op.Result.Err == nil {
		s.mu.keys[at] = next
	}
}

// next answers op on the state and returns the state afterwards.
func (s *Store) next(op *request.Op, st causal.State) causal.State {
	cur, live := s.shown(st)
	switch op.Verb {
	case request.Get:
		op.Result.State = st
		return st
	case request.Put:
		return s.write(op, st, st.Seen, s.version(op, op.ExpireAt))
	case request.PutSeen:
		return s.putSeen(op, st)
	case request.DeleteSeen:
		st = s.write(op, st, op.Seen)
		op.Result.Int = one(len(st.Siblings) == 0)
		return st
	case request.Delete:
		op.Result.Int = one(live)
		return s.write(op, st, st.Seen)
	}
	return s.modify(op, st, cur, live)
}

// write replaces what seen covers by the versions.
func (s *Store) write(op *request.Op, st causal.State, seen causal.Context, vs ...causal.Version) causal.State {
	delta := st.Put(seen, causal.Actor{Boot: node, Seq: 1}, vs, settled)
	op.Result.Seen, op.Result.Wrote = delta.Seen, true
	return causal.Sync(st, delta)
}

func (s *Store) version(op *request.Op, expireAt int64) causal.Version {
	return causal.Version{Stamp: op.Stamp, ExpireAt: expireAt, Flags: op.Flags, Value: op.Value}
}

func (s *Store) putSeen(op *request.Op, st causal.State) causal.State {
	if len(st.Siblings) >= request.SiblingsMax {
		op.Result.Err = request.ErrTooManySiblings
		return st
	}
	at := op.ExpireAt
	for i := len(st.Siblings) - 1; i >= 0 && op.Cond&request.KeepTTL != 0; i-- {
		if op.Seen.Has(st.Siblings[i].Dot) {
			at = st.Siblings[i].ExpireAt
		}
	}
	return s.write(op, st, op.Seen, s.version(op, at))
}

// shown returns the value that plain commands see.
func (s *Store) shown(st causal.State) (causal.Sibling, bool) {
	w, ok := st.Winner()
	if !ok || w.ExpireAt != 0 && w.ExpireAt <= s.now().UnixMilli() {
		return causal.Sibling{}, false
	}
	return w, true
}

func (s *Store) modify(op *request.Op, st causal.State, cur causal.Sibling, live bool) causal.State {
	if live {
		op.Result.State = causal.State{Seen: st.Seen, Siblings: []causal.Sibling{cur}}
	}
	switch op.Change {
	case request.ChangeSet:
		if op.Cond&request.IfAbsent != 0 && live || op.Cond&request.IfPresent != 0 && !live {
			return st
		}
		at := op.ExpireAt
		if op.Cond&request.KeepTTL != 0 {
			at = cur.ExpireAt
		}
		return s.write(op, st, st.Seen, s.version(op, at))
	case request.ChangeAdd:
		return s.add(op, st, cur, live)
	case request.ChangeAppend:
		return s.appendTo(op, st, cur)
	case request.ChangeDelete:
		if op.Result.Int = one(live); !live {
			return st
		}
		return s.write(op, st, st.Seen)
	}
	return s.expire(op, st, cur, live)
}

func (s *Store) add(op *request.Op, st causal.State, cur causal.Sibling, live bool) causal.State {
	n := int64(0)
	if live {
		var err error
		if n, err = strconv.ParseInt(string(cur.Value), 10, 64); err != nil || strconv.FormatInt(n, 10) != string(cur.Value) {
			op.Result.Err = request.ErrNotInteger
			return st
		}
	}
	if op.Delta > 0 && n > math.MaxInt64-op.Delta || op.Delta < 0 && n < math.MinInt64-op.Delta {
		op.Result.Err = request.ErrOverflow
		return st
	}
	op.Result.Int = n + op.Delta
	v := s.version(op, cur.ExpireAt)
	v.Value = strconv.AppendInt(nil, n+op.Delta, 10)
	return s.write(op, st, st.Seen, v)
}

func (s *Store) appendTo(op *request.Op, st causal.State, cur causal.Sibling) causal.State {
	v := s.version(op, cur.ExpireAt)
	v.Value = append(append([]byte{}, cur.Value...), op.Value...)
	if len(v.Value) > request.ValueBytesMax {
		op.Result.Err = request.ErrTooBig
		return st
	}
	op.Result.Int = int64(len(v.Value))
	return s.write(op, st, st.Seen, v)
}

// expire rewrites every sibling with another expiry.
func (s *Store) expire(op *request.Op, st causal.State, cur causal.Sibling, live bool) causal.State {
	if !live || !allows(op.Cond, cur.ExpireAt, op.ExpireAt) {
		return st
	}
	vs := make([]causal.Version, len(st.Siblings))
	for i, sib := range st.Siblings {
		vs[i] = sib.Version
		vs[i].ExpireAt = op.ExpireAt
	}
	op.Result.Int = 1
	return s.write(op, st, st.Seen, vs...)
}

// allows decides EXPIRE's conditions. No expiry is infinitely late.
func allows(cond request.Cond, have, want int64) bool {
	switch {
	case cond&request.IfNoTTL != 0 && have != 0,
		cond&request.IfTTL != 0 && have == 0,
		cond&request.IfLater != 0 && (have == 0 || want <= have),
		cond&request.IfEarlier != 0 && have != 0 && want >= have:
		return false
	}
	return true
}

func one(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
