package replica

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/replica/merkle"
	"github.com/holdfastdb/holdfast/request"
)

// Write applies the writes in order and answers each in place: one Pebble commit for all of them, durable as the sync
// level says when it returns. A key may repeat; later elements see earlier ones. An element that is refused leaves the
// others alone. Read, decision and write are atomic per key; Mint runs under the key's lock, and once more if the state
// it was shown turns out to be older than what this node once acknowledged.
//
// The error is that of the whole batch, and then also every element's that had none: request.ErrExpired, ErrClosed (not
// executed), ErrInternal (the commit failed: perhaps executed). Errors of elements: ErrTooManySiblings, ErrTooBig,
// ErrDiskLow, ErrHintsFull, ErrOverloaded (nothing minted nor written), ErrCorrupt.
func (s *Store) Write(ctx context.Context, writes []*request.Write) error {
	minting := 0
	for _, el := range writes {
		el.Wrote, el.Survivor, el.Err = false, causal.State{}, nil
		if el.Mint != nil {
			minting++
		}
	}
	err := s.write(ctx, writes, minting)
	if err != nil {
		failAll(writes, err)
	}
	return err
}

func failAll(writes []*request.Write, err error) {
	for _, el := range writes {
		if el.Err == nil {
			el.Wrote, el.Survivor, el.Err = false, causal.State{}, err
		}
	}
}

func (s *Store) write(ctx context.Context, writes []*request.Write, minting int) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	if ctx.Err() != nil || overdue(ctx) {
		return request.ErrExpired
	}
	// Twice, for an element may have to mint under a second actor (see mint).
	first, err := s.takeActors(ctx, 2*minting)
	if err != nil {
		return err
	}
	w := s.writer(len(writes) > 1)
	defer w.release()
	w.seq = first
	w.slab.States = len(writes)
	for _, el := range writes {
		w.shards = append(w.shards, shardOf(el.Key))
	}
	if err := w.locked(func() { w.each(writes) }, s.writeOptions()); err != nil {
		return err
	}
	return w.wait()
}

// overdue reports whether a context's deadline has passed, which its Err need not say yet.
func overdue(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// writeOptions returns what the sync level asks of Pebble. At SyncOS its sync is a write(2); see walFS.
func (s *Store) writeOptions() *pebble.WriteOptions {
	if s.cfg.Sync == SyncNone {
		return pebble.NoSync
	}
	return pebble.Sync
}

// writer collects one batch. It holds what the batch has changed so far, so that a key may repeat.
type writer struct {
	s       *Store
	batch   *pebble.Batch
	shards  []uint16
	seq     uint64              // next number reserved for actors
	many    bool                // more than one element: remember what was changed
	rows    map[uint16]*heldRow // by shard; further ones of a shard hang behind
	made    []heldRow           // where heldRows come from
	room    []byte              // empty: where rows are read to, which live on in answers
	slab    causal.Slab         // for their states, which live on in answers
	hints   map[string]*heldHint
	counts  []placeCounts // to be added when the batch is applied
	cached  []cachedWrite // to be cached when the batch is applied
	key     []byte
	value   []byte
	kept    []byte // keys and rows of cached
	waiting bool   // applied, not waited for
	settled bool   // an element rests on what was written before, which may not be durable yet
	turn    turn   // of the element that mints
	draw    func() causal.Actor
}

// cachedWrite is a row of the batch on its way into the cache.
type cachedWrite struct {
	lock     uint16
	key, row []byte
}

// placeCounts is what a change of a row does to the counts and the tree of its place.
type placeCounts struct {
	place
	Counts
	key       merkle.KeyHash
	old, next uint64 // the row's digest in the tree
}

// heldRow is a row as the batch sees it.
type heldRow struct {
	row
	key     request.Key // the name is the element's
	next    *heldRow    // another of the same shard
	encoded []byte      // the state's bytes; nil: there is no row
	size    int         // of the stored value
}

// heldHint is a hint as the batch sees it.
type heldHint struct {
	hint
	encoded []byte // nil: there is none
}

func (s *Store) writer(many bool) *writer {
	w, ok := s.pools.writers.Get().(*writer)
	if !ok {
		w = &writer{s: s, rows: make(map[uint16]*heldRow), hints: make(map[string]*heldHint)}
		w.draw = w.drawActor
	}
	w.batch, w.many = s.db.NewBatch(), many
	return w
}

func (w *writer) release() {
	if w.batch == nil {
		return
	}
	w.s.closeQuietly(w.batch)
	clear(w.rows)
	clear(w.hints)
	clear(w.made)
	clear(w.cached)
	w.made = w.made[:0]
	w.batch, w.shards, w.counts, w.cached, w.kept = nil, w.shards[:0], w.counts[:0], w.cached[:0], w.kept[:0]
	w.waiting, w.settled, w.slab, w.room = false, false, causal.Slab{}, nil
	if cap(w.value)+cap(w.key)+cap(w.kept) <= scratchKeepMax {
		w.s.pools.writers.Put(w)
	}
}

// locked runs act under the locks of w.shards, and applies the batch to the log's queue and the memtable. It does not
// wait for the disk, except that Pebble stalls writes when it falls behind.
func (w *writer) locked(act func(), o *pebble.WriteOptions) error {
	w.shards = w.s.locks.lock(w.shards)
	defer w.s.locks.unlock(w.shards)
	act()
	return w.apply(o)
}

func (w *writer) apply(o *pebble.WriteOptions) error {
	if w.batch.Empty() && w.settled && o.Sync {
		_ = w.batch.LogData(nil, nil) // to wait behind the write that was there already; fails never
	}
	if w.batch.Empty() {
		return nil
	}
	size := w.batch.Len()
	var err error
	if w.waiting = o.Sync; o.Sync {
		err = w.s.db.ApplyNoSyncWait(w.batch, o)
	} else {
		err = w.s.db.Apply(w.batch, o)
	}
	if err := w.s.checkCommit(err); err != nil {
		for _, c := range w.cached {
			w.s.cache.drop(c.lock, c.key)
		}
		w.batch = nil // the broken log may hold on to it for ever
		return err
	}
	w.s.space.written.Add(uint64(size))
	w.s.markDirty()
	for _, c := range w.cached {
		w.s.cache.put(c.lock, c.key, c.row)
	}
	for _, c := range w.counts {
		w.s.tally.add(c.place, c.Counts)
		w.s.trees.change(c.partition, c.key, c.old, c.next)
	}
	return nil
}

func (s *Store) markDirty() {
	if !s.dirty.Load() {
		s.dirty.Store(true)
	}
}

// wait waits until the applied batch is in the log.
func (w *writer) wait() error {
	if !w.waiting {
		return nil
	}
	w.waiting = false
	return w.s.checkCommit(w.batch.SyncWait())
}

func (w *writer) each(writes []*request.Write) {
	for _, el := range writes {
		if el.Err = w.one(el); el.Err != nil {
			el.Wrote, el.Survivor = false, causal.State{}
			if el.Mint != nil {
				el.Delta = causal.State{} // what was refused never leaves: its dot is minted again some day
			}
		}
	}
}

func (w *writer) one(el *request.Write) error {
	if !w.s.tally.holds(placeOf(el.Key)) {
		return errNoPlace(el.Key)
	}
	if !el.Reserve && w.s.space.low() {
		w.s.events.diskRefused.Add(1)
		return request.ErrDiskLow
	}
	if !el.For.IsZero() {
		return w.oneHint(el)
	}
	return w.oneRow(el)
}

// oneRow syncs an element into the key's own row.
func (w *writer) oneRow(el *request.Write) error {
	held, err := w.row(el.Key)
	if err != nil {
		return err
	}
	next, ok, err := w.decide(el, held.row, 0)
	if err != nil || !ok {
		w.settled = w.settled || !held.state.IsZero() // Mint declined because of what it saw
		return err
	}
	if el.Wrote, err = w.putRow(el.Key, held, next, el.Mint != nil); err != nil {
		return err
	}
	el.Survivor = survivors(held.state, el.Delta)
	for _, target := range el.Owed {
		if err := w.owe(target, el.Key, el.Delta, len(el.Delta.Siblings) > 0); err != nil {
			return err
		}
	}
	return nil
}

// row returns the key's row as the batch sees it.
func (w *writer) row(k request.Key) (*heldRow, error) {
	shard := shardOf(k)
	for held := w.rows[shard]; held != nil; held = held.next {
		if held.key.Space == k.Space && bytes.Equal(held.key.Name, k.Name) {
			return held, nil
		}
	}
	held := w.newRow()
	if err := w.load(held, shard, k); err != nil {
		return nil, err
	}
	if w.many {
		held.key, held.next = k, w.rows[shard]
		w.rows[shard] = held
	}
	return held, nil
}

// newRow returns an empty one that lives as long as the batch. Those before stay where they are.
func (w *writer) newRow() *heldRow {
	n := len(w.made)
	if n == cap(w.made) {
		w.made, n = make([]heldRow, 0, min(max(2*n, heldRowsMin), heldRowsMax)), 0
	}
	w.made = w.made[:n+1]
	return &w.made[n]
}

// load takes what is stored of the key.
func (w *writer) load(held *heldRow, shard uint16, k request.Key) error {
	w.key = appendDataKey(w.key[:0], k)
	b, err := w.s.getRow(w.room, shard, w.key)
	if err != nil || b == nil {
		return err
	}
	if held.actor, held.encoded, err = splitRow(b); err != nil {
		return err
	}
	w.furnish(b)
	held.size = len(b)
	held.state, err = decodeStateIn(&w.slab, held.encoded)
	return err
}

// furnish makes room for the rows that the batch reads after b, a row, which is taken off it if it lies there: they are mostly as long.
func (w *writer) furnish(b []byte) {
	left := w.slab.States - len(w.made)
	switch {
	case cap(w.room) > 0 && &b[0] == &w.room[:1][0]:
		w.room = w.room[len(b):len(b):cap(w.room)]
	case cap(w.room) >= len(b)+rowRoomSpare: // it was not in the cache, but the next may be
	case left > 0 && len(b) <= rowRoomMax/rowsRoomMin:
		w.room = make([]byte, 0, min(left*(len(b)+rowRoomSpare), rowRoomMax))
	default:
		w.room = nil
	}
}

// errUnreadable refuses a state beyond the caps of its encoding, which are far above those of a mint: stored, it would
// be a row that nobody can read any more.
var errUnreadable = fmt.Errorf("replica: a state that could not be read again: %w", request.ErrTooBig)

// decide returns what the row becomes, and leaves the delta in the element. ok is false when Mint declined. kind is
// hintSeq for a hint, else 0. Nothing is changed yet, and a refusal is still possible.
func (w *writer) decide(el *request.Write, cur row, kind uint64) (next row, ok bool, err error) {
	next.actor = cur.actor
	if el.Mint != nil {
		if next.actor, ok, err = w.mint(el, cur, kind); !ok || err != nil {
			return next, ok, err
		}
	} else if kind == 0 && w.s.boot.lost(el.Delta.Seen, cur.state.Seen, minted{}) {
		if err := w.s.stateLost(el.Key); err != nil {
			return next, false, err
		}
	}
	next.state = causal.Sync(cur.state, el.Delta).Prune(w.s.cfg.Settled)
	if !next.state.Fits() {
		return next, false, errUnreadable
	}
	if el.Mint != nil && len(next.state.Siblings) > request.SiblingsMax && len(next.state.Siblings) >= len(cur.state.Siblings) {
		w.s.events.siblingsRefused.Add(1)
		return next, false, request.ErrTooManySiblings
	}
	return next, true, nil
}

// mint lets the element decide its delta, and returns the row's local actor afterwards. A delta that has seen more of
// this node's own dots than the row holds shows that the row is older than what was once acknowledged: its next counter
// may have been used. It is thrown away, and the element decides once more, under an actor never used before.
func (w *writer) mint(el *request.Write, cur row, kind uint64) (actor causal.Actor, ok bool, err error) {
	for range 2 {
		w.turn = turn{own: cur.actor, kind: kind}
		if el.Delta, ok = el.Mint.Mint(cur.state, w.draw); !ok {
			el.Delta = causal.State{}
			return cur.actor, false, nil
		}
		used := w.turn.used
		just := mintedBy(used, el.Delta)
		if kind == 0 && w.s.boot.lost(el.Delta.Seen, cur.state.Seen, just) {
			el.Delta = causal.State{}
			if err := w.s.stateLost(el.Key); err != nil {
				return cur.actor, false, err
			}
			continue
		}
		if just.beyond(used, el.Delta.Seen.Max(used), cur.state.Seen) {
			el.Delta, cur.actor = causal.State{}, causal.Actor{}
			continue
		}
		if !used.IsZero() {
			return used, true, nil
		}
		return cur.actor, true, nil
	}
	return cur.actor, false, fmt.Errorf("replica: a new actor's dots were seen before: %w", request.ErrInternal)
}

// turn is one call of Mint.
type turn struct {
	own  causal.Actor // of the row
	kind uint64       // hintSeq for a hint, else 0
	used causal.Actor // zero until one was drawn
}

// drawActor is what Mint is given; w.draw, so that it is made once.
func (w *writer) drawActor() causal.Actor {
	w.turn.used = w.actor(w.turn.own, w.turn.kind)
	return w.turn.used
}

// actor returns the one to mint under: the row's own, if it is of the current boot, else a new one.
func (w *writer) actor(own causal.Actor, kind uint64) causal.Actor {
	bits := w.s.boot.bits()
	if fault.On(fault.ReuseActor) {
		return causal.Actor{Boot: bits, Seq: 1 | kind}
	}
	if own.Boot == bits && !own.IsZero() {
		return own
	}
	w.seq++
	return causal.Actor{Boot: bits, Seq: (w.seq - 1) | kind}
}

func mintedBy(actor causal.Actor, delta causal.State) minted {
	m := minted{actor: actor}
	for _, x := range delta.Siblings {
		if x.Dot.Actor == actor {
			m.count++
		}
	}
	return m
}

// survivors returns the siblings that outstamp everything in the delta, with the context that covers them and nothing
// else: whoever writes over them must not cover what it was not shown. Zero for a delta without siblings, and for one that
// was overwritten before it arrived, itself or its twin: what overwrote it stands, and must not be removed for its sake.
func survivors(stored, delta causal.State) causal.State {
	if len(delta.Siblings) == 0 || overwritten(stored, delta.Siblings[0]) {
		return causal.State{}
	}
	newest := delta.Siblings[0].Stamp
	n := 0
	for n < len(stored.Siblings) && stored.Siblings[n].Stamp.Compare(newest) > 0 {
		n++
	}
	if n == 0 {
		return causal.State{}
	}
	var seen causal.Context
	for _, x := range stored.Siblings[:n] {
		seen = seen.Add(x.Dot)
	}
	return causal.State{Seen: seen, Siblings: stored.Siblings[:n:n]}
}

// overwritten reports whether the state has met the sibling, or its twin, and holds it no more.
func overwritten(s causal.State, x causal.Sibling) bool {
	held := slices.ContainsFunc(s.Siblings, func(h causal.Sibling) bool { return h.Dot == x.Dot })
	return s.Seen.HasStamp(x.Stamp) || s.Seen.Has(x.Dot) && !held
}

// putRow adds the row, its expiries and its counts to the batch, and reports whether the state changed at all. capped
// refuses a row that grows beyond StateBytesMax.
func (w *writer) putRow(k request.Key, held *heldRow, next row, capped bool) (changed bool, err error) {
	w.value = appendRow(w.value[:0], next)
	_, encoded, err := splitRow(w.value)
	if err != nil {
		return false, err
	}
	if held.encoded != nil && bytes.Equal(encoded, held.encoded) || held.encoded == nil && next.state.IsZero() {
		w.settled = true
		return false, nil
	}
	if capped && len(w.value) > StateBytesMax && len(w.value) > held.size {
		return false, fmt.Errorf("replica: state of %d bytes: %w", len(w.value), request.ErrTooBig)
	}
	w.key = appendDataKey(w.key[:0], k)
	if err := w.batch.Set(w.key, w.value, nil); err != nil {
		return false, err
	}
	if err := w.count(k, held, next.state, encoded); err != nil {
		return false, err
	}
	kept := w.keep(k)
	if err := w.putExpiries(k, held.state, next.state); err != nil {
		return false, err
	}
	held.row, held.size = next, len(w.value)
	held.encoded = kept[len(kept)-len(encoded):]
	return true, nil
}

// keep copies the row being written for the cache, and for what follows in the batch, and returns the copy.
func (w *writer) keep(k request.Key) (row []byte) {
	start := len(w.kept)
	w.kept = append(append(w.kept, w.key...), w.value...)
	both := w.kept[start:] // stays as it is where w.kept moves
	row = both[len(w.key):]
	w.cached = append(w.cached, cachedWrite{shardOf(k), both[:len(w.key)], row})
	return row
}

// count notes what the row being written changes in the counts and in the tree.
func (w *writer) count(k request.Key, held *heldRow, next causal.State, encoded []byte) (err error) {
	c := placeCounts{place: placeOf(k), key: merkle.HashKey(k.Space, k.Name)}
	c.Counts = countsOf(len(w.key), len(w.value), len(next.Siblings))
	if held.encoded != nil {
		c.Counts = c.Counts.minus(countsOf(len(w.key), held.size, len(held.state.Siblings)))
		if c.old, err = treeDigest(held.encoded); err != nil {
			return err
		}
	}
	if c.next, err = treeDigest(encoded); err != nil {
		return err
	}
	w.counts = append(w.counts, c)
	return nil
}
