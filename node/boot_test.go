package node

import (
	"testing"

	"github.com/holdfastdb/holdfast/ring"
)

func TestBootIsConfirmedByMostOfTheMembersThatTheDirectoryKnows(t *testing.T) {
	self, a, b, c, d := ring.NodeID{1}, ring.NodeID{2}, ring.NodeID{3}, ring.NodeID{4}, ring.NodeID{5}
	members := func(ids ...ring.NodeID) (s ring.State) {
		for _, id := range append(ids, self) {
			s = s.With(ring.Member{ID: id, Status: ring.Active})
		}
		return s
	}
	three, five := members(a, b), members(a, b, c, d)
	shrunk := five.With(ring.Member{ID: c, Status: ring.Removed, Epoch: 1}).With(ring.Member{ID: d, Status: ring.Removed, Epoch: 1})
	for _, tt := range []struct {
		proves  string
		saved   ring.State
		answers []confirmation
		want    freshness
	}{
		{"nobody is in reach", three, nil, unconfirmed},
		{"both others have not seen it", three, []confirmation{{a, fresh}, {b, fresh}}, fresh},
		{"the other one may know what this one does not", three, []confirmation{{a, fresh}}, unconfirmed},
		{"one did not answer", three, []confirmation{{a, fresh}, {b, unconfirmed}}, unconfirmed},
		{"one has seen it", three, []confirmation{{a, fresh}, {b, stale}}, stale},
		{"one has seen it, and one did not answer", five, []confirmation{{a, unconfirmed}, {b, stale}}, stale},
		{"half is not most", five, []confirmation{{a, fresh}, {b, fresh}}, unconfirmed},
		{"most are enough", five, []confirmation{{a, fresh}, {b, fresh}, {c, fresh}}, fresh},
		{"all of two that are left", shrunk, []confirmation{{a, fresh}, {b, fresh}}, fresh},
		{"newcomers cannot know", three, []confirmation{{a, fresh}, {c, fresh}, {d, fresh}}, unconfirmed},
		{"a newcomer does know", three, []confirmation{{a, fresh}, {b, fresh}, {c, stale}}, stale},
		{"alone in its ring", members(), nil, unconfirmed},
	} {
		if got := confirmed(tt.saved, self, tt.answers); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.proves, got, tt.want)
		}
	}
}
