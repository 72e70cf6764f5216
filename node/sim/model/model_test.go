package model

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/node/sim/check"
)

func TestSameSeedSameTrace(t *testing.T) {
	for seed := range uint64(50) {
		one, _ := Run(Generate(seed, nil))
		two, _ := Run(Generate(seed, nil))
		if a, b := trace(one), trace(two); a != b {
			t.Fatalf("seed %d: two traces", seed)
		}
	}
}

func trace(h *check.History) string {
	text := ""
	for _, op := range h.Ops {
		text += fmt.Sprintln(*op)
	}
	for _, m := range h.Mints {
		text += fmt.Sprintln(*m)
	}
	for _, r := range h.Final {
		text += fmt.Sprintln(r)
	}
	return text
}

func TestScriptIsReadableText(t *testing.T) {
	for seed := range uint64(50) {
		s := Generate(seed, nil)
		back, err := Parse(s.String())
		if err != nil || back.String() != s.String() {
			t.Fatalf("seed %d: %v\n%s\n%s", seed, err, s, back)
		}
	}
}

func BenchmarkSeed(b *testing.B) {
	seed := uint64(0)
	for b.Loop() {
		Run(Generate(seed, nil))
		seed++
	}
}

func TestShrinkFindsTheStepsThatMatter(t *testing.T) {
	s := Generate(3, nil)
	s.Steps = append(s.Steps, Step{At: 1, Verb: "SET", Client: 1, Node: 1, Key: "x"}, Step{At: 2, Verb: "DEL", Client: 1, Node: 1, Key: "x"})
	short := Shrink(s, 1000, func(s *Script) bool {
		return strings.Contains(s.String(), "SET x") && strings.Contains(s.String(), "DEL x")
	})
	if len(short.Steps) != 2 {
		t.Fatalf("not the shortest:\n%s", short)
	}
}

func TestBadScriptsAreRefused(t *testing.T) {
	for _, text := range []string{"", "seed 1 nodes 99 sync os loss 0 duplicate 0", "seed 1 nodes 3 sync os loss 0 duplicate 0\nnonsense",
		"seed 1 nodes 3 sync os loss 0 duplicate 0\n5 client x node 1 SET a", "seed 1 nodes 3 sync os loss 0 duplicate 0\n5 client 1 node 7 SET a",
		"seed 1 nodes 3 sync os loss 0 duplicate 0\n5 client 1 node 1 FROB a", "seed 1 nodes 3 sync os loss 0 duplicate 0\n5 melt 1 0 100"} {
		if _, err := Parse(text); !errors.Is(err, ErrScript) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Every kind of fault and of operation is drawn.
func TestGeneratorDrawsEverything(t *testing.T) {
	drawn := map[string]bool{}
	for seed := range uint64(300) {
		for _, step := range Generate(seed, nil).Steps {
			drawn[step.Verb] = true
		}
	}
	for _, verb := range append(FaultKinds(), operations...) {
		if !drawn[verb] {
			t.Errorf("no %s in 300 scripts", verb)
		}
	}
}
