//go:build linux

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// checkAppends checks what APPEND made: every acknowledged piece once, every unsure one at most once, nothing else.
func checkAppends(key, value string, acked, unsure []string) (violations []string) {
	count := map[string]int{}
	for _, piece := range strings.SplitAfter(value, ";") {
		count[piece]++
	}
	delete(count, "")
	for _, piece := range acked {
		if count[piece] != 1 {
			violations = append(violations, fmt.Sprintf("%s: %q is there %d times", key, piece, count[piece]))
		}
		delete(count, piece)
	}
	for piece, n := range count {
		if n != 1 || !slices.Contains(unsure, piece) {
			violations = append(violations, fmt.Sprintf("%s: %q is there %d times, and was not acknowledged", key, piece, n))
		}
	}
	return violations
}

func TestLostAndDoubledPiecesAreSeen(t *testing.T) {
	for value, broken := range map[string]bool{"a;b;": false, "a;b;c;": false, "a;": true, "a;b;b;": true, "a;b;c;c;": true, "a;b;d;": true} {
		if got := checkAppends("k", value, []string{"a;", "b;"}, []string{"c;"}); (len(got) > 0) != broken {
			t.Errorf("%s: got %q", value, got)
		}
	}
}
