package model

import (
	"math/rand/v2"
	"slices"
)

// Generate draws a script. faults are the kinds to choose from; nil: all.
func Generate(seed uint64, allowed []string) *Script {
	rng := rand.New(rand.NewPCG(seed, 2))
	if allowed == nil {
		allowed = faults
	}
	g := &generator{Rand: rng, s: &Script{Seed: seed, Nodes: 3 + rng.IntN(3), Sync: pick(rng, SyncOS, SyncOS, SyncOS, SyncAlways, SyncNone),
		Loss: pick(rng, 0, 0, 1, 3), Duplicate: pick(rng, 0, 2, 10)}}
	g.keys = []string{"a", "b", "c"}[:1+rng.IntN(3)]
	g.spread = 4000 + rng.IntN(12000)
	g.operations()
	switch {
	case len(allowed) < len(faults):
		g.faults(allowed)
	case rng.IntN(6) == 0:
		g.fallbacksAlone()
	case rng.IntN(6) == 0:
		g.restoredCopy()
	default:
		g.faults(allowed)
	}
	if len(allowed) == len(faults) {
		g.changes(rand.New(rand.NewPCG(seed, 3)))
		g.resets(rand.New(rand.NewPCG(seed, 4)))
		g.reaps(rand.New(rand.NewPCG(seed, 5)))
	}
	slices.SortStableFunc(g.s.Steps, func(a, b Step) int { return a.At - b.At })
	return g.s
}

// FaultKinds returns the faults that a script can have.
func FaultKinds() []string { return slices.Clone(faults) }

type generator struct {
	*rand.Rand
	s      *Script
	keys   []string
	spread int // milliseconds
}

func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

// operations come in bursts of one client, so that contexts are used soon and retries overlap.
func (g *generator) operations() {
	weights := []string{"GET", "SET", "SET", "DEL", "INCR", "SETNX", "EXPIRE", "GETV", "GETV", "PUTCTX", "PUTCTX", "PUTCTX", "PUTCTX", "DELCTX"}
	clients := 2 + g.IntN(3)
	for left := 20 + g.IntN(40); left > 0; {
		client, node, key, when := 1+g.IntN(clients), 1+g.IntN(g.s.Nodes), pick(g.Rand, g.keys...), g.IntN(g.spread)
		for range 1 + g.IntN(4) {
			g.s.Steps = append(g.s.Steps, g.operation(Step{At: when, Client: client, Node: node, Key: key, Verb: pick(g.Rand, weights...)}))
			when += g.IntN(300)
			left--
		}
	}
}

func (g *generator) operation(s Step) Step {
	switch s.Verb {
	case "PUTCTX":
		s.With = pick(g.Rand, "fresh", "fresh", "stale", "partial", "blind")
	case "DELCTX":
		s.With = pick(g.Rand, "fresh", "stale", "partial")
	case "EXPIRE":
		s.TTL = pick(g.Rand, 500, 3000, 60000, 600000)
	case "SET":
		s.TTL = pick(g.Rand, 0, 0, 0, 2000, 600000)
	}
	return s
}

// fallbacksAlone cuts the same two nodes off again and again, and restarts them in between: what they write for the
// primaries of a key they mint in hints.
func (g *generator) fallbacksAlone() {
	a, b := 1+g.IntN(g.s.Nodes), 1+g.IntN(g.s.Nodes)
	for when := g.IntN(2000); when < g.spread; when += 4000 + g.IntN(3000) {
		g.s.Steps = append(g.s.Steps, Step{At: when, Verb: "apart", A: a, B: b, For: 1500 + g.IntN(1500)})
		g.s.Steps = append(g.s.Steps, Step{At: when + 3500, Verb: pick(g.Rand, "clean", "clean", "kill", "power"), A: pick(g.Rand, a, b), For: 100})
	}
}

// restoredCopy stops a node, lets it go on, and then puts the directory back as it was when it stopped.
func (g *generator) restoredCopy() {
	n := 1 + g.IntN(g.s.Nodes)
	stopped := g.IntN(g.spread / 2)
	g.s.Steps = append(g.s.Steps, Step{At: stopped, Verb: pick(g.Rand, "clean", "clean", "kill"), A: n, For: 100},
		Step{At: stopped + 1500 + g.IntN(g.spread/2), Verb: "restore", A: n, For: 100})
}

// reaps has tombstones reaped in one run of three, mostly while a node that was away when its fellows stood in for somebody, or deleted, is
// down for longer than a round, or one that stood in cannot deliver. Not where an old copy is restored: what was deleted since may come
// back from it.
func (g *generator) reaps(rng *rand.Rand) {
	if rng.IntN(3) > 0 || slices.ContainsFunc(g.s.Steps, func(s Step) bool { return s.Verb == "restore" }) {
		return
	}
	add := func(s Step) { g.s.Steps = append(g.s.Steps, s) }
	add(Step{At: rng.IntN(g.spread / 2), Verb: "reap", A: 1})
	if rng.IntN(3) == 0 {
		return
	}
	when, client := rng.IntN(g.spread), 9
	key := pick(rng, g.keys...)
	out, away := 1+rng.IntN(g.s.Nodes), 1+rng.IntN(g.s.Nodes)
	add(Step{At: when, Verb: pick(rng, "kill", "clean", "power"), A: out, For: 1500})
	for range 3 {
		add(Step{At: when + 200 + rng.IntN(1000), Client: client, Node: 1 + rng.IntN(g.s.Nodes), Key: key, Verb: "SET"})
	}
	gone := Step{At: when + 1300 + rng.IntN(400), Verb: pick(rng, "kill", "kill", "pause", "split", "split"), A: away, For: 19000 + rng.IntN(4000)}
	if gone.Verb == "split" {
		gone.B = out
	}
	add(gone)
	for range 2 {
		add(Step{At: when + 2200 + rng.IntN(1500), Client: client, Node: 1 + rng.IntN(g.s.Nodes), Key: key, Verb: "DEL"})
	}
	add(Step{At: when + 24000, Client: client, Node: 1 + rng.IntN(g.s.Nodes), Key: key, Verb: "GET"})
}

// changes lets nodes come and go in one run of three. At least as many as a partition has owners stay, and no two lose their disks.
func (g *generator) changes(rng *rand.Rand) {
	if rng.IntN(3) > 0 {
		return
	}
	next, left := g.s.Nodes+1, g.s.Nodes-copies
	lossy := slices.ContainsFunc(g.s.Steps, func(s Step) bool { return s.Verb == "wipe" })
	if lossy {
		left--
	}
	for range 1 + rng.IntN(3) {
		s := Step{At: rng.IntN(g.spread), Verb: pick(rng, changes...), A: 1 + rng.IntN(g.s.Nodes)}
		loses := s.Verb == "remove" || s.Verb == "replace"
		if loses && lossy || s.Verb != "join" && s.Verb != "replace" && left <= 0 {
			s.Verb, loses = "join", false
		}
		switch s.Verb {
		case "join":
			s.A, left = next, left+1
		case "replace":
			s.A, s.B = next, s.A
		default:
			left--
		}
		if s.A == next {
			next++
		}
		lossy = lossy || loses
		if rng.IntN(2) == 0 { // somebody misses writes while it goes on
			g.s.Steps = append(g.s.Steps, Step{At: max(0, s.At-rng.IntN(1500)), Verb: pick(rng, "lossy", "lossy", "cut", "slow"),
				A: 1 + rng.IntN(g.s.Nodes), B: 1 + rng.IntN(g.s.Nodes), For: 1000 + rng.IntN(3000)})
		}
		g.s.Steps = append(g.s.Steps, s)
	}
}

// resets breaks connections over writes that are forwarded, in one run of three.
func (g *generator) resets(rng *rand.Rand) {
	if rng.IntN(3) > 0 {
		return
	}
	for _, s := range slices.Clone(g.s.Steps) {
		if s.Verb != "SET" && s.Verb != "DEL" || rng.IntN(2) == 0 {
			continue
		}
		if b := 1 + rng.IntN(g.s.Nodes); b != s.Node {
			g.s.Steps = append(g.s.Steps, Step{At: max(0, s.At-1-rng.IntN(20)), Verb: "reset", A: s.Node, B: b, For: 50 + rng.IntN(450)})
		}
	}
}

func (g *generator) faults(allowed []string) {
	if len(allowed) == 0 {
		return
	}
	wiped := false
	for range g.IntN(8) {
		s := Step{At: g.IntN(g.spread), Verb: pick(g.Rand, allowed...), A: 1 + g.IntN(g.s.Nodes), For: 100 + g.IntN(4000)}
		switch s.Verb {
		case "cut", "split", "apart", "slow", "lossy":
			if s.B = 1 + g.IntN(g.s.Nodes); s.B == s.A {
				continue
			}
		case "skew":
			s.For = pick(g.Rand, 100, -100, 2000, -2000, 30000, -30000)
		case "wipe":
			if wiped {
				continue
			}
			wiped = true
		}
		g.s.Steps = append(g.s.Steps, s)
	}
}
