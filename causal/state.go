package causal

import (
	"bytes"
	"slices"
)

// Version is one value and what travels with it.
type Version struct {
	Stamp    Stamp
	ExpireAt int64  // Unix milliseconds; 0: never
	Flags    uint32 // Memcached's
	Value    []byte
}

// Sibling is a version under the dot of the event that wrote it.
type Sibling struct {
	Dot Dot
	Version
}

// State is what a replica holds of one key. Immutable by convention; the zero value is the key that was never met.
//
// Siblings are in canonical order: newest first, that is by stamp, then by dot, descending. Every sibling's dot is in
// Seen, and no sibling's stamp is among Seen's. Everything in this package returns such states and expects them.
type State struct {
	Seen     Context
	Siblings []Sibling
}

// newestFirst is the canonical order of siblings.
func newestFirst(a, b Sibling) int {
	if c := b.Stamp.Compare(a.Stamp); c != 0 {
		return c
	}
	return b.Dot.Compare(a.Dot)
}

// IsZero reports whether the state holds nothing at all.
func (s State) IsZero() bool { return len(s.Siblings) == 0 && s.Seen.IsZero() }

// Tombstone reports whether the state holds no sibling, but knows of some that are gone.
func (s State) Tombstone() bool { return len(s.Siblings) == 0 && !s.Seen.IsZero() }

// Winner returns the sibling that a plain read shows: the one with the highest stamp, of equal ones that with the
// highest dot. False when there is none. It may have expired.
func (s State) Winner() (Sibling, bool) {
	if len(s.Siblings) == 0 {
		return Sibling{}, false
	}
	return s.Siblings[0], true
}

// Equal reports whether both hold the same siblings, dots and remembered stamps.
func (s State) Equal(o State) bool {
	return s.Seen.Equal(o.Seen) && (same(s.Siblings, o.Siblings) || slices.EqualFunc(s.Siblings, o.Siblings, equalSiblings))
}

// same reports whether two slices are one memory.
func same(a, b []Sibling) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func equalSiblings(a, b Sibling) bool {
	return a.Dot == b.Dot && a.Stamp == b.Stamp && a.ExpireAt == b.ExpireAt && a.Flags == b.Flags && bytes.Equal(a.Value, b.Value)
}

// holds reports whether x is a sibling of s.
func (s State) holds(x Sibling) bool {
	_, ok := slices.BinarySearchFunc(s.Siblings, x, newestFirst)
	return ok
}

// spares reports whether the sibling x of another state survives s: s has it too, or has not met it, and does not
// remember its stamp.
func (s State) spares(x Sibling) bool {
	return !s.Seen.HasStamp(x.Stamp) && (!s.Seen.Has(x.Dot) || s.holds(x))
}

// Sync returns the state that has met all that a and b have met: the union of what they have seen; a sibling is kept if
// both have it, or if one has it and the other has not seen its dot, unless either remembers its stamp. It is
// commutative, associative and idempotent, and drops nothing for size.
//
// O(n log n) in siblings and actors. Without allocation where one side has nothing to give; the result shares memory
// with both. Source: Dotted Version Vectors (arXiv:1011.5808), sync; the stamps are an addition (package comment).
func Sync(a, b State) State {
	seen := a.Seen.Join(b.Seen)
	fromA, fromB := survivors(a, b), survivors(b, a)
	switch {
	case fromA.all && fromB.fresh == 0:
		return State{seen, a.Siblings}
	case fromB.all && fromA.fresh == 0:
		return State{seen, b.Siblings}
	}
	return State{seen, mergeSiblings(a, b, fromA.kept+fromB.fresh)}
}

// tally counts how the siblings of one state fare against another.
type tally struct {
	all   bool // every one survives
	kept  int  // those that survive
	fresh int  // those that survive and that the other does not have
}

func survivors(s, against State) tally {
	t := tally{}
	for _, x := range s.Siblings {
		if against.spares(x) {
			t.kept++
			if !against.Seen.Has(x.Dot) {
				t.fresh++
			}
		}
	}
	t.all = t.kept == len(s.Siblings)
	return t
}

// mergeSiblings returns the n survivors of a and b in canonical order, those that both have once.
func mergeSiblings(a, b State, n int) []Sibling {
	if n == 0 {
		return nil
	}
	out := make([]Sibling, 0, n)
	for _, x := range a.Siblings {
		if b.spares(x) {
			out = append(out, x)
		}
	}
	for _, x := range b.Siblings {
		if !a.Seen.Has(x.Dot) && a.spares(x) {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, newestFirst)
	return out
}

// Put returns the delta of a write by a client that has seen the given context: vs, each under a new dot of the actor,
// covering seen and nothing else. No versions make a delete, for which the actor may be zero. The caller stores
// Sync(s, delta) atomically, and sends the delta to the other replicas.
//
// s is the state that the actor's node holds: counters go on from the highest that s, or seen, knows of the actor. The
// delta also remembers the stamp of every sibling of s that seen covers, unless it is settled, or a version in vs bears
// it (which then lives on under its new dot: so are expiries rewritten). A version whose stamp s remembers is
// minted, and dropped by that Sync: its twin was overwritten already.
//
// delta.Context(settled) is the context to hand the client. A zero actor with versions panics, and so does a counter
// beyond CounterMax. A nil settled settles nothing; it is not called for stamps that are not at stake.
func (s State) Put(seen Context, actor Actor, vs []Version, settled func(Stamp) bool) (delta State) {
	counter := max(s.Seen.Max(actor), seen.Max(actor))
	delta.Seen = s.overwrite(seen, vs, settled)
	if len(vs) == 0 {
		return delta
	}
	delta.Siblings = make([]Sibling, len(vs))
	for i, v := range vs {
		counter++
		dot := Dot{actor, counter}
		delta.Seen = delta.Seen.Add(dot)
		delta.Siblings[i] = Sibling{dot, v}
	}
	slices.SortFunc(delta.Siblings, newestFirst)
	return delta
}

// overwrite returns seen remembering the siblings of s that it covers, but nothing that is settled or that vs bear.
func (s State) overwrite(seen Context, vs []Version, settled func(Stamp) bool) Context {
	for _, x := range s.Siblings {
		if seen.Has(x.Dot) && !isSettled(x.Stamp, settled) {
			seen = seen.AddStamp(x.Stamp)
		}
	}
	if len(seen.stamps) == 0 {
		return seen
	}
	return seen.dropStamps(func(t Stamp) bool {
		for i := range vs {
			if vs[i].Stamp == t {
				return true
			}
		}
		return isSettled(t, settled)
	})
}

func isSettled(t Stamp, settled func(Stamp) bool) bool { return settled != nil && settled(t) }

// Context returns what a client that was shown all siblings of s has seen: the dots of Seen, and the stamps, unless
// settled, of Seen and of the siblings. The latter are needed because the client's next write may be stored by a node
// that never met these siblings and so cannot know their stamps.
func (s State) Context(settled func(Stamp) bool) Context {
	seen := s.Seen.Prune(settled)
	for _, x := range s.Siblings {
		if !isSettled(x.Stamp, settled) {
			seen = seen.AddStamp(x.Stamp)
		}
	}
	return seen
}

// Covers reports whether Sync(s, o) is s but for remembered stamps: o has no dot that s lacks, and knows of none of the
// siblings of s that it is gone.
func (s State) Covers(o State) bool {
	if !s.Seen.Covers(o.Seen) {
		return false
	}
	for _, x := range s.Siblings {
		if !o.spares(x) {
			return false
		}
	}
	return true
}

// Expire returns s without the siblings whose time has come by now (Unix milliseconds), and whether there were any.
// Their dots stay in Seen, so that no replica brings them back. Their stamps are not remembered: a replica that missed a
// new expiry would else take the value from those that acknowledged it, since the rewrite keeps its stamp. Of twins each
// goes by its own expiry.
func (s State) Expire(now int64, settled func(Stamp) bool) (State, bool) {
	if !slices.ContainsFunc(s.Siblings, func(x Sibling) bool { return x.expired(now) }) {
		return s, false
	}
	var kept []Sibling
	for _, x := range s.Siblings {
		if !x.expired(now) {
			kept = append(kept, x)
		}
	}
	return State{s.Seen.Prune(settled), kept}, true
}

func (v Version) expired(now int64) bool { return v.ExpireAt != 0 && v.ExpireAt <= now }

// Conflict returns a dot under which both hold siblings that are not the same, which says that one of them is damaged, or
// that the dot was minted twice: Sync would keep either. False when there is none.
func (s State) Conflict(o State) (Dot, bool) {
	for _, x := range s.Siblings {
		for _, y := range o.Siblings {
			if x.Dot == y.Dot && !equalSiblings(x, y) {
				return x.Dot, true
			}
		}
	}
	return Dot{}, false
}

// Prune returns s without the remembered stamps that are settled.
func (s State) Prune(settled func(Stamp) bool) State {
	s.Seen = s.Seen.Prune(settled)
	return s
}

// Fits reports whether s is within this package's caps, so that its encoding can be decoded. Check it before a
// mint: a state that outgrows them could be stored, but not read.
func (s State) Fits() bool {
	size := 0
	for _, x := range s.Siblings {
		size += siblingBytesMax + len(x.Value)
	}
	size += len(s.Seen.entries)*entryBytesMax + s.Seen.gaps()*counterBytesMax
	return len(s.Siblings) <= SiblingsMax && s.Seen.fits() && size <= CoreBytesMax
}

func (c Context) fits() bool {
	return len(c.entries) <= ActorsMax && c.gaps() <= GapsMax && len(c.stamps) <= StampsMax
}
