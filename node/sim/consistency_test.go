package sim

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/node/sim/check"
)

// docs/consistency.md names the check behind each promise: all of them must exist, and none may be missing there.
func TestConsistencyPageNamesWhatExists(t *testing.T) {
	page, err := os.ReadFile("../../docs/consistency.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	known := testNames(t, "../..")
	for _, name := range regexp.MustCompile(`Test[A-Z]\w+`).FindAllString(text, -1) {
		if !known[name] {
			t.Errorf("the page names %s, which is no test", name)
		}
	}
	for _, p := range fault.All() {
		if !strings.Contains(text, "| "+p.String()+" |") {
			t.Errorf("the table lacks the fault %v", p)
		}
	}
	for _, c := range check.Checkers() {
		if !strings.Contains(text, "*model:"+c.Name+"*") && !strings.Contains(text, ", "+c.Name+" |") {
			t.Errorf("the page does not name the checker %q", c.Name)
		}
	}
}

// testNames returns the names of all tests below a folder.
func testNames(t *testing.T, root string) map[string]bool {
	names := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(source, -1) {
			names[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
