package node_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/nodetest"
)

// page is a journal in memory.
type page struct {
	mu    sync.Mutex
	lines [][]byte
}

// Write implements io.Writer.
func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, bytes.Clone(b))
	return len(b), nil
}

// of returns what was written down of a key.
func (p *page) of(t *testing.T, key string) (lines []node.JournalLine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range p.lines[1:] {
		var line node.JournalLine
		if err := json.Unmarshal(text, &line); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if line.Key == key {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestAJournalHasEachWriteBeforeItIsStoredAndOnceItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &page{}
		c := nodetest.New(t, 1, func(_ int, cfg *node.Config) {
			j, err := node.NewJournal(p, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Witness = j
		})
		defer c.Close()
		c.Start()
		must(t, c.Machines[0], "SET", "k", "v")
		must(t, c.Machines[0], "GET", "k")
		must(t, c.Machines[0], "DEL", "k")
		must(t, c.Machines[0], "DEL", "none")
		var kinds []node.JournalKind
		var deltas []causal.State
		for _, line := range p.of(t, "k") {
			kinds = append(kinds, line.Kind)
			if line.Kind != node.JournalDecided {
				continue
			}
			delta, _, err := causal.DecodeState(line.Delta)
			if err != nil {
				t.Fatal(err)
			}
			deltas = append(deltas, delta)
		}
		each := []node.JournalKind{node.JournalDecided, node.JournalStored, node.JournalAnswered}
		if !slices.Equal(kinds, append(each, each...)) {
			t.Fatalf("got %q", kinds)
		}
		if set, del := deltas[0], deltas[1]; len(set.Siblings) != 1 || len(del.Siblings) != 0 || !del.Seen.Has(set.Siblings[0].Dot) {
			t.Errorf("SET added %v, DEL %v: want one value, and its dot", set, del)
		}
		if lines := p.of(t, "none"); len(lines) != 1 || lines[0].Kind != node.JournalAnswered {
			t.Errorf("of a DEL that wrote nothing: %v", lines)
		}
	})
}
