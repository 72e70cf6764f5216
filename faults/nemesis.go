//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"time"
)

// episode is one fault from its begin to its end.
type episode struct {
	kind
	id         int
	victims    []int
	began, end time.Duration
	over       bool
}

// nemesis breaks the cluster by a seeded schedule: rounds of faults that overlap, never on more than a minority of the nodes
// but for grave ones, and a calm after each round.
type nemesis struct {
	*cluster
	load     *load
	out      io.Writer // is told each fault
	seed     uint64
	shuffle  *rand.Rand // of the decks
	rng      *rand.Rand // of one fault: the moments at which it was tried in vain leave no trace in those that follow
	menu     []kind
	deck     []kind // still to be played
	episodes []*episode
	next     time.Duration // when the next fault begins
	healed   time.Duration // when the last one was over
	ended    []string      // nodes that ended by themselves though nothing forced them to
	ends     int           // of those that a fault allowed to
}

func newNemesis(c *cluster, l *load, o options) *nemesis {
	kinds, err := menuOf(o.only)
	if err != nil {
		panic("faults: options were checked before")
	}
	return &nemesis{cluster: c, load: l, menu: kinds, out: os.Stdout, seed: o.seed, shuffle: rand.New(rand.NewPCG(o.seed, 0))}
}

// rage breaks the cluster for so long, and returns when all faults are over.
func (n *nemesis) rage(ctx context.Context, most time.Duration) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		now := n.load.now()
		calm := now >= most || now%(chaosPart+calmPart) >= chaosPart
		if err := errors.Join(n.watch(), n.heal(now, calm)); err != nil {
			return err
		}
		if now >= most {
			return nil
		}
		if !calm && now >= n.next {
			if err := n.strike(now); err != nil {
				return err
			}
		}
	}
}

// open returns the faults that are not over.
func (n *nemesis) open() []*episode {
	return slices.DeleteFunc(slices.Clone(n.episodes), func(e *episode) bool { return e.over })
}

// heal ends the faults whose time has come, or all.
func (n *nemesis) heal(now time.Duration, all bool) error {
	for _, e := range n.open() {
		if !all && now < e.end {
			continue
		}
		if err := e.kind.end(n, e); err != nil {
			return fmt.Errorf("end of %s: %w", e, err)
		}
		e.over, e.end = true, n.load.now()
		n.healed = e.end
	}
	return nil
}

// strike begins a fault, unless too many nodes suffer already.
func (n *nemesis) strike(now time.Duration) error {
	k := n.draw()
	n.rng = rand.New(rand.NewPCG(n.seed, ^uint64(len(n.episodes))))
	victims := n.victims(k.grave)
	if len(victims) == 0 {
		return nil // it waits
	}
	e := &episode{kind: k, id: len(n.episodes), victims: victims, began: now, end: now + n.lasting()}
	n.deck = n.deck[1:]
	n.next = now + n.between(betweenMin, betweenMax)
	n.episodes = append(n.episodes, e)
	fmt.Fprintf(n.out, "%v: %s of %v until %v\n", now.Round(time.Millisecond), e.name, e.victims, e.end.Round(time.Millisecond))
	if err := e.begin(n, e); err != nil {
		return fmt.Errorf("%s: %w", e, err)
	}
	return nil
}

func (n *nemesis) between(least, most time.Duration) time.Duration {
	return least + time.Duration(n.rng.Int64N(int64(most-least)))
}

// lasting draws how long a fault lasts: short ones more often.
func (n *nemesis) lasting() time.Duration {
	x := n.rng.Float64()
	return healMin + time.Duration(x*x*float64(healMax-healMin))
}

// draw returns the next fault of the deck, in which every kind is as often as it weighs. A new deck is shuffled when one is
// played out, so that every kind comes up.
func (n *nemesis) draw() kind {
	if len(n.deck) == 0 {
		for _, k := range n.menu {
			n.deck = append(n.deck, slices.Repeat([]kind{k}, k.weight)...)
		}
		n.shuffle.Shuffle(len(n.deck), func(i, j int) { n.deck[i], n.deck[j] = n.deck[j], n.deck[i] })
	}
	return n.deck[0]
}

// victims draws nodes that suffer nothing yet, so many that at most a minority suffers; more than half of all for a grave
// fault, and then nobody else may suffer. None if that cannot be.
func (n *nemesis) victims(grave bool) []int {
	free := n.rng.Perm(len(n.servers))
	for _, e := range n.open() {
		free = slices.DeleteFunc(free, func(i int) bool { return slices.Contains(e.victims, i) })
	}
	half := len(n.servers) / 2
	if grave && len(free) == len(n.servers) {
		return free[:half+1+n.rng.IntN(len(free)-half)]
	}
	room := (len(n.servers)-1)/2 - (len(n.servers) - len(free))
	if grave || room < 1 {
		return nil
	}
	return free[:1+n.rng.IntN(room)]
}

// watch looks for nodes that ended by themselves. Those that had no reason to are started again: one bug may hide another.
func (n *nemesis) watch() error {
	for _, s := range n.servers {
		if !s.wanted || s.running() {
			continue
		}
		s.wanted = false
		if n.mayEnd(s) {
			n.ends++
			continue // it is started when the fault is over
		}
		n.ended = append(n.ended, fmt.Sprintf("%s ended by itself at %v: %v", s.name(), n.load.now().Round(time.Millisecond), s.err))
		if err := s.start(0); err != nil {
			return err
		}
	}
	return nil
}

func (n *nemesis) mayEnd(s *server) bool {
	return slices.ContainsFunc(n.open(), func(e *episode) bool { return e.mayEnd && slices.Contains(e.victims, s.index) })
}

// excuses reports whether clients of the node may have had to wait at some time between the moments.
func (n *nemesis) excuses(server int, from, to time.Duration) bool {
	return slices.ContainsFunc(n.episodes, func(e *episode) bool {
		return e.silent && slices.Contains(e.victims, server) && e.began <= to && from <= e.end+calmAfter
	})
}

// calm reports whether nothing was wrong between the moments, nor for a while before.
func (n *nemesis) calm(from, to time.Duration) bool {
	return !slices.ContainsFunc(n.episodes, func(e *episode) bool { return e.began <= to && from <= e.end+calmAfter })
}

func (e *episode) String() string {
	return fmt.Sprintf("%s of %v from %v", e.name, e.victims, e.began.Round(time.Millisecond))
}
