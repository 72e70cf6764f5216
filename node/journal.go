package node

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/coordinator"
	"github.com/holdfastdb/holdfast/request"
)

// Journal is a Witness that writes down all writes of a node, one JSON object a line, for whoever checks afterwards what
// overwrote what. It begins with two line ends, so that several lives of a node can share a file: a line that a kill cut
// short ends there, and an empty one follows. What cannot be written ends the process.
type Journal struct {
	now func() time.Time
	mu  struct {
		sync.Mutex
		out io.Writer
	}
}

// JournalLine is either a write that the node decided and stored, or an answer to a client's write. A process that is killed
// may have stored a write of which there is no line.
type JournalLine struct {
	At  int64 // Unix nanoseconds
	Key string
	Ops []JournalOp // of a stored write: those that it is of; of an answer: one
	// Delta is what a stored write added and overwrote (causal.DecodeState). Absent: this is an answer.
	Delta  []byte `json:",omitempty"`
	Unsure bool   `json:",omitempty"` // of a stored write: perhaps it was not stored
}

// JournalOp is one operation.
type JournalOp struct {
	Stamp   causal.Stamp
	Verb    request.Verb
	Attempt uint8  `json:",omitempty"`
	Err     string `json:",omitempty"` // of an answer: why it did not succeed
}

// NewJournal returns a Journal that appends to out, with the times of now. Error: of out.
func NewJournal(out io.Writer, now func() time.Time) (*Journal, error) {
	j := &Journal{now: now}
	j.mu.out = out
	_, err := out.Write([]byte("\n\n"))
	return j, err
}

// Answered implements Witness.
func (j *Journal) Answered(ops []*request.Op) {
	for _, op := range ops {
		if !op.Verb.Writes() {
			continue
		}
		told := JournalOp{Stamp: op.Stamp, Verb: op.Verb}
		if op.Result.Err != nil {
			told.Err = op.Result.Err.Error()
		}
		j.write(JournalLine{Key: string(op.Key.Name), Ops: []JournalOp{told}})
	}
}

// Minted implements Witness.
func (j *Journal) Minted(key request.Key, m coordinator.Minted, delta causal.State, err error) {
	line := JournalLine{Key: string(key.Name), Delta: delta.Append(nil), Unsure: err != nil}
	for _, op := range m.Ops {
		line.Ops = append(line.Ops, JournalOp{Stamp: op.Stamp, Verb: op.Verb, Attempt: op.Attempt})
	}
	j.write(line)
}

func (j *Journal) write(line JournalLine) {
	line.At = j.now().UnixNano()
	text, err := json.Marshal(line)
	if err != nil {
		panic("node: a journal's line has no field that JSON lacks: " + err.Error())
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.mu.out.Write(append(text, '\n')); err != nil {
		panic("node: a journal that is not whole proves nothing: " + err.Error())
	}
}
