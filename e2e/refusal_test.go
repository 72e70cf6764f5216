//go:build linux

package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const exitRefused = 2

// TestAStartThatCannotGoWellIsRefused wants one clear line on stderr, exit code 2, and not a byte changed.
func TestAStartThatCannotGoWellIsRefused(t *testing.T) {
	dir := t.TempDir()
	c := plan(t, 1, dir)
	m := c.nodes[0]
	m.start(t)
	c.awaitAlive(t)
	must(t, m.client(t), "SET", "k", "v")
	for _, flag := range []string{"resp", "http", "peer", "gossip"} {
		t.Run("a taken port: --"+flag, func(t *testing.T) {
			second := plan(t, 1, t.TempDir()).nodes[0]
			taken := map[string]string{"resp": m.resp(), "http": m.http(), "peer": m.peer(), "gossip": m.gossip()}[flag]
			second.flags = append(second.flags, "--"+flag, taken)
			second.refused(t, taken+" is taken", fmt.Sprintf("(pid %d)", m.cmd.Process.Pid), "--"+flag)
			if _, err := os.Stat(second.dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the data directory was made all the same: %v", err)
			}
		})
	}
	t.Run("a directory in use", func(t *testing.T) {
		second := plan(t, 1, dir).nodes[0]
		second.refused(t, second.dir, "another process has it open")
	})
	m.terminate(t)
	for _, bad := range []struct {
		name  string
		flags []string
		want  []string
	}{
		{"a directory of another cluster", []string{"--cluster", "other"}, []string{`cluster "holdfast"`, `"other"`, m.dir}},
		{"another number of copies", []string{"--n", "5"}, []string{"--n 5", "founded with 3"}},
		{"another number of partitions", []string{"--partitions", "64"}, []string{"--partitions 64", "founded with 256"}},
		{"a bad flag", []string{"--frob"}, []string{"-frob", "--help"}},
		{"a listener that the world can reach", []string{"--resp", "0.0.0.0:20001"}, []string{"--insecure"}},
	} {
		t.Run(bad.name, func(t *testing.T) {
			again := *m
			again.flags = slices.Concat(m.flags, bad.flags)
			before := digest(t, m.dir)
			again.refused(t, bad.want...)
			if after := digest(t, m.dir); after != before {
				t.Errorf("the directory was changed:\nbefore %s\nafter  %s", before, after)
			}
		})
	}
	t.Run("a newer format", func(t *testing.T) {
		mark := filepath.Join(m.dir, "format")
		was := replaced(t, mark, []byte("holdfast data format 99\n"))
		before := digest(t, m.dir)
		m.refused(t, m.dir, "newer version")
		if after := digest(t, m.dir); after != before {
			t.Errorf("the directory was changed:\nbefore %s\nafter  %s", before, after)
		}
		replaced(t, mark, was)
	})
	m.start(t)
	c.awaitAlive(t)
	if got := valuesOf(must(t, m.client(t), "GET", "k")); !slices.Equal(got, []string{"v"}) {
		t.Errorf("after all that, k is %q", got)
	}
}

// refused runs the node and wants it to end at once, with exit code 2 and one line that contains all of these.
func (m *member) refused(t *testing.T, want ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), m.program, m.arguments()...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitRefused {
		t.Errorf("ended with %v, want exit code %d", err, exitRefused)
	}
	text := stderr.String()
	if strings.Count(text, "\n") != 1 {
		t.Errorf("want one line, got:\n%s", text)
	}
	for _, part := range want {
		if !strings.Contains(text, part) {
			t.Errorf("want %q in: %s", part, text)
		}
	}
	t.Logf("%s", strings.TrimSpace(text))
}

// digest names every file under a directory, with its size and a hash over all.
func digest(t *testing.T, dir string) string {
	t.Helper()
	hash, files := sha256.New(), 0
	if err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files++
		fmt.Fprintf(hash, "%s %d\n%s", path, len(content), content)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d files %x", files, hash.Sum(nil)[:8])
}

// replaced writes a file and returns what it held.
func replaced(t *testing.T, path string, with []byte) []byte {
	t.Helper()
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, with, 0o600); err != nil {
		t.Fatal(err)
	}
	return was
}
