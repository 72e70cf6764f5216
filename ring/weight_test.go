package ring

import (
	"math/rand/v2"
	"testing"
)

// Three nodes of weight 1 and three of 2, as they are founded together and as they come one after the other: shares of 1 and 2,
// within one partition, of copies and of first places.
func TestSharesOfWeightsOneAndTwo(t *testing.T) {
	const q, n = 256, 3
	members := testMembers(rand.New(rand.NewPCG(6, 6)), 6, 0)
	for i := range members {
		members[i].Weight = 1 + i%2
	}
	checkEven(t, mustPlan(t, nil, members, q, n), members, q, n)
	var grown *Layout
	for have := 3; have <= 6; have++ {
		grown = mustPlan(t, grown, members[:have], q, n)
	}
	checkPlacement(t, grown, members, q, n)
	checkEven(t, grown, members, q, n)
	c := count(grown)
	for _, m := range members {
		t.Logf("%s of weight %d: %d copies, %d first places", m.Name, m.Weight, c.copies[m.ID], c.firsts[m.ID])
	}
}
