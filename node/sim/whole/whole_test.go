package whole

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	seeds  = flag.Int("whole.seeds", 5, "how many seeds TestSeeds runs")
	seed   = flag.Uint64("whole.seed", 1, "the first of them")
	faults = flag.String("whole.faults", "", "the only faults to inject, by name, with commas; empty: all; none: none")
	out    = flag.String("whole.out", "", "the folder that keeps what failed; empty: one that is removed")
	shrink = flag.Bool("whole.shrink", true, "leave out of a script that fails what it does not need")
	script = flag.String("whole.script", "", "a script for TestScript to play")
)

func kindsOf(t *testing.T, text string) []string {
	if text == "" {
		return nil
	}
	kinds := strings.Split(text, ",")
	for _, k := range kinds {
		if !slices.Contains(append(Kinds(), none), k) {
			t.Fatalf("-whole.faults: %q is none of %v", k, Kinds())
		}
	}
	return kinds
}

func TestSeeds(t *testing.T) {
	var sum Summary
	for s := *seed; s < *seed+uint64(*seeds); s++ {
		t.Run(fmt.Sprintf("seed=%d", s), func(t *testing.T) {
			r := Play(t, Generate(s, kindsOf(t, *faults)))
			sum.Add(r)
			failed(t, r)
		})
	}
	t.Log(sum)
}

func TestScript(t *testing.T) {
	if *script == "" {
		t.Skip("no -whole.script")
	}
	failed(t, Play(t, parseFile(t, *script)))
}

func parseFile(t *testing.T, path string) *Script {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestScriptsOfFormerFailures replays what once broke an invariant.
func TestScriptsOfFormerFailures(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.script")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".script"), func(t *testing.T) { failed(t, Play(t, parseFile(t, path))) })
	}
}

// failed reports what a run violated, shortens its script and keeps everything.
func failed(t *testing.T, r *Result) {
	if len(r.Violations) == 0 {
		return
	}
	dir := *out
	if dir == "" {
		dir = t.TempDir()
	}
	shortest := r
	if *shrink {
		shortest = Shrink(r, func(s *Script) *Result { return Play(t, s) })
	}
	where, err := shortest.Keep(dir)
	if err != nil {
		t.Error(err)
	}
	t.Errorf("%d violations, the first: %s\n%s# kept in %s\n# repeat: go test ./node/sim/whole -run TestScript -v -whole.script=%s/script",
		len(shortest.Violations), shortest.Violations[0], shortest.Script, where, where)
}

func TestScriptsAreReadAsWritten(t *testing.T) {
	for s := range uint64(50) {
		want := Generate(s, nil).String()
		got, err := Parse(strings.NewReader("# a comment\n\n" + want))
		if err != nil || got.String() != want {
			t.Fatalf("seed %d: %v\n%s\nwant\n%s", s, err, got, want)
		}
	}
}

// A fault of a node that does not join is none.
func TestAScriptWithoutAJoinHasNoFaultsOfItsNode(t *testing.T) {
	s, err := Parse(strings.NewReader("nodes 3\nlasts 9s\nfault 1s 1s split 4,1 0\nfault 2s 1s join 4 0\nfault 3s 1s kill 2 0\nfault 4s 1s kill 4 0"))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.without(1).Faults; len(got) != 1 || got[0].Nodes[0] != 2 || len(s.Faults) != 4 {
		t.Fatalf("left: %v", got)
	}
}

func TestBrokenScriptsAreRefused(t *testing.T) {
	for _, text := range []string{"", "seed 1\nnodes 3", "nodes 3\nlasts 1s\nfault 1s 1s split 4 0", "nodes 3\nlasts 1s\nfault 1s 1s fire 1 0",
		"nodes 3\nlasts 1s\nfault 1s 1s join 10 0", "nodes 3\nlasts 1s\nfault 1s 1s replace 4 0", "nodes x", "what 1"} {
		if s, err := Parse(strings.NewReader(text)); err == nil {
			t.Errorf("%q is read as\n%s", text, s)
		}
	}
}

// Summary is what several runs went through.
type Summary struct {
	seeds, operations, violations int
	virtual                       time.Duration
	injected                      map[string]int
}

// Add counts a run in.
func (s *Summary) Add(r *Result) {
	s.seeds++
	s.operations += r.Operations
	s.virtual += r.Virtual
	if len(r.Violations) > 0 {
		s.violations++
	}
	if s.injected == nil {
		s.injected = map[string]int{}
	}
	for k, n := range r.Injected {
		s.injected[k] += n
	}
}

// String is the last line of a run.
func (s Summary) String() string {
	var kinds []string
	for _, k := range slices.Sorted(maps.Keys(s.injected)) {
		kinds = append(kinds, fmt.Sprintf("%s %d", k, s.injected[k]))
	}
	return fmt.Sprintf("whole: %d seeds, %.1f simulated hours, faults: %s; %d operations checked, %d seeds failed",
		s.seeds, s.virtual.Hours(), strings.Join(kinds, ", "), s.operations, s.violations)
}
