//go:build faults

package sim

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/holdfastdb/holdfast/fault"
)

// plantedSeedsMax is within how many seeds a planted fault must be found.
const plantedSeedsMax = 20000

// TestEveryPlantedFaultIsFound plants each fault in turn. Its table is that of docs/consistency.md.
func TestEveryPlantedFaultIsFound(t *testing.T) {
	t.Cleanup(func() { fault.Plant(fault.None) })
	for _, p := range fault.All() {
		t.Run(p.String(), func(t *testing.T) {
			fault.Plant(p)
			report := Runner{Seeds: plantedSeedsMax, Workers: runtime.GOMAXPROCS(0)}.Run()
			if report.Failure == nil {
				t.Fatalf("not found in %d seeds", plantedSeedsMax)
			}
			v := report.Failure.Violations[0]
			fmt.Printf("| %s | %d | %d, %s | %d |\n", p, report.Failure.Seed+1, v.Invariant, v.Name, len(report.Failure.Script.Steps))
		})
	}
}
