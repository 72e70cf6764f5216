package model

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfastdb/holdfast/node/sim/check"
)

// Sync is the sync level of all nodes.
type Sync string

// The levels.
const (
	SyncOS     Sync = "os"
	SyncAlways Sync = "always"
	SyncNone   Sync = "none"
)

// Script is all that happens to a cluster, as readable text: a header, then one step a line, in any order.
//
//	seed 7 nodes 4 sync os loss 1 duplicate 1
//	120 client 1 node 2 SET k0
//	900 cut 1 2 2000
type Script struct {
	Seed      uint64 // of what the network does to messages
	Nodes     int
	Sync      Sync
	Loss      int // percent of all messages
	Duplicate int // percent of what is idempotent
	Steps     []Step
}

// Step is one operation or fault.
type Step struct {
	At   int // milliseconds
	Verb string
	// Of an operation.
	Client, Node int
	Key          string
	With         string // which context a PUTCTX or DELCTX uses: fresh, stale, partial, blind
	TTL          int    // milliseconds, of EXPIRE and SET; 0: none
	// Of a fault: the nodes that it befalls (B only where there are two), how long it lasts or how large it is.
	A, B, For int
}

// Operations and faults by name.
var (
	operations = []string{"GET", "SET", "DEL", "INCR", "SETNX", "EXPIRE", "GETV", "PUTCTX", "DELCTX"}
	faults     = []string{"cut", "split", "apart", "slow", "lossy", "pause", "kill", "power", "clean", "wipe", "restore", "skew", "full", "ioerror"}
)

// changes are the faults that change the ring: an operator's commands. join and replace name a node that is no founder.
var changes = []string{"join", "leave", "remove", "replace"}

// reaps reports whether the script has tombstones reaped.
func (s *Script) reaps() bool {
	return slices.ContainsFunc(s.Steps, func(step Step) bool { return step.Verb == "reap" })
}

// changes reports whether the script changes the ring.
func (s *Script) changes() bool {
	return slices.ContainsFunc(s.Steps, func(step Step) bool { return slices.Contains(changes, step.Verb) })
}

// nodes returns how many nodes there are, those that join later included.
func (s *Script) nodes() (n int) {
	n = s.Nodes
	for _, step := range s.Steps {
		n = max(n, step.A, step.Node)
	}
	return n
}

func (s Step) operation() bool { return strings.ToUpper(s.Verb) == s.Verb }

// String returns the step as one line of a script.
func (s Step) String() string {
	if !s.operation() {
		return fmt.Sprintf("%d %s %d %d %d", s.At, s.Verb, s.A, s.B, s.For)
	}
	text := fmt.Sprintf("%d client %d node %d %s %s", s.At, s.Client, s.Node, s.Verb, s.Key)
	if s.With != "" {
		text += " " + s.With
	}
	if s.TTL != 0 {
		text += fmt.Sprintf(" ttl %d", s.TTL)
	}
	return text
}

// String returns the script as text that Parse reads.
func (s *Script) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d nodes %d sync %s loss %d duplicate %d\n", s.Seed, s.Nodes, s.Sync, s.Loss, s.Duplicate)
	for _, step := range s.Steps {
		fmt.Fprintln(&b, step)
	}
	return b.String()
}

// ErrScript: the text is no script.
var ErrScript = errors.New("model: bad script")

// Parse reads a script. Empty lines and lines that begin with # are skipped.
func Parse(text string) (*Script, error) {
	s := &Script{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		var err error
		if s.Nodes == 0 {
			_, err = fmt.Sscanf(line, "seed %d nodes %d sync %s loss %d duplicate %d", &s.Seed, &s.Nodes, &s.Sync, &s.Loss, &s.Duplicate)
		} else {
			var step Step
			if step, err = parseStep(line); err == nil {
				err = s.admit(step)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %q: %w", ErrScript, line, err)
		}
	}
	if s.Nodes < 1 || s.Nodes > nodesMax {
		return nil, fmt.Errorf("%w: %d nodes", ErrScript, s.Nodes)
	}
	if n := s.missing(); n > 0 {
		return nil, fmt.Errorf("%w: no node %d", ErrScript, n)
	}
	return s, nil
}

const nodesMax = 9

// missing returns the first node that a step names and that neither founds the cluster nor joins it; 0: none.
func (s *Script) missing() int {
	for _, step := range s.Steps {
		for _, n := range []int{step.A, step.B, step.Node} {
			if n > s.Nodes && !slices.ContainsFunc(s.Steps, func(j Step) bool { return (j.Verb == "join" || j.Verb == "replace") && j.A == n }) {
				return n
			}
		}
	}
	return 0
}

// admit adds a step whose names and nodes are known.
func (s *Script) admit(step Step) error {
	nodes, known := [2]int{step.A, max(step.B, 1)}, faults
	if step.operation() {
		nodes, known = [2]int{step.Node, 1}, operations
	}
	if !step.operation() {
		known = append(append(slices.Clone(known), changes...), "reset", "reap")
	}
	if !slices.Contains(known, step.Verb) {
		return fmt.Errorf("unknown step %q", step.Verb)
	}
	for _, n := range nodes {
		if n < 1 || n > nodesMax {
			return fmt.Errorf("no node %d", n)
		}
	}
	s.Steps = append(s.Steps, step)
	return nil
}

func parseStep(line string) (s Step, err error) {
	words := strings.Fields(line)
	if len(words) > 1 && words[1] != "client" {
		_, err = fmt.Sscanf(line, "%d %s %d %d %d", &s.At, &s.Verb, &s.A, &s.B, &s.For)
		return s, err
	}
	if _, err = fmt.Sscanf(line, "%d client %d node %d %s %s", &s.At, &s.Client, &s.Node, &s.Verb, &s.Key); err != nil {
		return s, err
	}
	rest := words[7:]
	if len(rest) > 0 && rest[0] != "ttl" {
		s.With, rest = rest[0], rest[1:]
	}
	if len(rest) == 2 {
		_, err = fmt.Sscan(rest[1], &s.TTL)
	}
	return s, err
}

func at(ms int) check.Moment { return check.Moment(ms) * milli }
