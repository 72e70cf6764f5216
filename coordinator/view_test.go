package coordinator

import (
	"reflect"
	"testing"

	"github.com/holdfastdb/holdfast/ring"
)

// A view holds for a document exactly while nothing has changed that it follows from: of reports only the last acknowledgement does.
func TestAViewHoldsUntilSomethingChangesThatItFollowsFrom(t *testing.T) {
	var members []ring.Member
	for i := range byte(4) {
		members = append(members, ring.Member{ID: ring.NodeID{i + 1}, Status: ring.Active, Weight: 1})
	}
	layout, err := ring.Plan(nil, members[:3], 8, 3)
	if err != nil {
		t.Fatal(err)
	}
	founded := ring.State{Cluster: ring.Cluster{ID: ring.NodeID{9}, Q: 8, N: 3, R: 2, W: 2}, Members: members, Layout: layout}
	admitted := step(t, founded)
	s := step(t, admitted) // partitions change hands
	none := func(ring.NodeID) bool { return false }
	but := func(m ring.Member) func(ring.NodeID) bool { return func(id ring.NodeID) bool { return id != m.ID } }
	more := s
	more.Cluster.W = 3
	elsewhere, heavier := members[1], members[1]
	elsewhere.RESP, elsewhere.Epoch = "10.0.0.1:6379", 1
	heavier.Weight, heavier.Epoch = 2, 1
	for _, c := range []struct {
		what        string
		now         ring.State
		up, suspect func(ring.NodeID) bool
		holds       bool
	}{
		{"nothing", s, allUp, none, true},
		{"some have acknowledged", acknowledged(s, members[2].ID, members[3].ID), allUp, none, true},
		{"all have acknowledged", acknowledged(s), allUp, none, false},
		{"a node is down", s, but(members[2]), none, false},
		{"a node is suspect", s, allUp, but(members[2]), false},
		{"a member is leaving", s.With(ring.Member{ID: members[3].ID, Status: ring.Leaving, Weight: 1, Epoch: 1}), allUp, none, false},
		{"a member has another address", s.With(elsewhere), allUp, none, false},
		{"a member has another weight", s.With(heavier), allUp, none, false},
		{"the next layout", step(t, s), allUp, none, false},
		{"another W", more, allUp, none, false},
	} {
		v := NewViewWithSuspects(members[0].ID, s, allUp, none)
		fresh := NewViewWithSuspects(members[0].ID, c.now, c.up, c.suspect)
		if got := v.Holds(c.now, c.up, c.suspect); got != c.holds {
			t.Errorf("%s: holds %v", c.what, got)
		}
		if c.holds && (!reflect.DeepEqual(v.places, fresh.places) || v.Version != fresh.Version) {
			t.Errorf("%s: the view holds, and a new one differs", c.what)
		}
		for _, m := range members {
			if fresh.Up(m.ID) != c.up(m.ID) {
				t.Errorf("%s: %v is up: %v", c.what, m.ID, fresh.Up(m.ID))
			}
		}
	}
}
