package whole

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
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
	Delete  = "delete"  // the node is killed, and started on an empty disk
	Clock   = "clock"   // the wall clock jumps by amount milliseconds, and back at the end
	Full    = "full"    // no room on the disk
	Broken  = "broken"  // writes to the disk fail; the process ends, and is started on what the disk kept
)

// Kinds returns the names of all faults.
func Kinds() []string {
	return []string{Split, OneWay, Flap, Slow, Stop, Kill, Power, Restore, Delete, Clock, Full, Broken}
}

const none = "none"

// gentle returns the faults after which hints alone must make all copies agree: nothing is lost from memory or a disk.
func gentle() []string { return []string{Split, OneWay, Flap, Slow, Stop, Clock, Full} }

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
	Nodes  int
	Sync   string
	Lasts  time.Duration
	Delay  time.Duration // at most, of messages between nodes; each link has its own
	Faults []Fault
}

// Generate derives the script of a seed. Kinds, if any, are the only faults in it; "none" stands for no fault.
func Generate(seed uint64, kinds []string) *Script {
	rng := rand.New(rand.NewPCG(seed, 2))
	s := &Script{Seed: seed, Nodes: 3 + rng.IntN(3), Sync: "os", Lasts: between(rng, lastsMin, lastsMax)}
	if rng.IntN(4) == 0 {
		s.Sync = "always"
	}
	if rng.IntN(4) > 0 { // slow enough for faults to meet requests under way
		s.Delay = between(rng, 0, delayMax)
	}
	if len(kinds) == 0 {
		kinds = Kinds()
		if rng.IntN(3) == 0 {
			kinds = gentle()
		}
	}
	if slices.Equal(kinds, []string{none}) {
		return s
	}
	for range faultsMin + rng.IntN(faultsMax-faultsMin+1) {
		f := Fault{At: between(rng, 0, s.Lasts), For: between(rng, faultMin, faultMax), Kind: kinds[rng.IntN(len(kinds))]}
		f.draw(rng, s.Nodes)
		if f.Kind != Delete || !s.has(Delete) { // a second one may hold the last copy
			s.Faults = append(s.Faults, f)
		}
	}
	slices.SortFunc(s.Faults, func(a, b Fault) int { return int(a.At - b.At) })
	return s
}

// between returns a whole number of milliseconds.
func between(rng *rand.Rand, from, to time.Duration) time.Duration {
	return (from + time.Duration(rng.Int64N(int64(to-from)))).Truncate(time.Millisecond)
}

func (s *Script) has(kinds ...string) bool {
	return slices.ContainsFunc(s.Faults, func(f Fault) bool { return slices.Contains(kinds, f.Kind) })
}

// draw picks the nodes and the amount.
func (f *Fault) draw(rng *rand.Rand, nodes int) {
	order, n := rng.Perm(nodes), 1
	switch f.Kind {
	case Split:
		n = 1 + rng.IntN(nodes/2)
	case OneWay:
		n = 2
	case Flap:
		n, f.Amount = 2, 100+rng.IntN(900)
	case Slow:
		n, f.Amount = 2, 20+rng.IntN(1500)
	case Restore:
		f.Amount = rng.IntN(2)
	case Power:
		f.Amount = rng.IntN(101)
	case Clock:
		f.Amount = 500 + rng.IntN(4000) // within the drift bound
		if rng.IntN(2) == 0 {
			f.Amount = 20_000 + rng.IntN(3_600_000)
		}
		f.Amount *= 1 - 2*rng.IntN(2)
	}
	for _, i := range order[:n] {
		f.Nodes = append(f.Nodes, i+1)
	}
}

// String is the line of the fault in a script: "fault 12.5s 3s slow 1,3 250".
func (f Fault) String() string {
	return fmt.Sprintf("fault %v %v %s %s %d", f.At, f.For, f.Kind, strings.Trim(strings.ReplaceAll(fmt.Sprint(f.Nodes), " ", ","), "[]"), f.Amount)
}

// String is the script as Parse reads it.
func (s *Script) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\nnodes %d\nsync %s\nlasts %v\ndelay %v\n", s.Seed, s.Nodes, s.Sync, s.Lasts, s.Delay)
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
		if err != nil || n < 1 || n > s.Nodes {
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
	s.Faults = append(s.Faults, f)
	return nil
}
