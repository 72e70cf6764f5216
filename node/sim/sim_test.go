package sim

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/node/sim/model"
)

var (
	seeds  = flag.Int("sim.seeds", 2000, "how many seeds to run")
	seed   = flag.Uint64("sim.seed", 0, "the first seed")
	faults = flag.String("sim.faults", "", "kinds of faults, separated by commas; empty: all; none: none")
	plant  = flag.String("sim.plant", "", "a planted fault (needs the build tag faults)")
	replay = flag.String("sim.script", "", "a script to run instead of seeds")
)

func kinds() []string {
	switch *faults {
	case "":
		return nil
	case "none":
		return []string{}
	}
	return strings.Split(*faults, ",")
}

// TestSim runs seeds, all with their faults, and prints what it went through. A failure prints the shortest script found.
func TestSim(t *testing.T) {
	plantNamed(t, *plant)
	if *replay != "" {
		replayFile(t, *replay)
		return
	}
	r := Runner{First: *seed, Seeds: *seeds, Faults: kinds(), Workers: runtime.GOMAXPROCS(0)}
	report := r.Run()
	if f := report.Failure; f != nil {
		t.Errorf("%s\nrepeat it: go test ./node/sim -run TestSim -sim.seed=%d -sim.seeds=1%s", f, f.Seed, repeatFlags())
	}
	fmt.Print(report)
}

func repeatFlags() (flags string) {
	if *faults != "" {
		flags += " -sim.faults=" + *faults
	}
	if *plant != "" {
		flags = " -tags faults" + flags + " -sim.plant=" + *plant
	}
	return flags
}

func plantNamed(t *testing.T, name string) {
	for _, p := range fault.All() {
		if p.String() == name {
			fault.Plant(p)
			t.Cleanup(func() { fault.Plant(fault.None) })
			return
		}
	}
	if name != "" {
		t.Fatalf("no fault %q; known: %v", name, fault.All())
	}
}

func replayFile(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := model.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range Violations(s) {
		t.Errorf("%s: %v", filepath.Base(path), v)
	}
}

// TestScriptsOfFormerFailures replays what once broke an invariant.
func TestScriptsOfFormerFailures(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.script")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".script"), func(t *testing.T) { replayFile(t, path) })
	}
}
