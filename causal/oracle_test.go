package causal

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// The oracle keeps explicit causal histories and no clocks at all. A record is one event, with the set of all events
// that it covers. A replica is the set of records that it has received; its values are found by asking of each whether
// any received record covers it, or covers a twin of it. Sync is the union of what was received.

// events is a set of event numbers below 64*len.
type events [5]uint64

const eventsMax = 64 * len(events{})

func (s events) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }
func (s events) with(i int) events {
	s[i/64] |= 1 << (i % 64)
	return s
}
func (s events) union(o events) events {
	for i := range s {
		s[i] |= o[i]
	}
	return s
}
func (s events) meets(o events) bool {
	for i := range s {
		if s[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

// record is one event: a put of a value, or (dot zero) a delete or an expiry.
type record struct {
	version Version
	dot     Dot
	covers  events
	keeps   []Stamp // operations whose twins it does not overwrite, since it rewrites them
}

// view is a client's context, as token and as history.
type view struct {
	seen   Context
	covers events
}

type replicaModel struct {
	state    State  // what is tested
	received events // the oracle
	actor    Actor
}

type world struct {
	t       testing.TB
	records []record
	nodes   []replicaModel
	views   []view
	actors  uint64
	ops     uint64
	trace   []string
	// settled is by the operation's number: an odd one is never retried, nor remembered. Nil remembers all.
	settled func(Stamp) bool
	// swept are the operations of which something expired. A twin goes by its own expiry; whether it also falls with what
	// later covers the expired one depends on who had forgotten that one's stamp, and is not laid down.
	swept []Stamp
}

func oddSettled(t Stamp) bool { return t.Time%2 == 1 }

func newWorld(t testing.TB, nodes, views int, settled func(Stamp) bool) *world {
	return &world{t: t, nodes: make([]replicaModel, nodes), views: make([]view, views), settled: settled}
}

// bearers returns the events of the operation.
func (w *world) bearers(t Stamp) (s events) {
	for i, r := range w.records {
		if !r.dot.Actor.IsZero() && r.version.Stamp == t {
			s = s.with(i)
		}
	}
	return s
}

func (w *world) overwrites(by record, i int) bool {
	if by.covers.has(i) {
		return true
	}
	t := w.records[i].version.Stamp
	return !isSettled(t, w.settled) && !slices.Contains(by.keeps, t) && by.covers.meets(w.bearers(t))
}

func (w *world) live(received events) (live []int) {
	for i, r := range w.records {
		if r.dot.Actor.IsZero() || !received.has(i) {
			continue
		}
		if !slices.ContainsFunc(w.received(received), func(by record) bool { return w.overwrites(by, i) }) {
			live = append(live, i)
		}
	}
	return live
}

func (w *world) received(received events) (out []record) {
	for i, r := range w.records {
		if received.has(i) {
			out = append(out, r)
		}
	}
	return out
}

// history returns all events that the replica has received or knows to be covered.
func (w *world) history(received events) events {
	h := received
	for _, r := range w.received(received) {
		h = h.union(r.covers)
	}
	return h
}

func (w *world) check(n int) {
	w.t.Helper()
	node := w.nodes[n]
	var want []Sibling
	for _, i := range w.live(node.received) {
		want = append(want, Sibling{w.records[i].dot, w.records[i].version})
	}
	slices.SortFunc(want, newestFirst)
	if !slices.EqualFunc(w.laidDown(want), w.laidDown(node.state.Siblings), equalSiblings) {
		w.t.Fatalf("node %d holds %v, oracle says %v\n%s", n, node.state.Siblings, want, w.steps())
	}
	history := w.history(node.received)
	for i, r := range w.records {
		if !r.dot.Actor.IsZero() && node.state.Seen.Has(r.dot) != history.has(i) {
			w.t.Fatalf("node %d: seen %v: %v, oracle says %v\n%s", n, r.dot, !history.has(i), history.has(i), w.steps())
		}
	}
	if !node.state.valid() {
		w.t.Fatalf("node %d: invalid state %+v\n%s", n, node.state, w.steps())
	}
}

// laidDown returns the siblings whose fate the oracle knows: not that of a twin of what was swept.
func (w *world) laidDown(siblings []Sibling) (out []Sibling) {
	for _, x := range siblings {
		if !slices.Contains(w.swept, x.Stamp) || len(w.bearersOf(x)) < 2 {
			out = append(out, x)
		}
	}
	return out
}

// bearersOf returns the events of the sibling's operation.
func (w *world) bearersOf(x Sibling) (all []int) {
	for i := range w.records {
		if w.bearers(x.Stamp).has(i) {
			all = append(all, i)
		}
	}
	return all
}

func (w *world) steps() (s string) {
	for _, line := range w.trace {
		s += line + "\n"
	}
	return s
}

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// newStamp starts an operation. Odd operations are never retried.
func (w *world) newStamp(retriable bool) Stamp {
	w.ops += 2
	if retriable {
		return Stamp{Time(w.ops), 7}
	}
	return Stamp{Time(w.ops + 1), 7}
}

// mintable returns the actor under which the node may mint: the one that it minted under before, provided that it has
// held the key ever since, else a new one. That it holds some state now is not enough: it may have been given an older
// copy of what it had forgotten.
func (w *world) mintable(n int) Actor {
	node := &w.nodes[n]
	if node.actor.IsZero() {
		w.actors++
		node.actor = Actor{Boot: uint64(n + 1), Seq: w.actors}
	}
	return node.actor
}

// put writes vs at the node under the given context; none make a delete. It returns the view of the one who wrote.
func (w *world) put(n int, v view, vs ...Version) view {
	node := &w.nodes[n]
	actor := Actor{}
	if len(vs) > 0 {
		actor = w.mintable(n)
	}
	delta := node.state.Put(v.seen, actor, vs, w.settled)
	var keeps []Stamp
	for _, x := range vs {
		keeps = append(keeps, x.Stamp)
	}
	fresh := events{}
	for _, x := range delta.Siblings {
		fresh = fresh.with(len(w.records))
		w.records = append(w.records, record{version: x.Version, dot: x.Dot, covers: v.covers, keeps: keeps})
	}
	if len(vs) == 0 {
		fresh = fresh.with(len(w.records))
		w.records = append(w.records, record{covers: v.covers})
	}
	node.state, node.received = Sync(node.state, delta), node.received.union(fresh)
	w.check(n)
	return view{delta.Context(w.settled), v.covers.union(fresh)}
}

func (w *world) read(n int) view {
	node := w.nodes[n]
	return view{node.state.Context(w.settled), w.history(node.received)}
}

// sync gives the state of one node to another.
func (w *world) sync(from, to int) {
	a, b := w.nodes[from], &w.nodes[to]
	covered := b.state.Covers(a.state)
	merged := Sync(b.state, a.state)
	same := merged.Seen.Covers(b.state.Seen) && b.state.Seen.Covers(merged.Seen) &&
		slices.EqualFunc(merged.Siblings, b.state.Siblings, equalSiblings)
	if covered != same {
		w.t.Fatalf("Covers says %v, Sync changed: %v\n%s", covered, !same, w.steps())
	}
	b.state, b.received = merged, b.received.union(a.received)
	w.check(to)
}

// forget drops the node's state, and with it the right to its actor.
func (w *world) forget(n int) { w.nodes[n] = replicaModel{} }

// expire drops what has expired at one node: to the oracle, an event that covers it.
func (w *world) expire(n int, now int64) {
	node := &w.nodes[n]
	gone := events{}
	for _, i := range w.live(node.received) {
		if w.records[i].version.expired(now) {
			gone = gone.with(i)
		}
	}
	state, changed := node.state.Expire(now, w.settled)
	if changed != (gone != events{}) && len(w.swept) == 0 {
		w.t.Fatalf("node %d: Expire says %v\n%s", n, changed, w.steps())
	}
	if changed {
		node.received = node.received.with(len(w.records))
		w.records = append(w.records, record{covers: gone, keeps: w.stamps(gone)})
		w.swept = append(w.swept, w.stamps(gone)...)
	}
	node.state = state
	w.check(n)
}

// stamps returns the operations of the events.
func (w *world) stamps(of events) (stamps []Stamp) {
	for i, r := range w.records {
		if of.has(i) {
			stamps = append(stamps, r.version.Stamp)
		}
	}
	return stamps
}

// attempt is an operation that may be sent again, under its stamp.
type attempt struct {
	version Version
	view    view
}

// wanderer takes random steps in a world.
type wanderer struct {
	*world
	*rand.Rand
	saved    []replicaModel // old copies of nodes' disks
	savedOf  []int
	attempts []attempt
	now      int64
}

func (r *wanderer) node() int   { return r.IntN(len(r.nodes)) }
func (r *wanderer) client() int { return r.IntN(len(r.views)) }

func (r *wanderer) version() Version {
	v := Version{Stamp: r.newStamp(r.IntN(2) == 0), Value: fmt.Appendf(nil, "v%d", r.ops)}
	if r.IntN(4) == 0 {
		v.ExpireAt = r.now + 1 + r.Int64N(10)
	}
	return v
}

// context returns a fresh, stale, partial or empty view.
func (r *wanderer) context(n int) view {
	switch r.IntN(4) {
	case 0:
		return view{}
	case 1:
		return r.read(n)
	case 2:
		a, b := r.views[r.client()], r.views[r.client()]
		return view{a.seen.Join(b.seen), a.covers.union(b.covers)}
	}
	return r.views[r.client()]
}

func (r *wanderer) step(rewrites bool) {
	n, m, c := r.node(), r.node(), r.client()
	switch k := r.IntN(17); k {
	case 0, 1, 2, 3:
		v, seen := r.version(), r.context(n)
		r.note("put %d op %d seen %v", n, v.Stamp.Time, seen.seen)
		r.views[c] = r.put(n, seen, v)
		if !oddSettled(v.Stamp) {
			r.attempts = append(r.attempts, attempt{v, seen})
		}
	case 4:
		r.note("delete %d", n)
		r.views[c] = r.put(n, r.context(n))
	case 5, 6, 7:
		r.note("sync %d -> %d", m, n)
		r.sync(m, n)
	case 8:
		r.note("read %d", n)
		r.views[c] = r.read(n)
	case 9:
		r.note("hand off %d -> %d, forget", n, m)
		if n != m {
			r.sync(n, m)
			r.forget(n)
		}
	case 10:
		r.reap()
	case 11:
		r.note("save %d", n)
		r.saved, r.savedOf = append(r.saved, r.nodes[n]), append(r.savedOf, n)
	case 12:
		r.restore()
	case 13, 14:
		r.retry(n, c)
	case 15:
		r.now += r.Int64N(5)
		r.note("expire %d at %d", n, r.now)
		r.expire(n, r.now)
	case 16:
		if rewrites {
			r.rewrite(n)
		}
	}
}

// reap lets all forget a tombstone that all hold, and with it what clients and old copies could still bring in.
func (r *wanderer) reap() {
	first := r.nodes[0].state
	for n := range r.nodes {
		s := r.nodes[n].state
		if len(s.Siblings) > 0 || !s.Covers(first) || !first.Covers(s) {
			return
		}
	}
	r.note("reap")
	for n := range r.nodes {
		r.forget(n)
	}
	r.saved, r.savedOf = nil, nil
}

// restore puts an old copy of a node's disk in place: after a crash that lost what was not synced, or from a backup.
func (r *wanderer) restore() {
	if len(r.saved) == 0 {
		return
	}
	i := r.IntN(len(r.saved))
	n := r.savedOf[i]
	r.note("restore %d", n)
	r.nodes[n] = r.saved[i]
	r.nodes[n].actor = Actor{}
	r.check(n)
}

// retry sends an earlier operation again, perhaps to another node. A retried SET overwrites nothing.
func (r *wanderer) retry(n, c int) {
	if len(r.attempts) == 0 {
		return
	}
	a := r.attempts[r.IntN(len(r.attempts))]
	if r.IntN(2) == 0 {
		a.view = view{}
	}
	r.note("retry op %d at %d", a.version.Stamp.Time, n)
	r.views[c] = r.put(n, a.view, a.version)
}

// rewrite changes the expiry of every sibling that the node holds, and keeps the stamps.
func (r *wanderer) rewrite(n int) {
	var vs []Version
	for _, x := range r.nodes[n].state.Siblings {
		v := x.Version
		v.ExpireAt = r.now + 20
		vs = append(vs, v)
	}
	if len(vs) == 0 {
		return
	}
	seen := r.read(n)
	if r.IntN(2) == 0 {
		seen.seen = r.nodes[n].state.Seen
	}
	r.note("rewrite %d", n)
	r.put(n, seen, vs...)
}

func wander(t testing.TB, seed uint64, steps int, rewrites bool, settled func(Stamp) bool, each func(r *wanderer)) {
	src := rand.New(rand.NewPCG(seed, 1))
	r := &wanderer{world: newWorld(t, 2+src.IntN(3), 1+src.IntN(3), settled), Rand: src}
	r.note("seed %d", seed)
	for range steps {
		if len(r.records) > eventsMax-16 {
			return
		}
		r.step(rewrites)
		each(r)
	}
}

func TestRandomStepsAgreeWithExplicitHistories(t *testing.T) {
	for seed := range uint64(1500) {
		wander(t, seed, 60, true, oddSettled, func(*wanderer) {})
	}
}

// Two worlds take the same steps. One remembers every stamp; the other prunes those of operations that were never
// retried. No node may ever show different values.
func TestPruningSettledStampsChangesNoSurvivor(t *testing.T) {
	for seed := range uint64(600) {
		var all [][]Sibling
		collect := func(r *wanderer) {
			for _, n := range r.nodes {
				all = append(all, n.state.Siblings)
			}
		}
		wander(t, seed, 60, false, nil, collect)
		want := all
		all = nil
		wander(t, seed, 60, false, oddSettled, func(r *wanderer) {
			for n := range r.nodes {
				r.nodes[n].state = r.nodes[n].state.Prune(oddSettled)
			}
			collect(r)
		})
		for i := range want {
			if !slices.EqualFunc(want[i], all[i], equalSiblings) {
				t.Fatalf("seed %d, observation %d: %v, pruned %v", seed, i, want[i], all[i])
			}
		}
	}
}

func TestSyncIsCommutativeAssociativeIdempotent(t *testing.T) {
	for seed := range uint64(500) {
		wander(t, seed, 50, true, oddSettled, func(r *wanderer) {
			a, b, c := r.nodes[r.node()].state, r.nodes[r.node()].state, r.nodes[r.node()].state
			switch ab := Sync(a, b); {
			case !Sync(a, a).Equal(a):
				t.Fatalf("not idempotent: %+v", a)
			case !ab.Equal(Sync(b, a)):
				t.Fatalf("not commutative: %+v %+v", a, b)
			case !Sync(ab, c).Equal(Sync(a, Sync(b, c))):
				t.Fatalf("not associative: %+v %+v %+v", a, b, c)
			case !Sync(ab, b).Equal(ab) || !ab.Covers(a) || !ab.valid():
				t.Fatalf("not an upper bound: %+v %+v", a, b)
			}
			checkCodec(t, Sync(a, b))
		})
	}
}

var exhaustiveSteps = flag.Int("causal.steps", 4, "length of the schedules that are tried exhaustively (6: by hand)")

// Every schedule of two clients and three replicas: reads, puts with the client's own context, blind puts, deletes,
// retries of the client's last put, syncs of any pair, and replicas that lose the key.
func TestEveryShortScheduleAgreesWithExplicitHistories(t *testing.T) {
	steps := *exhaustiveSteps
	if testing.Short() {
		steps = min(steps, 3)
	}
	w := &scheduler{world: newWorld(t, 3, 2, oddSettled)}
	w.try(steps)
	t.Logf("%d schedules", w.schedules)
}

type scheduler struct {
	*world
	last      [2]attempt
	schedules int
}

func (w *scheduler) try(steps int) {
	if steps == 0 {
		w.schedules++
		return
	}
	for n := range 3 {
		w.branch(steps, func() { w.sync(n, (n+1)%3); w.sync((n+1)%3, n) })
		w.branch(steps, func() { w.forget(n) })
		for c := range 2 {
			w.branch(steps, func() { w.views[c] = w.read(n) })
			w.branch(steps, func() { w.views[c] = w.put(n, w.views[c]) })
			w.branch(steps, func() { w.write(c, n, w.views[c]) })
			w.branch(steps, func() { w.write(c, n, view{}) })
			if !w.last[c].version.Stamp.IsZero() {
				w.branch(steps, func() { w.views[c] = w.put(n, view{}, w.last[c].version) })
			}
		}
	}
}

func (w *scheduler) write(c, n int, v view) {
	w.last[c] = attempt{Version{Stamp: w.newStamp(true)}, v}
	w.views[c] = w.put(n, v, w.last[c].version)
}

// branch takes one step, all that can follow, and the step back.
func (w *scheduler) branch(steps int, step func()) {
	nodes, views := [3]replicaModel(w.nodes), [2]view(w.views)
	records, actors, ops, last := w.records, w.actors, w.ops, w.last
	step()
	w.try(steps - 1)
	copy(w.nodes, nodes[:])
	copy(w.views, views[:])
	w.records, w.actors, w.ops, w.last = records, actors, ops, last
}
