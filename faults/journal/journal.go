// Package journal reads what the nodes of a cluster wrote down of their writes (node.Journal), and checks what the clients saw
// against it. Package history knows what a client can know, and with sloppy quorums that is little: whether a DEL met a value
// depends on which nodes it could reach. The nodes know which dots it covered.
package journal

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/sim/check"
)

// Journal is what all nodes wrote down.
type Journal struct {
	nodes  []string
	stamps map[causal.Stamp]int // operations by stamp
	ops    []*check.Op
	writes map[string][]*write // by key
	stored int
}

// write is one that a node decided. Until it is said to be stored it is Lost, as far as anybody knows.
type write struct {
	check.Mint
	told []node.JournalOp
}

// New returns a Journal of nothing.
func New() *Journal {
	return &Journal{stamps: map[causal.Stamp]int{}, writes: map[string][]*write{}}
}

// Len returns how many writes were stored.
func (j *Journal) Len() int { return j.stored }

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
	switch line.Kind {
	case node.JournalDecided:
		return j.decided(line)
	case node.JournalStored:
		j.store(line)
	default:
		j.answered(line)
	}
	return nil
}

// answered takes an answer. The node may have been asked by a client that is gone by now: it has promised all the same.
func (j *Journal) answered(line node.JournalLine) {
	for _, told := range line.Ops {
		if op := j.op(line.Key, told); told.Err == "" {
			op.Outcome = check.Done
		}
	}
}

func (j *Journal) decided(line node.JournalLine) error {
	delta, _, err := causal.DecodeState(line.Delta)
	if err != nil {
		return err
	}
	w := &write{check.Mint{Key: line.Key, Node: len(j.nodes) - 1, At: check.Moment(line.At), Delta: delta, Lost: true}, line.Ops}
	for _, told := range line.Ops {
		w.Ops = append(w.Ops, j.op(line.Key, told).ID)
	}
	j.writes[line.Key] = append(j.writes[line.Key], w)
	return nil
}

// store marks the write as stored that this node decided last of these operations.
func (j *Journal) store(line node.JournalLine) {
	for _, w := range slices.Backward(j.writes[line.Key]) {
		if w.Lost && w.Node == len(j.nodes)-1 && slices.Equal(w.told, line.Ops) {
			w.Lost, j.stored = false, j.stored+1
			return
		}
	}
}

// op returns the operation, a new one when this is the first that is told of it. What was refused before it was stamped is
// told of once.
func (j *Journal) op(key string, told node.JournalOp) *check.Op {
	id, known := j.stamps[told.Stamp]
	if !known || told.Stamp.IsZero() {
		id = len(j.ops)
		j.stamps[told.Stamp] = id
		j.ops = append(j.ops, &check.Op{ID: id, Key: key, Verb: told.Verb, Outcome: check.Maybe})
	}
	return j.ops[id]
}
