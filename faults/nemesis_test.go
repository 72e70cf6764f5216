//go:build linux

package main

import (
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// quietNemesis returns one whose faults do nothing, so that a schedule takes no time.
func quietNemesis(nodes int, seed uint64) *nemesis {
	n := &nemesis{cluster: &cluster{servers: make([]*server, nodes)}, load: &load{began: time.Now()}, out: io.Discard, seed: seed, shuffle: rand.New(rand.NewPCG(seed, 0)), menu: menu()}
	for i := range n.menu {
		nothing := func(*nemesis, *episode) error { return nil }
		n.menu[i].begin, n.menu[i].end = nothing, nothing
	}
	return n
}

// schedule draws faults for so long, and calls look after each step.
func (n *nemesis) schedule(t *testing.T, most time.Duration, look func(now time.Duration)) {
	t.Helper()
	for now := time.Duration(0); now < most; now += 50 * time.Millisecond {
		for _, e := range n.open() {
			e.over = now >= e.end
		}
		if now >= n.next {
			if err := n.strike(now); err != nil {
				t.Fatal(err)
			}
		}
		look(now)
	}
}

func TestOnlyGraveFaultsTakeMoreThanAMinority(t *testing.T) {
	for nodes := NodesMin; nodes <= NodesMax; nodes++ {
		for seed := range uint64(5) {
			n := quietNemesis(nodes, seed)
			n.schedule(t, 2*time.Minute, func(now time.Duration) {
				var all []int
				grave := false
				for _, e := range n.open() {
					all, grave = append(all, e.victims...), grave || e.grave
				}
				slices.Sort(all)
				if len(slices.Compact(slices.Clone(all))) != len(all) {
					t.Fatalf("%d nodes, seed %d, %v: two faults on one node: %v", nodes, seed, now, n.open())
				}
				if grave != (2*len(all) > nodes) || grave && len(n.open()) > 1 || !grave && 2*len(all) >= nodes {
					t.Fatalf("%d nodes, seed %d, %v: %v", nodes, seed, now, n.open())
				}
			})
		}
	}
}

func TestEveryKindOfFaultComesUp(t *testing.T) {
	n := quietNemesis(5, 1)
	cards := 0
	for _, k := range n.menu {
		cards += k.weight
	}
	n.schedule(t, time.Hour, func(time.Duration) {})
	n.episodes = n.episodes[:cards] // the first deck
	for _, k := range n.menu {
		if !slices.ContainsFunc(n.episodes, func(e *episode) bool { return e.name == k.name }) {
			t.Errorf("in %d faults no %s", len(n.episodes), k.name)
		}
	}
}

func TestTheSameSeedGivesTheSameSchedule(t *testing.T) {
	told := func(seed uint64) (s []string) {
		n := quietNemesis(5, seed)
		n.schedule(t, time.Minute, func(time.Duration) {})
		for _, e := range n.episodes {
			s = append(s, e.String())
		}
		return s
	}
	if !slices.Equal(told(7), told(7)) {
		t.Error("seed 7 gives two schedules")
	}
	if slices.Equal(told(7), told(8)) {
		t.Error("seeds 7 and 8 give one schedule")
	}
}

func TestExcusesAndCalms(t *testing.T) {
	n := quietNemesis(3, 1)
	stop, cut := &episode{kind: kind{name: "stop", silent: true}, victims: []int{1}, began: 10 * time.Second, end: 20 * time.Second},
		&episode{kind: kind{name: "cut"}, victims: []int{2}, began: 10 * time.Second, end: 20 * time.Second}
	n.episodes = []*episode{stop, cut}
	for _, c := range []struct {
		name          string
		server        int
		from, to      time.Duration
		excused, calm bool
	}{
		{"before", 1, 8 * time.Second, 9 * time.Second, false, true},
		{"into the stop", 1, 8 * time.Second, 11 * time.Second, true, false},
		{"another node during the stop", 0, 12 * time.Second, 13 * time.Second, false, false},
		{"a node that is cut off answers", 2, 12 * time.Second, 13 * time.Second, false, false},
		{"just after", 1, 21 * time.Second, 22 * time.Second, true, false},
		{"long after", 1, 20*time.Second + calmAfter + 1, 30 * time.Second, false, true},
	} {
		if got := n.excuses(c.server, c.from, c.to); got != c.excused {
			t.Errorf("%s: excused: %v", c.name, got)
		}
		if got := n.calm(c.from, c.to); got != c.calm {
			t.Errorf("%s: calm: %v", c.name, got)
		}
	}
}
