package whole

import (
	"math/rand/v2"
	"slices"
	"time"
)

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
		f.draw(rng, s.machines())
		if s.admits(f) {
			s.Faults = append(s.Faults, f)
		}
	}
	s.reaps(rand.New(rand.NewPCG(seed, 5)), kinds)
	slices.SortFunc(s.Faults, func(a, b Fault) int { return int(a.At - b.At) })
	return s
}

// reaps has one run of three wait until its tombstones are reaped. Mostly a node is away before for longer than a round takes, while the
// others write and delete.
func (s *Script) reaps(rng *rand.Rand, kinds []string) {
	if s.Reap = rng.IntN(3) == 0; !s.Reap {
		return
	}
	for _, kind := range []string{Kill, Stop} {
		if slices.Contains(kinds, kind) && rng.IntN(4) > 0 {
			f := Fault{At: between(rng, 0, s.Lasts), For: between(rng, awayMin, awayMax), Kind: kind}
			f.draw(rng, s.Nodes)
			s.Faults = append(s.Faults, f)
			return
		}
	}
}

// between returns a whole number of milliseconds.
func between(rng *rand.Rand, from, to time.Duration) time.Duration {
	return (from + time.Duration(rng.Int64N(int64(to-from)))).Truncate(time.Millisecond)
}

// admits reports whether a fault may be added. A second disk that is gone may hold the last copy, and as many nodes as a key has
// copies stay.
func (s *Script) admits(f Fault) bool {
	if slices.Max(f.Nodes) > machinesMax {
		return false
	}
	switch f.Kind {
	case Delete, Replace:
		return !s.has(Delete, Remove, Replace)
	case Remove:
		return !s.has(Delete, Remove, Replace) && s.stay() > copies
	case Leave:
		return s.stay() > copies
	}
	return true
}

// stay returns how many nodes there are once all have come and gone.
func (s *Script) stay() int {
	n := s.Nodes
	for _, f := range s.Faults {
		switch f.Kind {
		case Join:
			n++
		case Leave, Remove:
			n--
		}
	}
	return n
}

// draw picks the nodes and the amount.
func (f *Fault) draw(rng *rand.Rand, machines int) {
	order, n := rng.Perm(machines), 1
	switch f.Kind {
	case Split:
		n = 1 + rng.IntN(machines/2)
	case OneWay:
		n = 2
	case Flap:
		n, f.Amount = 2, 100+rng.IntN(900)
	case Slow:
		n, f.Amount = 2, 20+rng.IntN(1500)
	case Reset:
		n, f.Amount = 2, 20+rng.IntN(500)
	case Lossy:
		f.Amount = 10 + rng.IntN(60)
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
	switch f.Kind {
	case Join:
		f.Nodes = []int{machines + 1}
	case Replace:
		f.Nodes = []int{machines + 1, f.Nodes[0]}
	}
}
