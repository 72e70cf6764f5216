// Package journal reads what the nodes of a cluster wrote down of their writes (node.Journal), and checks what the clients saw
// against it. Package history knows what a client can know, and with sloppy quorums that is little: whether a DEL met a value
// depends on which nodes it could reach. The nodes know which dots it covered.
package journal

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/sim/check"
)

// Journal is what all nodes wrote down.
type Journal struct {
	nodes    []string
	stamps   map[causal.Stamp]int // operations by stamp
	history  check.History
	byKey    map[string][]*check.Mint
	attempts map[*check.Mint][]uint8
}

// New returns a Journal of nothing.
func New() *Journal {
	return &Journal{stamps: map[causal.Stamp]int{}, byKey: map[string][]*check.Mint{}, attempts: map[*check.Mint][]uint8{}}
}

// Len returns how many writes the nodes wrote down.
func (j *Journal) Len() int { return len(j.history.Mints) }

// Read adds one node's journal. A line may be cut short where a process was killed, that is before an empty line or at the
// end; anything else that is no line of a journal is an error.
func (j *Journal) Read(name string, from io.Reader) error {
	j.nodes = append(j.nodes, name)
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, lineMax)
	var torn error
	for n := 1; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			torn = nil
			continue
		}
		if torn != nil {
			return torn
		}
		if err := j.add(lines.Bytes()); err != nil {
			torn = fmt.Errorf("journal of %s, line %d: %w", name, n, err)
		}
	}
	return lines.Err()
}

func (j *Journal) add(text []byte) error {
	var line node.JournalLine
	if err := json.Unmarshal(text, &line); err != nil {
		return err
	}
	if line.Delta == nil {
		j.answered(line)
		return nil
	}
	return j.minted(line)
}

// answered takes an answer. The node may have been asked by a client that is gone by now: it has promised all the same.
func (j *Journal) answered(line node.JournalLine) {
	for _, told := range line.Ops {
		if op := j.op(line.Key, told); told.Err == "" {
			op.Outcome = check.Done
		}
	}
}

func (j *Journal) minted(line node.JournalLine) error {
	delta, _, err := causal.DecodeState(line.Delta)
	if err != nil {
		return err
	}
	m := &check.Mint{Key: line.Key, Node: len(j.nodes) - 1, At: check.Moment(line.At), Delta: delta,
		Dented: line.Unsure, Lost: line.Unsure}
	for _, told := range line.Ops {
		m.Ops = append(m.Ops, j.op(line.Key, told).ID)
		j.attempts[m] = append(j.attempts[m], told.Attempt)
	}
	j.history.Mints, j.byKey[m.Key] = append(j.history.Mints, m), append(j.byKey[m.Key], m)
	return nil
}

// op returns the operation, a new one when this is the first that is told of it. What was refused before it was stamped is
// told of once.
func (j *Journal) op(key string, told node.JournalOp) *check.Op {
	id, known := j.stamps[told.Stamp]
	if !known || told.Stamp.IsZero() {
		id = len(j.history.Ops)
		j.stamps[told.Stamp] = id
		j.history.Ops = append(j.history.Ops, &check.Op{ID: id, Key: key, Verb: told.Verb, Outcome: check.Maybe})
	}
	return j.history.Ops[id]
}
