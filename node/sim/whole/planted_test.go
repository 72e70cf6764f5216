//go:build faults

package whole

import (
	"flag"
	"slices"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/fault"
)

var planted = flag.String("whole.planted", "", "the only faults to plant, by name, with commas; empty: all that this simulator is to find")

const plantedSeeds = 60 // each bug has at least so many to be found in

// rare are the bugs that need more seeds than a run of this simulator has; that of the model finds them.
func rare() []fault.Point {
	return []fault.Point{fault.ForgetSequence, fault.ResumeUnconfirmed, fault.ForgetStamps, fault.SettleUnderWay, fault.DigestSeenOnly,
		fault.DropChangedHint, fault.CancelUncovered, fault.ConfirmBeforeSync, fault.ReapWhileDown, fault.CountTogether, fault.ReadUnheld, fault.DeleteUnconfirmed,
		fault.AnswerEarly}
}

// Each bug that can be planted in the code of the nodes breaks an invariant within some seeds.
func TestPlantedFaultsAreFound(t *testing.T) {
	for _, p := range fault.All() {
		if *planted == "" && slices.Contains(rare(), p) || *planted != "" && !strings.Contains(","+*planted+",", ","+p.String()+",") {
			continue
		}
		t.Run(p.String(), func(t *testing.T) {
			fault.Plant(p)
			defer fault.Plant(fault.None)
			for s := *seed; s < *seed+max(plantedSeeds, uint64(*seeds)); s++ {
				if r := Play(t, Generate(s, nil)); len(r.Violations) > 0 {
					t.Logf("seed %d, %d violations, the first: %s", s, len(r.Violations), r.Violations[0])
					return
				}
			}
			t.Errorf("not found in %d seeds", max(plantedSeeds, *seeds))
		})
	}
}
