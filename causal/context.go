package causal

import (
	"cmp"
	"slices"

	"github.com/holdfastdb/holdfast/fault"
)

// Context is a set of dots, and beside it a set of remembered stamps. The zero value is empty. A Context is immutable:
// every method returns a new one, which may share memory with the old.
//
// Per actor it keeps how far the dots are contiguous, and the counters beyond. Gaps are needed because the context that
// a put returns covers what its client was shown, and the new dot, but nothing that its coordinator held besides.
type Context struct {
	entries []entry // by actor, ascending; none empty
	stamps  []Stamp // ascending, none zero
}

// entry holds the counters 1 to base of one actor, and those of extra, which are ascending and all above base+1.
type entry struct {
	actor Actor
	base  uint64
	extra []uint64
}

func (e entry) has(n uint64) bool {
	if n <= e.base {
		return n > 0
	}
	_, ok := slices.BinarySearch(e.extra, n)
	return ok
}

func (e entry) max() uint64 {
	if n := len(e.extra); n > 0 {
		return e.extra[n-1]
	}
	return e.base
}

// covers relies on the gap after base: whoever has o's contiguous counters has them as its own contiguous counters.
func (e entry) covers(o entry) bool {
	return o.base <= e.base && !slices.ContainsFunc(o.extra, func(n uint64) bool { return !e.has(n) })
}

func (e entry) join(o entry) entry {
	switch {
	case e.covers(o):
		return e
	case o.covers(e):
		return o
	}
	extra := union(e.extra, o.extra, cmp.Compare[uint64])
	return entry{e.actor, max(e.base, o.base), extra}.compact()
}

// compact moves base over the counters that have become contiguous, and drops what it covers. It only shortens extra.
func (e entry) compact() entry {
	for len(e.extra) > 0 && e.extra[0] <= e.base+1 {
		e.base = max(e.base, e.extra[0])
		e.extra = e.extra[1:]
	}
	if len(e.extra) == 0 {
		e.extra = nil
	}
	return e
}

// entryOf returns the entry that holds the one counter n.
func entryOf(a Actor, n uint64) entry {
	if contiguous(n) {
		return entry{actor: a, base: n}
	}
	return entry{actor: a, extra: []uint64{n}}
}

// contiguous reports whether the one counter n leaves no gap before it.
func contiguous(n uint64) bool { return n == 1 || fault.On(fault.PlainVersionVector) }

// only returns the entries of a context of one dot, in one piece of memory.
func only(d Dot) []entry {
	if contiguous(d.Counter) {
		return []entry{{actor: d.Actor, base: d.Counter}}
	}
	made := &struct {
		entry [1]entry
		extra [1]uint64
	}{extra: [1]uint64{d.Counter}}
	made.entry[0] = entry{actor: d.Actor, extra: made.extra[:]}
	return made.entry[:]
}

// IsZero reports whether c holds neither dots nor stamps.
func (c Context) IsZero() bool { return len(c.entries) == 0 && len(c.stamps) == 0 }

func (c Context) find(a Actor) (int, bool) {
	return slices.BinarySearchFunc(c.entries, a, func(e entry, a Actor) int { return e.actor.Compare(a) })
}

// Has reports whether c has seen the dot. O(log actors).
func (c Context) Has(d Dot) bool {
	i, ok := c.find(d.Actor)
	return ok && c.entries[i].has(d.Counter)
}

// HasStamp reports whether c remembers the stamp.
func (c Context) HasStamp(t Stamp) bool {
	if len(c.stamps) == 0 {
		return false
	}
	_, ok := slices.BinarySearchFunc(c.stamps, t, Stamp.Compare)
	return ok
}

// Max returns the highest counter of the actor that c has seen, 0 if none.
func (c Context) Max(a Actor) uint64 {
	if i, ok := c.find(a); ok {
		return c.entries[i].max()
	}
	return 0
}

// Add returns c with the dot. A counter of 0 or above CounterMax, or a zero actor, panics. One allocation if c lacks the
// dot, two if moreover c knows actors and the dot leaves a gap.
func (c Context) Add(d Dot) Context {
	if d.Actor.IsZero() || d.Counter == 0 || d.Counter > CounterMax {
		panic("causal: no such dot")
	}
	if len(c.entries) == 0 {
		c.entries = only(d)
		return c
	}
	i, ok := c.find(d.Actor)
	if !ok {
		c.entries = inserted(c.entries, i, entryOf(d.Actor, d.Counter))
		return c
	}
	if c.entries[i].has(d.Counter) {
		return c
	}
	c.entries = slices.Clone(c.entries)
	c.entries[i] = c.entries[i].add(d.Counter)
	return c
}

func (e entry) add(n uint64) entry {
	if fault.On(fault.PlainVersionVector) {
		return entry{actor: e.actor, base: max(e.base, n)}
	}
	if n == e.base+1 {
		e.base = n
		return e.compact()
	}
	return e.join(entryOf(e.actor, n))
}

// AddStamp returns c remembering the stamp. The zero stamp is not remembered.
func (c Context) AddStamp(t Stamp) Context {
	i, ok := slices.BinarySearchFunc(c.stamps, t, Stamp.Compare)
	if !ok && !t.IsZero() && !fault.On(fault.ForgetStamps) {
		c.stamps = inserted(c.stamps, i, t)
	}
	return c
}

// Join returns the union: the dots and the stamps of both. Without allocation where one holds all that the other holds.
func (c Context) Join(o Context) Context {
	return Context{joinEntries(c.entries, o.entries), union(c.stamps, o.stamps, Stamp.Compare)}
}

// Covers reports whether c has seen every dot of o. Stamps are not compared.
func (c Context) Covers(o Context) bool { return coverEntries(c.entries, o.entries) }

// Equal reports whether both hold the same dots and the same stamps.
func (c Context) Equal(o Context) bool {
	return slices.Equal(c.stamps, o.stamps) && slices.EqualFunc(c.entries, o.entries, func(e, f entry) bool {
		return e.actor == f.actor && e.base == f.base && slices.Equal(e.extra, f.extra)
	})
}

// Each calls f with every actor, in ascending order, and the highest counter seen of it, until f returns false.
func (c Context) Each(f func(a Actor, max uint64) bool) {
	for _, e := range c.entries {
		if !f(e.actor, e.max()) {
			return
		}
	}
}

// Apart returns c in memory of its own, for who keeps it longer than the state that it was decoded with: they may be one piece, which
// keeps the values. One allocation.
func (c Context) Apart() Context {
	c.entries = slices.Clone(c.entries)
	return c
}

// Prune returns c without the stamps that are settled. Dots are never pruned. A nil settled settles nothing.
func (c Context) Prune(settled func(Stamp) bool) Context {
	if settled == nil {
		return c
	}
	return c.dropStamps(settled)
}

func (c Context) dropStamps(drop func(Stamp) bool) Context {
	i := slices.IndexFunc(c.stamps, drop)
	if i < 0 {
		return c
	}
	kept := append(make([]Stamp, 0, len(c.stamps)-1), c.stamps[:i]...)
	for _, t := range c.stamps[i+1:] {
		if !drop(t) {
			kept = append(kept, t)
		}
	}
	c.stamps = kept
	return c
}

// gaps returns how many counters stand beyond the contiguous ones, over all actors.
func (c Context) gaps() int {
	n := 0
	for _, e := range c.entries {
		n += len(e.extra)
	}
	return n
}

// coverEntries reports whether every entry of b is covered by one of a.
func coverEntries(a, b []entry) bool {
	if len(b) > len(a) {
		return false
	}
	for _, e := range b {
		for len(a) > 0 && a[0].actor.Compare(e.actor) < 0 {
			a = a[1:]
		}
		if len(a) == 0 || a[0].actor != e.actor || !a[0].covers(e) {
			return false
		}
	}
	return true
}

func joinEntries(a, b []entry) []entry {
	switch {
	case coverEntries(a, b):
		return a
	case coverEntries(b, a):
		return b
	}
	out := make([]entry, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch order := a[0].actor.Compare(b[0].actor); {
		case order < 0:
			out, a = append(out, a[0]), a[1:]
		case order > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0].join(b[0])), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// union returns the ascending union of two ascending sets: one of them where it holds the other.
func union[T any](a, b []T, compare func(T, T) int) []T {
	switch {
	case subset(b, a, compare):
		return a
	case subset(a, b, compare):
		return b
	}
	out := make([]T, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		order := compare(a[0], b[0])
		if order <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out = append(out, b[0])
		}
		if order >= 0 {
			b = b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// subset reports whether every element of a is in b; both ascending.
func subset[T any](a, b []T, compare func(T, T) int) bool {
	if len(a) > len(b) {
		return false
	}
	for _, x := range a {
		for len(b) > 0 && compare(b[0], x) < 0 {
			b = b[1:]
		}
		if len(b) == 0 || compare(b[0], x) != 0 {
			return false
		}
	}
	return true
}

// inserted returns a copy of s with x at i.
func inserted[T any](s []T, i int, x T) []T {
	out := make([]T, 0, len(s)+1)
	out = append(out, s[:i]...)
	out = append(out, x)
	return append(out, s[i:]...)
}
