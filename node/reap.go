package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/replica/reap"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// reaper forgets tombstones by the rounds of package reap: its own, of partitions that this node is a primary of, and its part in those of
// others. All that it knows is in memory: a restart forgets rounds, which costs time alone.
type reaper struct {
	n       *Node
	reaped  atomic.Int64
	refused [reap.Refusals]atomic.Int64
	waits   atomic.Bool // there are tombstones, and a member is out of reach
	wg      sync.WaitGroup

	mu struct {
		sync.Mutex
		running map[ring.Partition]bool
		holds   map[ring.Partition]*holding
		pauses  uint64        // of the process, when it was looked last
		steady  time.Duration // since when there were no more
	}

	turn   map[ring.Partition]time.Duration // when this node may begin a round; of the goroutine of run
	cursor map[ring.Partition]replica.Cursor
	ended  chan roundEnd
	asking chan struct{} // held by a round while it asks
}

// holding is what this node holds for a round.
type holding struct {
	reap.Hold
	rows map[string]replica.Tombstone // by keyspace and name; without states
}

func rowName(k request.Key) string { return string(append([]byte{k.Space}, k.Name...)) }

type roundEnd struct {
	partition ring.Partition
	reaped    int
	next      *replica.Cursor
}

func newReaper(n *Node) *reaper {
	r := &reaper{n: n, turn: make(map[ring.Partition]time.Duration), cursor: make(map[ring.Partition]replica.Cursor), ended: make(chan roundEnd, reapRoundsMax),
		asking: make(chan struct{}, reapAsksMax)}
	r.mu.running, r.mu.holds = make(map[ring.Partition]bool), make(map[ring.Partition]*holding)
	return r
}

// now is the process's monotonic clock.
func (r *reaper) now() time.Duration { return time.Since(r.n.opened) }

// run looks for tombstones each reapEvery until ctx ends.
func (r *reaper) run(ctx context.Context) {
	defer r.wg.Wait()
	tick := time.NewTicker(reapEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-r.ended:
			r.end(e)
		case <-tick.C:
			if s := r.n.members.State(); !s.IsZero() && r.n.store != nil {
				r.look(ctx, s)
			}
		}
	}
}

func (r *reaper) end(e roundEnd) {
	r.cursor[e.partition] = replica.Cursor{}
	if e.next != nil {
		r.cursor[e.partition] = *e.next
	}
	if r.turn[e.partition] = r.now(); e.reaped == 0 {
		r.turn[e.partition] += reapPause
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.running, e.partition)
}

// look begins rounds where there is something to reap and it is this node's turn.
func (r *reaper) look(ctx context.Context, s ring.State) {
	_, now := r.stillness()
	members, complete := r.members(s)
	any := false
	for p := range ring.Partition(s.Layout.Q) {
		at := slices.Index(s.Layout.Owners[p], r.n.id)
		if at < 0 || r.n.store.TombstonesOf(p) == 0 || !r.n.store.Counted() {
			delete(r.turn, p)
			continue
		}
		any = true
		_, changing := s.Layout.Change(p)
		if complete && !changing && r.mayBegin(p, time.Duration(at)*reapStagger, now) {
			r.begin(ctx, s, p, members)
		}
	}
	r.waits.Store(any && !complete)
}

// members returns the members that are not removed, and whether all are in reach.
func (r *reaper) members(s ring.State) (ids []ring.NodeID, complete bool) {
	complete = true
	for _, m := range s.Members {
		if m.Status == ring.Removed {
			continue
		}
		if up := m.ID == r.n.id || r.n.up(m.ID); !up && fault.On(fault.ReapWhileDown) {
			continue
		} else if !up {
			complete = false
		}
		ids = append(ids, m.ID)
	}
	return ids, complete
}

// mayBegin reports whether nobody's round of the partition is under way, and has not been for the time that this node waits for the
// primaries before it.
func (r *reaper) mayBegin(p ring.Partition, stagger, now time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	turn, waited := r.turn[p]
	h := r.mu.holds[p]
	switch {
	case r.mu.running[p] || len(r.mu.running) >= reapRoundsMax:
		return false
	case h != nil && h.MayHold(reap.Hold{}, now, reapQuiet) != reap.None:
		r.turn[p] = max(turn, now)
		return false
	case !waited:
		r.turn[p], turn = now, now
	}
	return now >= turn+stagger
}

func (r *reaper) begin(ctx context.Context, s ring.State, p ring.Partition, members []ring.NodeID) {
	r.mu.Lock()
	r.mu.running[p] = true
	r.mu.Unlock()
	from := r.cursor[p]
	r.wg.Go(func() {
		e := roundEnd{partition: p}
		defer func() { r.ended <- e }()
		all, next, err := r.find(ctx, p, from)
		if e.next = next; err != nil || len(all) == 0 {
			return
		}
		e.reaped = r.round(ctx, s, &reapQuestion{partition: p, since: s.Layout.Since[p], round: newRound(), keys: all}, members)
	})
}

// find walks on until there are tombstones, or the partition ends.
func (r *reaper) find(ctx context.Context, p ring.Partition, from replica.Cursor) (all []replica.Tombstone, next *replica.Cursor, err error) {
	for range reapWalksMax {
		all, next, err = r.n.store.Tombstones(ctx, p, from)
		if err != nil || len(all) > 0 || next == nil {
			return all, next, err
		}
		from = *next
	}
	return nil, next, nil
}

// newRound draws a round's number.
func newRound() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:]) | 1
}

// round takes one round to its end and returns how many tombstones all primaries have forgotten.
func (r *reaper) round(ctx context.Context, s ring.State, q *reapQuestion, members []ring.NodeID) int {
	round := reap.NewRound(s.Layout.Owners[q.partition], members, len(q.keys), reapQuiet)
	for round.Phase() != reap.Over && ctx.Err() == nil {
		if len(round.Asks()) > 0 {
			r.takeTurn(ctx, round, q, members)
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(round.Until() - r.now()):
			round.Wait(r.now())
		}
	}
	reaped := 0
	for _, why := range round.Refused() {
		if r.refused[why].Add(1); why == reap.None && ctx.Err() == nil {
			reaped++
		}
	}
	return reaped
}

// takeTurn asks what the phase asks when it is this round's turn.
func (r *reaper) takeTurn(ctx context.Context, round *reap.Round, q *reapQuestion, members []ring.NodeID) {
	select {
	case <-ctx.Done():
		return
	case r.asking <- struct{}{}:
	}
	defer func() { <-r.asking }()
	if now, _ := r.members(r.n.members.State()); !slices.Equal(now, members) && !fault.On(fault.ReapWhileDown) {
		round.Abandon(reap.Layout) // who came meanwhile was not asked; the next round asks everybody
	}
	r.ask(ctx, round, q)
}

// ask asks all that the phase still lacks, at once.
func (r *reaper) ask(ctx context.Context, round *reap.Round, q *reapQuestion) {
	kinds := map[reap.Phase]uint8{reap.Propose: controlPropose, reap.Clear: controlClear, reap.Commit: controlCommit, reap.Release: controlCommit}
	kind, left := kinds[round.Phase()], *q
	left.keys = nil
	for _, i := range round.Keys() {
		left.keys = append(left.keys, q.keys[i])
	}
	payload := left.append(nil, kind == controlPropose)
	asked := slices.Clone(round.Asks())
	answers, errs := make([]reapAnswer, len(asked)), make([]error, len(asked))
	var wg sync.WaitGroup
	for i, id := range asked {
		wg.Go(func() { answers[i], errs[i] = r.askOne(ctx, id, kind, payload, len(left.keys)) })
	}
	wg.Wait()
	now := r.now() // after the last answer: the quiet time begins then
	said := make(map[ring.NodeID][]reap.Refusal)
	for i, id := range asked {
		if errs[i] == nil {
			said[id] = answers[i].said
			r.learn(ctx, &left, answers[i].larger)
		}
	}
	r.tell(round, asked, said, now)
}

// tell gives the round all answers to one question: what one node refuses the others were asked nevertheless.
func (r *reaper) tell(round *reap.Round, asked []ring.NodeID, said map[ring.NodeID][]reap.Refusal, now time.Duration) {
	keys := round.Keys()
	for _, id := range asked {
		answer, ok := said[id]
		if !ok {
			round.Lost(id, now)
			continue
		}
		var still []reap.Refusal
		for i, key := range keys {
			if round.Refused()[key] == reap.None {
				still = append(still, answer[i])
			}
		}
		round.Answer(id, still, now)
	}
}

func (r *reaper) askOne(ctx context.Context, id ring.NodeID, kind uint8, payload []byte, keys int) (a reapAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, reapPatience)
	defer cancel()
	var b []byte
	if id == r.n.id {
		b, err = r.serve(ctx, kind, payload)
	} else {
		b, err = r.n.fetch(ctx, id, kind, payload)
	}
	if err != nil {
		return a, err
	}
	return decodeReapAnswer(b, keys)
}

// learn takes over what other primaries' tombstones have seen besides: the next round proposes it.
func (r *reaper) learn(ctx context.Context, q *reapQuestion, larger map[int]causal.State) {
	var all []replica.Tombstone
	for i, state := range larger {
		all = append(all, replica.Tombstone{Key: q.keys[i].Key, State: state})
	}
	if len(all) == 0 {
		return
	}
	if _, err := r.n.store.HoldTombstones(ctx, all); err != nil {
		r.n.cfg.Logger.Debug("cannot take over what others know of deleted keys", "partition", q.partition, "error", err)
	}
}
