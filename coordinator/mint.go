package coordinator

import (
	"slices"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/request"
)

// Minting is the request.Minter of one write: what it adds to the coordinator's copy of the key, decided under the
// key's lock. One Minting serves one Put, PutSeen or DeleteSeen, or a whole round of read-modify-writes of a key. It
// waits for nothing.
//
// What an operation removes is fixed while its client waits: at the moment of minting its term (term.mint) must not be over, and
// no client is answered before the terms of all attempts at its operation that may still be minted (batch.conclude). So a
// late attempt never removes what was written after the answer.
type Minting struct {
	ops     []*request.Op // one, or a round's
	read    causal.State  // what the quorum read of a round showed, or what a survivor holds
	fold    bool          // second write of a Put: remove read
	first   causal.Dot    // of a fold: what the first write minted; zero: it found itself overwritten
	now     int64         // Unix milliseconds
	settled func(causal.Stamp) bool
	late    terms // of the operations; nil: there are none

	results []request.Result  // one for each of ops
	one     [1]request.Result // where results are, of a single operation
	tainted int               // ops[tainted:] saw or made what this round writes: they share its fate
	cur     causal.State      // what the node held when this was decided
}

// NewMinting prepares the write of one Put, PutSeen or DeleteSeen, or of several Modify or Delete of one key. now is
// the wall clock in Unix milliseconds, for expiry; settled is Settlement.Settled.
func NewMinting(ops []*request.Op, now int64, settled func(causal.Stamp) bool) *Minting {
	return &Minting{ops: ops, now: now, settled: settled}
}

// Over gives a round what its quorum read showed.
func (m *Minting) Over(read causal.State) { m.read = read }

// Until has operations whose term is over when the key is locked, as late tells by their index, not executed.
func (m *Minting) Until(late func(i int) bool) { m.late = termFunc(late) }

// terms says whether the term of operation i is over.
type terms interface{ isLate(i int) bool }

// termFunc is terms.
type termFunc func(i int) bool

func (f termFunc) isLate(i int) bool { return f(i) }

func (m *Minting) isLate(i int) bool {
	return m.late != nil && m.late.isLate(i) && !fault.On(fault.MintLate) && !fault.On(fault.RunStaleFrame)
}

// Fold returns the second write of a Put of which the first, delta, met siblings elsewhere that outstamp it: it removes
// those, and nothing that was held beside them.
func (m *Minting) Fold(delta, survivor causal.State, now int64) *Minting {
	again := &Minting{ops: m.ops, fold: true, now: now, settled: m.settled, late: m.late}
	for _, s := range delta.Siblings {
		if s.Stamp == m.ops[0].Stamp {
			again.first = s.Dot
		}
	}
	over := causal.State{Siblings: survivor.Siblings}
	for _, s := range survivor.Siblings {
		over.Seen = over.Seen.Add(s.Dot)
	}
	again.read = over
	return again
}

// Mint implements request.Minter.
func (m *Minting) Mint(cur causal.State, actor func() causal.Actor) (causal.State, bool) {
	m.one = [1]request.Result{}
	if m.results = m.one[:]; len(m.ops) > 1 {
		m.results = make([]request.Result, len(m.ops))
	}
	m.tainted, m.cur = len(m.ops), cur
	op := m.ops[0]
	switch op.Verb {
	case request.Put, request.PutSeen, request.DeleteSeen:
		if m.isLate(0) {
			return m.decline()
		}
	}
	switch op.Verb {
	case request.Put:
		return m.put(op, cur, actor)
	case request.PutSeen:
		return m.putSeen(op, cur, actor)
	case request.DeleteSeen:
		return m.deleteSeen(op, cur)
	}
	return m.round(cur, actor)
}

// decline writes nothing, for it is too late. A fold's first write is written all the same.
func (m *Minting) decline() (causal.State, bool) {
	m.results[0] = request.Result{Err: request.ErrExpired}
	if m.fold {
		m.results[0].Err = maybe("put", 1, 0)
	}
	return causal.State{}, false
}

// Answer returns the result of operation i, once its write's fate is known: err as the write ended, nil when enough nodes
// hold delta. Those that wrote, or saw what was written, share the write's fate; earlier ones of a round do not. acks are
// the primaries that hold it. Seen lets WAIT ask who holds it.
func (m *Minting) Answer(i int, delta causal.State, acks int, err error) request.Result {
	if err != nil && (m.results == nil || i >= m.tainted) {
		return request.Result{Err: err}
	}
	r := m.results[i]
	r.Acks = acks
	if r.Wrote && r.Seen.IsZero() {
		r.Seen = writtenBy(delta)
	}
	return r
}

// Minted is what a Minting went by, for those who record a cluster's history.
type Minted struct {
	Ops   []*request.Op // those that wrote; when only expired values were removed, the last of the round
	Base  causal.State  // what the node held, with what it had read elsewhere
	Retry bool          // of a Put that may overwrite nothing
}

// Minted says what the last Mint went by.
func (m *Minting) Minted() Minted {
	out := Minted{Base: causal.Sync(m.cur, m.read), Retry: m.ops[0].Verb == request.Put && m.ops[0].Attempt > 0 && !m.fold}
	for i, op := range m.ops {
		if i < len(m.results) && m.results[i].Wrote {
			out.Ops = append(out.Ops, op)
		}
	}
	if len(out.Ops) == 0 {
		out.Ops = m.ops[len(m.ops)-1:]
	}
	return out
}

// Frees reports whether the write only removes: it may use the disk's reserve.
func (m *Minting) Frees() bool {
	for _, op := range m.ops {
		if op.Verb != request.Delete && op.Verb != request.DeleteSeen {
			return false
		}
	}
	return true
}

// writtenBy returns the dots that a delta mints, or, of a delete, all that it covers.
func writtenBy(delta causal.State) causal.Context {
	if len(delta.Siblings) == 0 {
		return delta.Seen.Prune(func(causal.Stamp) bool { return true })
	}
	var c causal.Context
	for _, s := range delta.Siblings {
		c = c.Add(s.Dot)
	}
	return c
}

// put overwrites all that the coordinator holds; a retry overwrites nothing.
func (m *Minting) put(op *request.Op, cur causal.State, actor func() causal.Actor) (causal.State, bool) {
	m.tainted = 0
	m.results[0] = request.Result{Wrote: true, Int: 1}
	if m.fold {
		return m.overSurvivors(cur)
	}
	if twin, known := twinOf(op, cur); known {
		return asHeld(twin, cur), true
	}
	var seen causal.Context
	if op.Attempt == 0 || fault.On(fault.RetryOverwrites) {
		seen = cur.Context(m.settled)
	}
	v := causal.Version{Stamp: op.Stamp, ExpireAt: op.ExpireAt, Flags: op.Flags, Value: op.Value}
	return cur.Put(seen, actor(), []causal.Version{v}, m.settled), true
}

// overSurvivors removes what outstamps the first write. It does not write the value again: who had read the first would
// then overwrite it without covering the second. Where the first is gone by now, what overwrote it stands.
func (m *Minting) overSurvivors(cur causal.State) (causal.State, bool) {
	if !slices.ContainsFunc(cur.Siblings, func(s causal.Sibling) bool { return s.Dot == m.first }) {
		return causal.State{}, false
	}
	m.results[0].Seen = causal.Context{}.Add(m.first)
	return cur.Put(m.read.Context(m.settled), causal.Actor{}, nil, m.settled), true
}

// twinOf answers an operation of which another attempt has already turned up here: as the sibling to send on again, or
// as overwritten (no siblings). To write it once more would overwrite what has overwritten it. Attempts may arrive in
// any order, so the first one looks too.
func twinOf(op *request.Op, cur causal.State) (delta causal.State, known bool) {
	if cur.Seen.HasStamp(op.Stamp) {
		return causal.State{}, true
	}
	for _, s := range cur.Siblings {
		if s.Stamp == op.Stamp {
			return causal.State{Seen: causal.Context{}.Add(s.Dot), Siblings: []causal.Sibling{s}}, true
		}
	}
	return causal.State{}, false
}

// asHeld returns what to send on of a twin: itself, or, where it was overwritten, all that is held here. Enough nodes must
// know what overwrote it before the operation is acknowledged: this node may be the only one.
func asHeld(twin, cur causal.State) causal.State {
	if len(twin.Siblings) > 0 {
		return twin
	}
	return cur
}

func (m *Minting) putSeen(op *request.Op, cur causal.State, actor func() causal.Actor) (causal.State, bool) {
	m.tainted = 0
	m.results[0] = request.Result{Wrote: true, Int: 1}
	if twin, known := twinOf(op, cur); known {
		m.results[0].Seen = op.Seen.Join(twin.Seen).AddStamp(op.Stamp)
		return asHeld(twin, cur), true
	}
	v := causal.Version{Stamp: op.Stamp, ExpireAt: op.ExpireAt, Flags: op.Flags, Value: op.Value}
	if op.Cond&request.KeepTTL != 0 {
		v.ExpireAt = coveredExpiry(cur, op.Seen)
	}
	delta := cur.Put(m.named(op, cur), actor(), []causal.Version{v}, m.settled)
	// With the new value's stamp: the client's next write may be stored by a node that never met this sibling, and must
	// cover its twins all the same.
	m.results[0].Seen = delta.Context(m.settled)
	if fault.On(fault.WideContext) {
		m.results[0].Seen = causal.Sync(cur, delta).Context(m.settled)
	}
	return delta, true
}

// named returns the context that the operation names.
func (m *Minting) named(op *request.Op, cur causal.State) causal.Context {
	if fault.On(fault.IgnoreContext) {
		return cur.Context(m.settled)
	}
	return op.Seen
}

// coveredExpiry returns the expiry of the newest sibling that seen covers, 0 if there is none.
func coveredExpiry(cur causal.State, seen causal.Context) int64 {
	for _, s := range cur.Siblings {
		if seen.Has(s.Dot) {
			return s.ExpireAt
		}
	}
	return 0
}

func (m *Minting) deleteSeen(op *request.Op, cur causal.State) (causal.State, bool) {
	m.tainted = 0
	delta := cur.Put(op.Seen, causal.Actor{}, nil, m.settled)
	_, left := live(causal.Sync(cur, delta), m.now)
	m.results[0] = request.Result{Int: truth(!left), Wrote: true}
	return delta, !op.Seen.IsZero()
}

// round applies the operations one after another to the value and mints once, what the last of them leaves. Nobody can
// have seen what was in between: the key is locked.
func (m *Minting) round(cur causal.State, actor func() causal.Actor) (causal.State, bool) {
	base := causal.Sync(cur, m.read)
	state, write, inTime := base, false, false
	var versions []causal.Version
	for i, op := range m.ops {
		if m.isLate(i) {
			m.results[i] = request.Result{Err: request.ErrExpired}
			continue
		}
		inTime = true
		ch := modify(op, state, m.now)
		m.results[i] = ch.result
		if !ch.write {
			continue
		}
		if !write {
			write, m.tainted = true, i
		}
		versions = ch.versions
		state = unminted(versions)
	}
	if !write && inTime && m.ops[0].Verb == request.Delete && base.Tombstone() {
		// Deleted already, but perhaps only one node knows: a delete is acknowledged when enough do.
		m.tainted = 0
		return removal(base), true
	}
	if !write {
		return causal.State{}, false
	}
	seen := base.Context(m.settled)
	if len(versions) == 0 {
		return removal(base.Put(seen, causal.Actor{}, nil, m.settled)), true
	}
	return base.Put(seen, actor(), versions, m.settled), true
}

// removal returns a delta that removes values, without what it has of their memory: its context is kept for WAIT, and in hints.
func removal(delta causal.State) causal.State {
	delta.Seen = delta.Seen.Apart()
	return delta
}

// unminted shows versions as a state whose dots are stand-ins, newest first as in any state.
func unminted(versions []causal.Version) causal.State {
	var s causal.State
	for i, v := range versions {
		d := causal.Dot{Actor: causal.Actor{Boot: 1, Seq: 1}, Counter: uint64(i + 1)}
		s.Siblings = append(s.Siblings, causal.Sibling{Dot: d, Version: v})
	}
	slices.SortFunc(s.Siblings, func(a, b causal.Sibling) int { return b.Stamp.Compare(a.Stamp) })
	return s
}
