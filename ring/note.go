package ring

import (
	"encoding/binary"
	"fmt"
)

// Note is what a node tells others in a push/pull: the ring document, or, while it has no cluster, the empty nodes that it knows.
// A note never holds both.
type Note struct {
	State     State
	Newcomers []Newcomer // sorted by id, no two of one
}

// MergeNotes returns what two notes say together: the merged documents; or, where neither has one, all newcomers. A
// document silences newcomers: who reads it learns that there is a cluster to join, or that it is a member already. It is commutative,
// associative and idempotent. Errors as Merge's, and ErrTooManyMembers beyond NewcomersMax.
func MergeNotes(a, b Note) (Note, error) {
	if !a.State.IsZero() || !b.State.IsZero() {
		s, err := Merge(a.State, b.State)
		return Note{State: s}, err
	}
	n := Note{Newcomers: mergeNewcomers(a.Newcomers, b.Newcomers)}
	if len(n.Newcomers) > NewcomersMax {
		return Note{}, fmt.Errorf("%w: %d newcomers", ErrTooManyMembers, len(n.Newcomers))
	}
	return n, nil
}

// Encode returns the note's bytes, the same for equal notes.
func (n Note) Encode() []byte {
	dst := []byte{codecVersion, 0}
	if !n.State.IsZero() {
		dst[1] = 1
		return appendState(dst, n.State)
	}
	dst = binary.AppendUvarint(dst, uint64(len(n.Newcomers)))
	for _, newcomer := range n.Newcomers {
		dst = appendNewcomer(dst, newcomer)
	}
	return dst
}

// DecodeNote reads what Encode wrote, as DecodeState does; ErrCorrupt for anything else.
func DecodeNote(b []byte) (Note, error) {
	n, err := decode(b, (*reader).note)
	if err == nil {
		err = n.check()
	}
	if err != nil {
		return Note{}, err
	}
	return n, nil
}

func (r *reader) note() (n Note) {
	if r.number(1) == 1 {
		n.State = r.state()
		if n.State.IsZero() {
			r.fail("empty state")
		}
		return n
	}
	n.Newcomers = make([]Newcomer, r.count(NewcomersMax, memberBytesMin))
	for i := range n.Newcomers {
		n.Newcomers[i] = r.newcomer()
	}
	return n
}

func (n Note) check() error {
	for i, newcomer := range n.Newcomers {
		if err := newcomer.check(); err != nil {
			return err
		}
		if i > 0 && n.Newcomers[i-1].Member.ID.Compare(newcomer.Member.ID) >= 0 {
			return fmt.Errorf("%w: newcomers out of order", ErrCorrupt)
		}
	}
	return n.State.Check()
}
