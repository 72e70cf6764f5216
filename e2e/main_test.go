//go:build linux

package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// full is set by -e2e.full.
var full = flag.Bool("e2e.full", false, "run the full sizes")

// sized returns the first in everyday runs, the second in full ones.
func sized[T any](short, long T) T {
	if *full {
		return long
	}
	return short
}

// bench is what all tests share: the program, built once, and a thread that starts processes.
var bench = struct {
	dir    string
	spawns chan spawn
}{dir: filepath.Join(os.TempDir(), fmt.Sprintf("holdfast-e2e-%d", os.Getpid())), spawns: make(chan spawn)}

// spawn asks the spawning thread to start a process.
type spawn struct {
	cmd  *exec.Cmd
	done chan<- error
}

func TestMain(m *testing.M) {
	flag.Parse()
	go spawnAll()
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		_ = os.RemoveAll(bench.dir)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(bench.dir)
	os.Exit(code)
}

// spawnAll starts processes from one thread that ends with the test, not before: the kernel kills a child with Pdeathsig when
// the thread that started it ends.
func spawnAll() {
	runtime.LockOSThread()
	for s := range bench.spawns {
		s.done <- s.cmd.Start()
	}
}

// start starts a process through the spawning thread.
func start(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	bench.spawns <- spawn{cmd, done}
	return <-done
}

// build makes the programs under test as a user would.
func build() error {
	if err := os.MkdirAll(bench.dir, 0o755); err != nil {
		return err
	}
	return goBuild(bench.dir, nil, "./cmd/holdfast", "./cmd/cart")
}

// goBuild builds packages of this module into a directory, or into a file if there is one package and no such directory.
func goBuild(out string, env []string, packages ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-o", out}, packages...)...)
	cmd.Dir = ".." // the module's root
	cmd.Env = append(os.Environ(), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, text)
	}
	return nil
}

// program returns the path of a program under test.
func program(name string) string { return filepath.Join(bench.dir, name) }

// inCI reports whether a missing tool is a failure instead of a reason to skip.
func inCI() bool { return os.Getenv("CI") == "true" }

// lacking skips the test for want of something, or fails it where nothing may be missing.
func lacking(t *testing.T, what string) {
	t.Helper()
	if inCI() {
		t.Fatalf("CI=true, and yet: %s", what)
	}
	t.Skip(what)
}
