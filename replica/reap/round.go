package reap

import (
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/ring"
)

// Phase is how far a round has come.
type Phase uint8

// The phases; see the package comment.
const (
	Propose Phase = iota
	Quiet
	Clear
	Last
	Commit
	Release
	Over
)

// Round is what the node that reaps knows of one round. Its driver asks the nodes of Asks what the phase says, tells what came back
// by Answer, and calls Wait with the time when nobody is to be asked. A round of which no key is left before Commit ends by letting go of
// what the primaries hold for it: two that met would otherwise keep each other out again and again, as long as holds last.
type Round struct {
	phase     Phase
	primaries []ring.NodeID
	members   []ring.NodeID
	open      []ring.NodeID // have not answered in this phase
	refused   []Refusal     // by key
	quiet     time.Duration
	until     time.Duration // end of a quiet phase
}

// NewRound begins a round over so many keys. primaries are all of the partition's, this node included; members all that are not
// removed; quiet is longer than any deadline. It copies nothing: the slices stay as they are.
func NewRound(primaries, members []ring.NodeID, keys int, quiet time.Duration) *Round {
	return &Round{primaries: primaries, members: members, open: slices.Clone(primaries), refused: make([]Refusal, keys), quiet: quiet}
}

// Phase returns the phase of the round.
func (r *Round) Phase() Phase { return r.phase }

// Asks returns who has still to be asked in this phase; nobody in a quiet one.
func (r *Round) Asks() []ring.NodeID { return r.open }

// Until returns when a quiet phase ends.
func (r *Round) Until() time.Duration { return r.until }

// Keys returns the keys, by number, that nobody has refused.
func (r *Round) Keys() (left []int) {
	for i, why := range r.refused {
		if why == None {
			left = append(left, i)
		}
	}
	return left
}

// Refused returns why each key was refused; None where it was not.
func (r *Round) Refused() []Refusal { return r.refused }

// Answer takes what a node said of each of Keys, in that order, at now. Any other number of answers refuses all.
func (r *Round) Answer(node ring.NodeID, said []Refusal, now time.Duration) {
	at := slices.Index(r.open, node)
	if at < 0 {
		return
	}
	r.open = slices.Delete(r.open, at, at+1)
	left := r.Keys()
	for i, key := range left {
		switch {
		case len(said) != len(left):
			r.refuse(key, Failed)
		default:
			r.refuse(key, said[i])
		}
	}
	r.advance(now)
}

// refuse drops a key from the round. Once some nodes may have forgotten, the others' refusals only count.
func (r *Round) refuse(key int, why Refusal) {
	if r.refused[key] == None {
		r.refused[key] = why
	}
}

// Lost takes that a node did not answer. Before Commit nothing may be forgotten then; in it, that node's tombstones stay, for its own next round.
func (r *Round) Lost(node ring.NodeID, now time.Duration) {
	said := make([]Refusal, len(r.Keys()))
	if r.phase != Commit {
		for i := range said {
			said[i] = Unreachable
		}
	}
	r.Answer(node, said, now)
}

func (r *Round) advance(now time.Duration) {
	switch {
	case r.phase < Commit && len(r.Keys()) == 0:
		r.phase, r.open = Release, slices.Clone(r.primaries)
	case len(r.open) > 0:
	case r.phase == Propose || r.phase == Clear:
		r.phase++
		r.until = now + r.quiet
	case r.phase == Commit || r.phase == Release:
		r.phase = Over
	}
}

// Abandon gives up all keys that are left, unless some node has already answered to Commit.
func (r *Round) Abandon(why Refusal) {
	if r.phase > Commit || r.phase == Commit && len(r.open) < len(r.primaries) {
		return
	}
	for _, key := range r.Keys() {
		r.refuse(key, why)
	}
	r.phase, r.open = Release, slices.Clone(r.primaries)
}

// Wait ends a quiet phase whose time has come.
func (r *Round) Wait(now time.Duration) {
	switch {
	case now < r.until:
	case r.phase == Quiet:
		r.phase, r.open = Clear, slices.Clone(r.members)
	case r.phase == Last:
		r.phase, r.open = Commit, slices.Clone(r.primaries)
	}
}
