package house

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The README's sixty seconds, line by line as they are printed there, on a dev of its own.
func TestTheReadmesSixtySecondsAreTrue(t *testing.T) {
	needs(t, "bash", "redis-cli", "ps", "sed")
	steps := readmeSteps(t)
	d := startDev(t)
	dir := t.TempDir()
	script := exec.Command("bash", "-c", scriptOf(steps, d))
	script.Dir = dir
	complaints, err := script.CombinedOutput()
	if err != nil {
		t.Fatalf("bash: %v\n%s", err, complaints)
	}
	for i, s := range steps {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(strings.Fields(string(b)), " "); !s.agrees(got) {
			t.Errorf("%s\nprinted %q, and should have %q; on stderr:\n%s", s.command, got, s.want, complaints)
		}
	}
}

// step is one command of the README and what it prints, in words; "" is nothing.
type step struct{ command, want string }

// agrees compares what was printed. "(a context)" stands for any.
func (s step) agrees(got string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(s.want), `\(a context\)`, `[A-Za-z0-9_-]{20,}`)
	return regexp.MustCompile("^" + pattern + "$").MatchString(got)
}

// readmeSteps returns the commands of the README's block.
func readmeSteps(t *testing.T) (steps []step) {
	t.Helper()
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(b), "\n## Sixty seconds\n")
	_, block, opened := strings.Cut(section, "```sh\n")
	block, _, closed := strings.Cut(block, "\n```")
	if !found || !opened || !closed {
		t.Fatal("the README has no block of commands below Sixty seconds")
	}
	for line := range strings.Lines(block) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		command, want, _ := strings.Cut(line, "# -> ")
		steps = append(steps, step{strings.TrimSpace(command), strings.TrimSpace(want)})
	}
	if len(steps) < 10 {
		t.Fatalf("only %d commands below Sixty seconds", len(steps))
	}
	return steps
}

// scriptOf runs the steps in one shell, which keeps what each printed in a file named by its number.
func scriptOf(steps []step, d *dev) string {
	var b strings.Builder
	fmt.Fprintf(&b, "redis-cli() { command redis-cli -p %s \"$@\"; }\n", d.resp[0])
	ports := strings.NewReplacer("6379", d.resp[0], "6380", d.resp[1], "6381", d.resp[2])
	for i, s := range steps {
		fmt.Fprintf(&b, "{ %s\n} >%d || echo failed >>%d\n", ports.Replace(s.command), i, i)
	}
	return b.String()
}
