package node_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/node/nodetest"
)

// inBubble runs f with a started cluster of n machines.
func inBubble(t *testing.T, n int, f func(t *testing.T, c *nodetest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, n, nil)
		defer c.Close()
		c.Start()
		f(t, c)
	})
}

func must(t *testing.T, m *nodetest.Machine, args ...any) any {
	t.Helper()
	answer := m.Do(args...)
	if err, bad := answer.(error); bad {
		t.Fatalf("%s: %v: %v", m.Config.Name, args, err)
	}
	return answer
}

// getv returns a key's context and values, sorted.
func getv(t *testing.T, m *nodetest.Machine, key string) (seen string, values []string) {
	t.Helper()
	answer := must(t, m, "GETV", key).([]any)
	for _, v := range answer[1].([]any) {
		values = append(values, v.(string))
	}
	slices.Sort(values)
	return answer[0].(string), values
}

// awaitSplit waits until every machine knows who is in reach: its own side, and nobody else.
func awaitSplit(c *nodetest.Cluster, one, other []*nodetest.Machine) time.Duration {
	blind := func(from, to []*nodetest.Machine) bool {
		return !slices.ContainsFunc(from, func(m *nodetest.Machine) bool {
			return slices.ContainsFunc(to, func(o *nodetest.Machine) bool { return m.Sees(o) })
		})
	}
	return c.Eventually(10*time.Second, "both sides notice the cut", func() bool { return blind(one, other) && blind(other, one) })
}

func TestBothSidesOfACutAreWrittenAndBothValuesStay(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		one, other := c.Machines[:2], c.Machines[2:]
		c.Split(one, other)
		noticed := awaitSplit(c, one, other)
		must(t, one[0], "PUTCTX", "both", "", "left")
		must(t, other[0], "PUTCTX", "both", "", "right")
		must(t, one[1], "SET", "set", "older")
		time.Sleep(10 * time.Millisecond) // within one millisecond of two clocks neither is newer
		must(t, other[1], "SET", "set", "newer")
		c.Join(one, other)
		c.AwaitReady(c.Machines...)
		c.AwaitQuiet()
		for _, m := range c.Machines {
			if _, values := getv(t, m, "both"); !slices.Equal(values, []string{"left", "right"}) {
				t.Errorf("GETV at %s: %q", m.Config.Name, values)
			}
			if got := must(t, m, "GET", "set"); got != "newer" {
				t.Errorf("GET at %s: %v, want the higher-stamped", m.Config.Name, got)
			}
			if _, values := getv(t, m, "set"); !slices.Equal(values, []string{"newer", "older"}) {
				t.Errorf("GETV of the key that was SET at %s: %q", m.Config.Name, values)
			}
		}
		seen, _ := getv(t, c.Machines[3], "both")
		must(t, c.Machines[0], "PUTCTX", "both", seen, "merged")
		for _, m := range c.Machines {
			if _, values := getv(t, m, "both"); !slices.Equal(values, []string{"merged"}) {
				t.Errorf("GETV at %s after one PUTCTX with the context: %q", m.Config.Name, values)
			}
		}
		t.Logf("noticed the cut after %v", noticed)
	})
}

func TestCutOffNodeRefusesAndNothingRefusedIsSeen(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		alone, rest := c.Machines[:1], c.Machines[1:]
		c.Split(alone, rest)
		asked := askEvery(alone[0], 20*time.Millisecond, 4*time.Second)
		for i := range 50 {
			m, key := rest[i%2], fmt.Sprint("served", i)
			must(t, m, "SET", key, i)
			if got := must(t, rest[1-i%2], "GET", key); got != fmt.Sprint(i) {
				t.Fatalf("GET %s: %v", key, got)
			}
		}
		c.Join(alone, rest)
		c.AwaitReady(c.Machines...)
		time.Sleep(time.Minute)
		noticed, slowest, counts := time.Duration(0), time.Duration(0), map[string]int{}
		for _, s := range asked {
			counts[s.answer]++
			slowest = max(slowest, s.took)
			switch s.answer {
			case "NOQUORUM":
				if got := must(t, rest[0], "GET", s.key); got != nil {
					t.Errorf("%s was answered NOQUORUM and is %v", s.key, got)
				}
			case "MAYBE":
				noticed = max(noticed, s.at)
			default:
				t.Errorf("SET asked %v after the cut: %q", s.at, s.answer)
			}
		}
		t.Logf("noticed after %v; %d answers %v, the slowest after %v", noticed, len(asked), counts, slowest)
		if noticed > 2*time.Second || counts["NOQUORUM"] == 0 || counts["MAYBE"] == 0 {
			t.Errorf("noticed after %v, want MAYBE for at most 2 s, then NOQUORUM", noticed)
		}
	})
}

// A probe is one SET and what became of it.
type probe struct {
	key      string
	at, took time.Duration
	answer   string // the first word
}

// askEvery asks a SET of a new key every so often, none waiting for another.
func askEvery(m *nodetest.Machine, every, during time.Duration) []*probe {
	var probes []*probe
	var wg sync.WaitGroup
	for at := time.Duration(0); at < during; at += every {
		p := &probe{key: fmt.Sprint("probe", len(probes)), at: at}
		probes = append(probes, p)
		wg.Go(func() {
			asked := time.Now()
			p.answer, _, _ = strings.Cut(fmt.Sprint(m.Do("SET", p.key, "v")), " ")
			p.took = time.Since(asked)
		})
		time.Sleep(every)
	}
	wg.Wait()
	return probes
}

// A quorum is W nodes, not W primaries: what two primaries acknowledged just before they were cut off, no node of the other
// side has met. What is deleted there is what was met there. It is the price of taking writes on both sides of a cut, paid
// here by a client that sees no cut, for its own node answers all the time.
func TestADeleteLeavesTheOlderValueThatItsSideOfTheCutNeverMet(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, c *nodetest.Cluster) {
		primaries, others := placeOf(t, c, "k")
		hold, late := primaries[:2], primaries[2:]
		mine, near := slices.Concat(late, others), others[0]
		c.Split(late, slices.Concat(hold, others)) // nobody has noticed: the first two primaries answer
		must(t, near, "SET", "k", "older")
		c.Split(hold, mine)
		c.Join(late, others)
		awaitSplit(c, hold, mine)
		c.AwaitReady(mine...)
		must(t, near, "SET", "k", "newer")
		if got := must(t, near, "GET", "k"); got != "newer" {
			t.Errorf("GET before the delete: %v", got)
		}
		if got := must(t, near, "DEL", "k"); got != int64(1) {
			t.Errorf("DEL: %v", got)
		}
		if got := must(t, near, "GET", "k"); got != nil {
			t.Errorf("GET after the delete: %v", got)
		}
		c.Join(hold, mine)
		c.AwaitReady(c.Machines...)
		c.AwaitQuiet()
		for _, m := range c.Machines {
			if _, values := getv(t, m, "k"); !slices.Equal(values, []string{"older"}) {
				t.Errorf("GETV at %s: %q, want what no write had met, and not what was deleted", m.Config.Name, values)
			}
		}
		must(t, near, "DEL", "k")
		for _, m := range c.Machines {
			if got := must(t, m, "GET", "k"); got != nil {
				t.Errorf("GET at %s after a delete that met all: %v", m.Config.Name, got)
			}
		}
	})
}

// placeOf returns the primaries of a key, its coordinator first, and the other machines, in fair weather.
func placeOf(t *testing.T, c *nodetest.Cluster, key string) (primaries, others []*nodetest.Machine) {
	t.Helper()
	list := must(t, c.Machines[0], "HOLDFAST", "PREFLIST", key).([]any)
	for _, m := range c.Machines {
		if !slices.Contains(list, any(m.Config.Name)) {
			others = append(others, m)
		}
	}
	for _, name := range list {
		primaries = append(primaries, c.Machines[slices.IndexFunc(c.Machines, func(m *nodetest.Machine) bool { return m.Config.Name == name })])
	}
	return primaries, others
}
