package ring

import (
	"errors"
	"fmt"
)

// Errors of the operator's commands.
var (
	// ErrNoMember: the cluster does not know the node.
	ErrNoMember = errors.New("ring: no such member")
	// ErrFenced: the node was removed, which is for ever.
	ErrFenced = errors.New("ring: removed for ever")
	// ErrLastOwner: nobody would be left to hold the data.
	ErrLastOwner = errors.New("ring: the last node that may hold data")
)

// Join returns the document with a new member, which gets its share once it has acknowledged a layout. Of a member known already the
// record is renewed and the status kept. ErrFenced for a removed id; ErrTooManyMembers where MembersMax are not removed, or too many ever
// were: of a removed id a small record is kept for ever.
func (s State) Join(m Member) (State, error) {
	known, found := s.Member(m.ID)
	switch {
	case found && known.Status == Removed:
		return s, fmt.Errorf("%w: %v", ErrFenced, m.ID)
	case !found && len(s.Members) >= joinableRecords:
		return s, fmt.Errorf("%w: %d, most of them removed", ErrTooManyMembers, len(s.Members))
	case !found && s.live() >= MembersMax:
		return s, fmt.Errorf("%w: %d", ErrTooManyMembers, s.live())
	}
	m.Status, m.Epoch = max(known.Status, Joining), known.Epoch+1
	return s.With(m), nil
}

// live counts the members that are not removed.
func (s State) live() (n int) {
	for _, m := range s.Members {
		if m.Status != Removed {
			n++
		}
	}
	return n
}

// Leave returns the document in which a member hands its share to the others and then is removed. ErrNoMember, ErrFenced, or ErrLastOwner
// when no other may take the share.
func (s State) Leave(id NodeID) (State, error) { return s.retire(id, Leaving) }

// Remove returns the document in which a member is given up: whatever it alone held is lost, and it is fenced for ever. Changes that
// wait for it go on. Errors as Leave's.
func (s State) Remove(id NodeID) (State, error) { return s.retire(id, Removed) }

func (s State) retire(id NodeID, to Status) (State, error) {
	m, found := s.Member(id)
	switch {
	case !found:
		return s, fmt.Errorf("%w: %v", ErrNoMember, id)
	case m.Status == Removed:
		return s, fmt.Errorf("%w: %v", ErrFenced, id)
	case m.Status >= to:
		return s, nil
	}
	if to == Removed {
		m = m.struckOff()
	} else {
		m.Status, m.Epoch = to, m.Epoch+1
	}
	after := s.With(m)
	for _, other := range after.Members {
		if other.Eligible() {
			return after, nil
		}
	}
	return s, fmt.Errorf("%w: %v", ErrLastOwner, id)
}

// Replace returns the document in which a new member stands in the place of a removed one: in one piece, so that nothing of the
// old one's share goes to others first. Errors as Join's and Remove's; removing a node that is removed already is none.
func (s State) Replace(old NodeID, by Member) (State, error) {
	joined, err := s.Join(by)
	if err != nil {
		return s, err
	}
	after, err := joined.Remove(old)
	if errors.Is(err, ErrFenced) {
		return joined, nil
	}
	if err != nil {
		return s, err
	}
	return after, nil
}

// Hear returns what the node self knows after another told it its document. It is Merge, apart from two fences: a removed node is not
// listened to (ErrFenced), and a member of the layout takes another layout only from its fellows. So a layout that was made by a node
// removed since, and never put in force, finds no way back; see Next.
func Hear(own State, self, from NodeID, told State) (State, error) {
	if own.IsZero() || told.IsZero() {
		return Merge(own, told)
	}
	if own.Removed(from) {
		return own, fmt.Errorf("%w: %v", ErrFenced, from)
	}
	if own.Layout.Has(self) && !own.Layout.Has(from) {
		told.Layout = own.Layout
	}
	return Merge(own, told)
}
