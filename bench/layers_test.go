package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each layer that bench/layers compares has benchmarks: it leaves out what has none, since older commits have not all of them.
func TestLayersHaveBenchmarks(t *testing.T) {
	script, err := os.ReadFile("layers")
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`(?m)^layers=\((.*)\)$`).FindSubmatch(script)
	if list == nil {
		t.Fatal("bench/layers names no layers")
	}
	for _, l := range strings.Fields(string(list[1])) {
		files, _ := filepath.Glob(filepath.Join("..", l, "*_test.go"))
		found := false
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			found = found || regexp.MustCompile(`(?m)^func Benchmark`).Match(text)
		}
		if !found {
			t.Errorf("no benchmark in %s", l)
		}
	}
}

func TestLayersRefuseWhatIsNoCommit(t *testing.T) {
	cmd := exec.Command("bench/layers", "no-such-commit", t.TempDir())
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "no-such-commit is no commit of this repository") {
		t.Fatalf("%v, %s", err, out)
	}
}
