package node

import (
	"context"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/replica/reap"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// serve is this node's part in a round.
func (r *reaper) serve(ctx context.Context, kind uint8, payload []byte) ([]byte, error) {
	s := r.n.members.State()
	if s.IsZero() || r.n.store == nil {
		return nil, request.ErrNotOwner
	}
	q, err := decodeReapQuestion(payload, kind == controlPropose, s.Layout.Q)
	if err != nil {
		return nil, err
	}
	var a reapAnswer
	switch kind {
	case controlPropose:
		a, err = r.propose(ctx, s, &q)
	case controlClear:
		a.said, err = r.clear(ctx, s, &q)
	case controlCommit:
		a.said, err = r.commit(s, &q)
	}
	if err != nil {
		return nil, err
	}
	return a.append(nil), nil
}

// stillness returns how often the process has stood still, and the time.
func (r *reaper) stillness() (pauses uint64, now time.Duration) {
	if p := r.n.wire.peers.Load(); p != nil {
		pauses = p.Pauses()
	}
	now = r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if pauses != r.mu.pauses {
		r.mu.pauses, r.mu.steady = pauses, now
	}
	return pauses, now
}

// all returns the same refusal for every key.
func all(q *reapQuestion, why reap.Refusal) []reap.Refusal {
	said := make([]reap.Refusal, len(q.keys))
	for i := range said {
		said[i] = why
	}
	return said
}

// at reports whether the node goes by the round's layout of the partition, with nothing under way by an older one.
func (r *reaper) at(s ring.State, q *reapQuestion) bool {
	_, changing := s.Layout.Change(q.partition)
	return s.Layout.Since[q.partition] == q.since && !changing && r.n.coord.View().Version >= q.since
}

// propose takes the tombstones and has them on disk.
func (r *reaper) propose(ctx context.Context, s ring.State, q *reapQuestion) (a reapAnswer, err error) {
	if !r.at(s, q) || !s.Layout.Holds(r.n.id, q.partition) {
		return reapAnswer{said: all(q, reap.Layout)}, nil
	}
	pauses, now := r.stillness()
	h := &holding{Hold: reap.Hold{Round: q.round, Since: q.since, Pauses: pauses, At: now}, rows: make(map[string]replica.Tombstone)}
	if why := r.reserve(q.partition, h, now); why != reap.None {
		return reapAnswer{said: all(q, why)}, nil
	}
	held, err := r.n.store.HoldTombstones(ctx, q.keys)
	if err != nil {
		return a, err
	}
	a = judge(q.keys, held)
	for i, why := range a.said {
		if why == reap.None {
			h.rows[rowName(held[i].Key)] = replica.Tombstone{Key: held[i].Key, Row: held[i].Row}
		}
	}
	h.At = r.now()
	r.hold(q.partition, h)
	return a, nil
}

// reserve keeps other rounds of the partition away.
func (r *reaper) reserve(p ring.Partition, h *holding, now time.Duration) reap.Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.mu.holds[p]; old != nil {
		if why := old.MayHold(h.Hold, now, reapQuiet); why != reap.None {
			return why
		}
	}
	r.mu.holds[p] = &holding{Hold: h.Hold}
	return reap.None
}

// hold notes what is held, unless another round has come between.
func (r *reaper) hold(p ring.Partition, h *holding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.mu.holds[p]; now != nil && now.Round == h.Round {
		r.mu.holds[p] = h
	}
}

// judge says of each row whether it is the tombstone that was proposed. Remembered stamps are not compared: each node forgets them
// in its own time.
func judge(proposed, held []replica.Tombstone) (a reapAnswer) {
	a.said, a.larger = make([]reap.Refusal, len(held)), make(map[int]causal.State)
	for i, t := range held {
		switch {
		case !t.State.Tombstone():
			a.said[i] = reap.Lives
		case !proposed[i].State.Seen.Covers(t.State.Seen):
			a.said[i], a.larger[i] = reap.Differs, t.State
		}
	}
	return a
}

// clear says whether this node has anything of the keys at rest.
func (r *reaper) clear(ctx context.Context, s ring.State, q *reapQuestion) ([]reap.Refusal, error) {
	keys := make([]request.Key, len(q.keys))
	for i, t := range q.keys {
		keys[i] = t.Key
	}
	_, now := r.stillness()
	r.mu.Lock()
	steady := now - r.mu.steady
	r.mu.Unlock()
	// What is not in the store yet is looked for first: it may come there in between.
	site := reap.Site{Layout: r.at(s, q), Primary: s.Layout.Holds(r.n.id, q.partition), Steady: steady,
		Due: r.n.coord.Owes(q.partition), Pulling: r.n.pulls.taking.any(q.partition)}
	found, err := r.n.store.Traces(ctx, keys)
	if err != nil {
		return nil, err
	}
	said := make([]reap.Refusal, len(found))
	for i, f := range found {
		said[i] = site.Clear(reap.Found{Row: f.Row, Hint: f.Hint}, reapQuiet)
	}
	return said, nil
}

// commit forgets what was held, row by row.
func (r *reaper) commit(s ring.State, q *reapQuestion) ([]reap.Refusal, error) {
	h, why := r.release(s, q)
	if why != reap.None {
		return all(q, why), nil
	}
	said := all(q, reap.Changed)
	var rows []replica.Tombstone
	var at []int
	for i, t := range q.keys {
		if held, ok := h.rows[rowName(t.Key)]; ok {
			rows, at = append(rows, held), append(at, i)
		}
	}
	forgotten, err := r.n.store.ForgetTombstones(rows)
	if err != nil {
		return nil, err
	}
	for j, gone := range forgotten {
		if gone {
			said[at[j]] = reap.None
			r.reaped.Add(1)
		}
	}
	return said, nil
}

// release ends the hold, and returns it if the round may be committed.
func (r *reaper) release(s ring.State, q *reapQuestion) (*holding, reap.Refusal) {
	pauses, now := r.stillness()
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.mu.holds[q.partition]
	if h == nil {
		return nil, reap.Unknown
	}
	since := s.Layout.Since[q.partition]
	why := h.MayCommit(reap.Hold{Round: q.round, Since: q.since}, reap.Hold{Since: since, Pauses: pauses, At: now}, reapQuiet)
	if h.Round == q.round {
		delete(r.mu.holds, q.partition)
	}
	if !r.at(s, q) {
		why = reap.Layout
	}
	return h, why
}
