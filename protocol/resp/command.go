package resp

import (
	"bytes"
	"strings"

	"github.com/holdfastdb/holdfast/request"
)

// command is one entry of the table: what COMMAND says of it, and what it does. Exactly one of plan, run and subs is
// set, except that a container may also run without a subcommand.
type command struct {
	name  string // lower case; a subcommand's with its container's: "client|setname"
	arity int    // arguments, the name included; negative: at least so many
	flags string // in Redis's order, as are acl and tips
	acl   string
	keys  keys
	note  string // on keys
	tips  string

	since, group, complexity, summary string
	args                              string // what HELP shows behind a subcommand's name

	subs []command

	// plan checks the arguments of a data command, adds its operations to the call, and says how to answer them.
	// It does not wait. Consecutive calls are executed together.
	plan func(c *conn, q *call)
	// run executes any other command and answers it.
	run func(c *conn, q *call)
}

// keys says which arguments are keys.
type keys struct {
	first, last, step int    // positions; last counts from the end when negative
	access            string // how the command uses them, in the words of COMMAND's key specifications
}

// writes reports whether the command may change keys.
func (m *command) writes() bool { return hasWord(m.flags, "write") }

// accepts reports whether so many arguments, the name included, are right.
func (m *command) accepts(n int) bool {
	if m.arity < 0 {
		return n >= -m.arity
	}
	return n == m.arity
}

// sub returns a container's subcommand by its name in any case, or nil.
func (m *command) sub(name []byte) *command {
	for i := range m.subs {
		_, own, _ := strings.Cut(m.subs[i].name, "|")
		if equalFold(name, own) {
			return &m.subs[i]
		}
	}
	return nil
}

// positions returns where the keys of a command with n arguments are.
func (k keys) positions(n int) []int {
	if k.first == 0 {
		return nil
	}
	last := k.last
	if last < 0 {
		last += n
	}
	var at []int
	for i := k.first; i <= last && i < n; i += k.step {
		at = append(at, i)
	}
	return at
}

func hasWord(words, word string) bool {
	for w := range strings.FieldsSeq(words) {
		if w == word {
			return true
		}
	}
	return false
}

// table finds commands by name.
type table struct {
	list   []command
	byName map[string]*command
}

func newTable() *table {
	t := &table{list: commands(), byName: map[string]*command{}}
	for i := range t.list {
		t.byName[t.list[i].name] = &t.list[i]
	}
	return t
}

// find returns a command, not a subcommand, by its name in any case, or nil. It does not allocate.
func (t *table) find(name []byte) *command {
	var lower [commandNameBytesMax]byte
	if len(name) > len(lower) {
		return nil
	}
	for i, b := range name {
		if b >= 'A' && b <= 'Z' {
			b += 'a' - 'A'
		}
		lower[i] = b
	}
	return t.byName[string(lower[:len(name)])]
}

// full returns a command by its full name, "client|setname" included, or nil.
func (t *table) full(name []byte) *command {
	container, sub, ok := bytes.Cut(name, []byte{'|'})
	m := t.find(container)
	if !ok || m == nil {
		return m
	}
	return m.sub(sub)
}

// call is one command that a client sent.
type call struct {
	cmd  *command // nil: unknown
	args [][]byte // the name first

	ops    []*request.Op          // what plan asks of the store; may be shared with other calls
	one    [1]*request.Op         // room for the usual single op
	answer func(c *conn, q *call) // writes the reply from ops
	fault  string                 // the error to reply instead
	kind   outcome                // how it ended
}

// add appends an operation that plan made.
func (q *call) add(op *request.Op) {
	if q.ops == nil {
		q.ops = q.one[:0]
	}
	q.ops = append(q.ops, op)
}

// is reports whether argument i is the word, in any case.
func (q *call) is(i int, word string) bool { return equalFold(q.args[i], word) }

// equalFold compares as ASCII without regard to case. word is in lower case.
func equalFold(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i := range b {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}
