package model

import (
	"fmt"
	"os"
	"strconv"
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

func seeds() int {
	n, err := strconv.Atoi(os.Getenv("SEEDS"))
	if err != nil {
		return 300
	}
	return n
}

func TestSeeds(t *testing.T) {
	found := map[string]int{}
	for seed := range uint64(seeds()) {
		h, _ := Run(Generate(seed, nil))
		for _, v := range check.All(h) {
			found[v.Name]++
			if found[v.Name] < 4 {
				t.Errorf("seed %d: %v", seed, v)
			}
		}
	}
	t.Log(found)
}
