package causal

import "cmp"

// Actor is an identity under which dots are minted, for as long as its node forgets nothing of the key.
type Actor struct {
	Boot uint64 // random bits that the node drew at start
	Seq  uint64 // from a sequence of the whole node
}

// IsZero reports whether a is no actor.
func (a Actor) IsZero() bool { return a == Actor{} }

// Compare returns -1, 0 or +1: the total order of actors, by Boot, then Seq.
func (a Actor) Compare(b Actor) int {
	if c := cmp.Compare(a.Boot, b.Boot); c != 0 {
		return c
	}
	return cmp.Compare(a.Seq, b.Seq)
}

// Dot names one write event. Counters of an actor start at 1 for each key.
type Dot struct {
	Actor   Actor
	Counter uint64
}

// Compare returns -1, 0 or +1: the total order of dots, by actor, then counter. It says nothing of causality.
func (d Dot) Compare(e Dot) int {
	if c := d.Actor.Compare(e.Actor); c != 0 {
		return c
	}
	return cmp.Compare(d.Counter, e.Counter)
}
