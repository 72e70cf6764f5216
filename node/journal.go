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

// Journal is a Foreseer that writes down all writes of a node, one JSON object a line, for whoever checks afterwards what
// overwrote what. It begins with two line ends, so that several lives of a node can share a file: a line that a kill cut
// short ends there, and an empty one follows. What cannot be written ends the process.
type Journal struct {
	now func() time.Time
	mu  struct {
		sync.Mutex
		out io.Writer
	}
}

// JournalLine is a write that the node decided, or one that it stored, or an answer to a client's write.
type JournalLine struct {
	At    int64 // Unix nanoseconds
	Kind  JournalKind
	Key   string
	Ops   []JournalOp // of a write: those that it is of; of an answer: one
	Delta []byte      `json:",omitempty"` // of a decision: what it adds and overwrites (causal.DecodeState)
}

// JournalKind is what a line tells of.
type JournalKind string

// The kinds. A write is stored as it was decided last; one that is decided and not stored may be stored if the process was
// killed, or its log failed.
const (
	JournalDecided  JournalKind = "decided"
	JournalStored   JournalKind = "stored"
	JournalAnswered JournalKind = "answered"
)

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
		j.write(JournalLine{Kind: JournalAnswered, Key: string(op.Key.Name), Ops: []JournalOp{told}})
	}
}

// Deciding implements Foreseer.
func (j *Journal) Deciding(key request.Key, m coordinator.Minted, delta causal.State) {
	j.write(JournalLine{Kind: JournalDecided, Key: string(key.Name), Ops: journalOps(m), Delta: delta.Append(nil)})
}

// Minted implements Witness.
func (j *Journal) Minted(key request.Key, m coordinator.Minted, _ causal.State, err error) {
	if err == nil {
		j.write(JournalLine{Kind: JournalStored, Key: string(key.Name), Ops: journalOps(m)})
	}
}

func journalOps(m coordinator.Minted) (ops []JournalOp) {
	for _, op := range m.Ops {
		ops = append(ops, JournalOp{Stamp: op.Stamp, Verb: op.Verb, Attempt: op.Attempt})
	}
	return ops
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
