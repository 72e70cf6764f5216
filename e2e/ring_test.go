//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/protocol"
	"github.com/holdfastdb/holdfast/ring"
)

// movedMax is how many copies a change may move, as a multiple of the fewest that any could.
const movedMax = 1.1

// newcomer returns a node that is to join the cluster, not started, with a directory of its own.
func (c *cluster) newcomer(t *testing.T, name string, flags ...string) *member {
	t.Helper()
	first := c.nodes[0]
	network := first.host[:strings.LastIndex(first.host, ".")+1]
	last := c.nodes[len(c.nodes)-1].host
	number, err := strconv.Atoi(last[strings.LastIndex(last, ".")+1:])
	if err != nil {
		t.Fatal(err)
	}
	m := &member{name: name, host: network + strconv.Itoa(number+1), dir: filepath.Join(t.TempDir(), name), program: program("holdfast"),
		log: filepath.Join(t.TempDir(), name+".log"), flags: append([]string{"--join", first.gossip()}, flags...)}
	c.nodes = append(c.nodes, m)
	return m
}

// part takes a node that is no member any more out of the cluster, and shows the end of its log if the test fails.
func (c *cluster) part(t *testing.T, m *member) {
	t.Helper()
	c.nodes = slices.DeleteFunc(slices.Clone(c.nodes), func(n *member) bool { return n == m })
	t.Cleanup(func() {
		m.end()
		if t.Failed() {
			t.Logf("log of %s:\n%s", m.name, m.tail())
		}
	})
}

// holdfast runs the program as an operator does, and returns what it prints.
func holdfast(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program("holdfast"), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("holdfast %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// ring returns the placement as `holdfast ring --json` prints it.
func (m *member) ring(t *testing.T) (r protocol.Ring) {
	t.Helper()
	if err := json.Unmarshal([]byte(holdfast(t, "ring", "--json", "--addr", m.resp())), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// awaitRest returns when every node says that nothing changes and all nodes of the cluster are active members, and how long that took.
func (c *cluster) awaitRest(t *testing.T) time.Duration {
	t.Helper()
	return awaitWithin(t, sized(patience, restMax), "the ring is at rest", func() error {
		for _, m := range c.nodes {
			if err := c.rests(m); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
		return nil
	})
}

// restMax is for a change of the ring in the full size.
const restMax = 10 * time.Minute

// rests returns nil if the node says that the ring is at rest.
func (c *cluster) rests(m *member) error {
	var s protocol.Status
	if err := m.ask(&s, "STATUS"); err != nil {
		return err
	}
	if s.Change != nil {
		return fmt.Errorf("%d copies to go; waits: %s", s.Change.Copies, strings.Join(s.Change.Waits, "; "))
	}
	if len(s.Nodes) != len(c.nodes) {
		return fmt.Errorf("%d members, want %d", len(s.Nodes), len(c.nodes))
	}
	for _, n := range s.Nodes {
		if n.Status != "active" || c.named(n.Name) == nil {
			return fmt.Errorf("%s is %s", n.Name, n.Status)
		}
	}
	return nil
}

// fair wants copies and first places within one of the fair share on every member.
func fair(t *testing.T, r protocol.Ring, members int) {
	t.Helper()
	for _, n := range r.Nodes {
		if n.Status == "removed" {
			if n.Primaries > 0 {
				t.Errorf("%s was removed and owns %d copies", n.Name, n.Primaries)
			}
			continue
		}
		share := float64(r.Partitions) / float64(members)
		if off := math.Abs(float64(n.Primaries) - share*float64(r.N)); off >= 1 {
			t.Errorf("%s owns %d copies, the fair share is %.1f", n.Name, n.Primaries, share*float64(r.N))
		}
		if off := math.Abs(float64(n.Coordinates) - share); off >= 1 {
			t.Errorf("%s has %d first places, the fair share is %.1f", n.Name, n.Coordinates, share)
		}
	}
}

// movedFew wants that few more copies lie elsewhere after a change than had to, and returns how many do, and had to.
func movedFew(t *testing.T, before, after protocol.Ring) (moved, least int) {
	t.Helper()
	for p, owners := range after.Preference {
		for _, name := range owners {
			if !slices.Contains(before.Preference[p], name) {
				moved++
			}
		}
	}
	least = leastMoves(t, before, after)
	if moved > int(math.Ceil(movedMax*float64(least))) {
		t.Errorf("%d copies moved, %d had to", moved, least)
	}
	return moved, least
}

// leastMoves returns how many copies have to move from before to a layout that is fair to the nodes of after: what ring.Plan moves, which
// finds as few as a search of all layouts does (ring.TestPlanMovesTheFewestPossible). What the nodes gain in numbers may be less: where most
// partitions of a node that leaves are those of one other node, too, that one can take few of them.
func leastMoves(t *testing.T, before, after protocol.Ring) (least int) {
	t.Helper()
	ids := map[string]ring.NodeID{}
	var members []ring.Member
	name := func(n string) ring.NodeID {
		if _, known := ids[n]; !known {
			ids[n] = ring.NodeID{byte(len(ids) + 1)}
		}
		return ids[n]
	}
	for _, n := range after.Nodes {
		if n.Status != "removed" {
			members = append(members, ring.Member{ID: name(n.Name), Name: n.Name, Status: ring.Active, Weight: 1})
		}
	}
	prev := &ring.Layout{Version: 1, Q: before.Partitions, N: before.N, Owners: make([][]ring.NodeID, before.Partitions)}
	for p, owners := range before.Preference {
		for _, n := range owners {
			prev.Owners[p] = append(prev.Owners[p], name(n))
		}
	}
	plan, err := ring.Plan(prev, members, prev.Q, prev.N)
	if err != nil {
		t.Fatal(err)
	}
	for p, owners := range plan.Owners {
		for _, id := range owners {
			if !slices.Contains(prev.Owners[p], id) {
				least++
			}
		}
	}
	return least
}

// holdOnlyTheirOwn wants every node to hold as many of these keys as it owns: all of them, and nothing else.
func (c *cluster) holdOnlyTheirOwn(t *testing.T, keys []string) {
	t.Helper()
	r := c.nodes[0].ring(t)
	own := map[string]int64{}
	for _, key := range keys {
		for _, name := range r.Preference[ring.PartitionOf(ring.Slot([]byte(key)), r.Partitions)] {
			own[name]++
		}
	}
	for _, m := range c.nodes {
		await(t, m.name+" holds the keys that it owns and no other", func() error {
			if held, err := m.own(); err != nil || held.Keys != own[m.name] {
				return fmt.Errorf("%d keys, %d of them its own, %v", held.Keys, own[m.name], err)
			}
			return nil
		})
	}
}
