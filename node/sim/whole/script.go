package whole

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The faults, by the name that scripts call them.
const (
	Split   = "split"   // the nodes named are cut from all others, both ways
	OneWay  = "oneway"  // what the first node sends to the second does not arrive
	Flap    = "flap"    // what the first node sends to the second is held up for amount milliseconds, again and again
	Slow    = "slow"    // what the first node sends to the second takes amount milliseconds longer
	Stop    = "stop"    // a shutdown in good order, and a start
	Kill    = "kill"    // kill -9: what was written to the disk stays
	Power   = "power"   // a power cut: of what was not fsynced, amount percent of the writes stay
	Restore = "restore" // the node is killed, and started on the copy that was made of its directory when the fault began (amount 1: between a stop and a start)
	Delete  = "delete"  // the node is killed, and started on an empty disk as its own replacement
	Clock   = "clock"   // the wall clock jumps by amount milliseconds, and back at the end
	Full    = "full"    // no room on the disk
	Broken  = "broken"  // writes to the disk fail; the process ends, and is started on what the disk kept
	Pause   = "pause"   // the node stands still and wakes with old frames in hand; see the package comment
	Reset   = "reset"   // connections between the two nodes are cut in the middle of a write, one each way every amount milliseconds
	Lossy   = "lossy"   // gossip's packets from and to the node are lost, doubled and late, each in amount of a hundred cases
	Join    = "join"    // a new node enters, on a machine of its own with an empty disk
	Leave   = "leave"   // the node is asked to leave, hands its share on, and goes
	Remove  = "remove"  // the node is killed and its disk gone for ever; at the end another one is asked to remove it
	Replace = "replace" // the second node is killed and its disk gone for ever; at the end the first one, which is new, takes its place
)

// Kinds returns the names of all faults.
func Kinds() []string {
	return []string{Split, OneWay, Flap, Slow, Stop, Kill, Power, Restore, Delete, Clock, Full, Broken, Pause, Reset, Lossy, Join, Leave, Remove, Replace}
}

const none = "none"

// gentle returns the faults after which hints alone must make all copies agree: nothing is lost from memory or a disk.
func gentle() []string {
	return []string{Split, OneWay, Flap, Slow, Stop, Clock, Full, Pause, Reset, Lossy, Join, Leave}
}

// changing returns the faults after which other nodes own what they did not.
func changing() []string { return []string{Delete, Join, Leave, Remove, Replace} }

// Fault is something that goes wrong for a while.
type Fault struct {
	At, For time.Duration // since the clients began
	Kind    string
	Nodes   []int // from 1
	Amount  int
}

// Script is what happens to a cluster. What its clients ask follows from the seed.
type Script struct {
	Seed   uint64
	Nodes  int // that found the cluster; who joins later is numbered from there on
	Sync   string
	Lasts  time.Duration
	Delay  time.Duration // at most, of messages between nodes; each link has its own
	Reap   bool          // the end waits until no tombstone is left
	Faults []Fault
}

// machines returns how many machines there are, those of nodes that join later included.
func (s *Script) machines() int {
	n := s.Nodes
	for _, f := range s.Faults {
		n = max(n, slices.Max(f.Nodes))
	}
	return n
}

// known reports whether all nodes of the fault found the cluster or join it.
func (s *Script) known(f Fault) bool {
	return !slices.ContainsFunc(f.Nodes, func(n int) bool {
		return n > s.Nodes && !slices.ContainsFunc(s.Faults, func(j Fault) bool { return (j.Kind == Join || j.Kind == Replace) && j.Nodes[0] == n })
	})
}

// without returns the script without a fault, and without those that befall a node which only that fault brings.
func (s *Script) without(i int) *Script {
	shorter := *s
	shorter.Faults = slices.Delete(slices.Clone(s.Faults), i, i+1)
	shorter.Faults = slices.DeleteFunc(slices.Clone(shorter.Faults), func(f Fault) bool { return !shorter.known(f) })
	return &shorter
}

func (s *Script) has(kinds ...string) bool {
	return slices.ContainsFunc(s.Faults, func(f Fault) bool { return slices.Contains(kinds, f.Kind) })
}

// String is the line of the fault in a script: "fault 12.5s 3s slow 1,3 250".
func (f Fault) String() string {
	return fmt.Sprintf("fault %v %v %s %s %d", f.At, f.For, f.Kind, strings.Trim(strings.ReplaceAll(fmt.Sprint(f.Nodes), " ", ","), "[]"), f.Amount)
}

// String is the script as Parse reads it.
func (s *Script) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\nnodes %d\nsync %s\nlasts %v\ndelay %v\nreap %v\n", s.Seed, s.Nodes, s.Sync, s.Lasts, s.Delay, s.Reap)
	for _, f := range s.Faults {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

// Parse reads a script. Lines that begin with # are comments.
func Parse(r io.Reader) (*Script, error) {
	s := &Script{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := s.line(words); err != nil {
			return nil, fmt.Errorf("whole: script: %q: %w", lines.Text(), err)
		}
	}
	if s.Nodes < 1 || s.Lasts <= 0 {
		return nil, fmt.Errorf("whole: script: no nodes, or no time")
	}
	for _, f := range s.Faults {
		if !s.known(f) {
			return nil, fmt.Errorf("whole: script: %q: no such node", f)
		}
	}
	return s, lines.Err()
}

func (s *Script) line(words []string) (err error) {
	switch {
	case words[0] == "fault" && len(words) == 6:
		return s.fault(words[1:])
	case len(words) != 2:
		return fmt.Errorf("not a line of a script")
	}
	switch words[0] {
	case "seed":
		s.Seed, err = strconv.ParseUint(words[1], 10, 64)
	case "nodes":
		s.Nodes, err = strconv.Atoi(words[1])
	case "sync":
		s.Sync = words[1]
	case "lasts":
		s.Lasts, err = time.ParseDuration(words[1])
	case "delay":
		s.Delay, err = time.ParseDuration(words[1])
	case "reap":
		s.Reap, err = strconv.ParseBool(words[1])
	default:
		return fmt.Errorf("unknown word %s", words[0])
	}
	return err
}

func (s *Script) fault(words []string) (err error) {
	f := Fault{Kind: words[2]}
	if f.At, err = time.ParseDuration(words[0]); err != nil {
		return err
	}
	if f.For, err = time.ParseDuration(words[1]); err != nil {
		return err
	}
	for _, text := range strings.Split(words[3], ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > machinesMax {
			return fmt.Errorf("no such node: %s", text)
		}
		f.Nodes = append(f.Nodes, n)
	}
	if f.Amount, err = strconv.Atoi(words[4]); err != nil {
		return err
	}
	if !slices.Contains(Kinds(), f.Kind) {
		return fmt.Errorf("unknown fault %s", f.Kind)
	}
	if (f.Kind == Replace || f.Kind == OneWay || f.Kind == Flap || f.Kind == Slow || f.Kind == Reset) && len(f.Nodes) != 2 {
		return fmt.Errorf("%s is of two nodes", f.Kind)
	}
	s.Faults = append(s.Faults, f)
	return nil
}
