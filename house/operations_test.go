package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every line of the log and of holdfast status that docs/operations.md explains is one that the program writes.
func TestTheExplainedLinesExist(t *testing.T) {
	var code strings.Builder
	for _, p := range loadSource(t, false).own {
		for _, name := range p.GoFiles {
			b, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			code.Write(b)
		}
	}
	tables := strings.Split(page(t, "docs/operations.md"), "\n| line |")[1:]
	if len(tables) != 2 {
		t.Fatalf("docs/operations.md explains lines in %d tables, want those of status and of the log", len(tables))
	}
	for _, table := range tables {
		table, _, _ = strings.Cut(table, "\n\n")
		lines := 0
		for _, row := range strings.Split(table, "\n| ")[1:] {
			first, _, _ := strings.Cut(row, " |")
			for _, quoted := range regexp.MustCompile("`[^`]+`").FindAllString(first, -1) {
				if lines++; !strings.Contains(code.String(), strings.Trim(quoted, "`")) {
					t.Errorf("no code says %s", quoted)
				}
			}
		}
		if lines < 10 {
			t.Errorf("only %d lines found", lines)
		}
	}
}
