package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/nodetest"
	"github.com/holdfastdb/holdfast/protocol"
)

const (
	ringChangeMax = 2 * time.Minute       // for a change of a small ring to come to rest
	stepEvery     = 20 * time.Millisecond // between two steps of a client: a bubble's time stands still while anybody works
)

// resting waits until the ring is as planned on the machines, with these members, and checks that copies and first places are as even
// as can be and that every machine holds what it owns and nothing else.
func resting(t *testing.T, c *nodetest.Cluster, machines ...*nodetest.Machine) {
	t.Helper()
	c.Eventually(ringChangeMax, "the ring is at rest", func() bool {
		for _, m := range machines {
			if !atRest(m, len(machines)) {
				return false
			}
		}
		return true
	})
	r := ringOf(t, machines[0])
	for _, n := range r.Nodes {
		if n.Status == "removed" {
			continue
		}
		fair := float64(r.N*r.Partitions) / float64(len(machines))
		first := float64(r.Partitions) / float64(len(machines))
		if d := float64(n.Primaries) - fair; d <= -1 || d >= 1 {
			t.Errorf("%s owns %d copies, the fair share is %.1f", n.Name, n.Primaries, fair)
		}
		if d := float64(n.Coordinates) - first; d <= -1 || d >= 1 {
			t.Errorf("%s has %d first places, the fair share is %.1f", n.Name, n.Coordinates, first)
		}
	}
}

func atRest(m *nodetest.Machine, members int) bool {
	st, err := m.Node.Status()
	if err != nil || st.Change != nil {
		return false
	}
	active := 0
	for _, n := range st.Nodes {
		if n.Status == "active" {
			active++
		} else if n.Status != "removed" {
			return false
		}
	}
	return active == members
}

func ringOf(t *testing.T, m *nodetest.Machine) protocol.Ring {
	t.Helper()
	r, err := m.Node.Ring()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// owner is a client with keys of its own, which knows what each must show.
type owner struct {
	name   string
	values map[string]string
	n      int
	bad    []string
}

func (o *owner) do(c *nodetest.Client, args ...any) any {
	answer := c.Do(args...)
	if err, failed := answer.(error); failed {
		o.bad = append(o.bad, fmt.Sprint(args, ": ", err))
	}
	return answer
}

// step writes or deletes one key, reads another back, and notes what is not as it must be.
func (o *owner) step(c *nodetest.Client) {
	o.n++
	key := fmt.Sprint(o.name, "-", o.n%97)
	switch value := fmt.Sprint("value", o.n); o.n % 5 {
	case 0:
		o.do(c, "DEL", key)
		delete(o.values, key)
	case 1:
		pair, _ := o.do(c, "GETV", key).([]any)
		if len(pair) == 2 {
			o.do(c, "PUTCTX", key, pair[0], value)
			o.values[key] = value
		}
	default:
		o.do(c, "SET", key, value)
		o.values[key] = value
	}
	o.check(c, fmt.Sprint(o.name, "-", o.n*31%97))
}

func (o *owner) check(c *nodetest.Client, key string) {
	want, there := o.values[key]
	switch got := o.do(c, "GET", key).(type) {
	case nil:
		if there {
			o.bad = append(o.bad, fmt.Sprintf("%s is lost, want %s", key, want))
		}
	case string:
		if got != want {
			o.bad = append(o.bad, fmt.Sprintf("%s is %q, want %q", key, got, want))
		}
	}
}

// underLoad runs clients at the machines while act goes on, and fails the test if any command failed or showed what it must not.
func underLoad(t *testing.T, machines []*nodetest.Machine, owners []*owner, act func()) {
	t.Helper()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i, o := range owners {
		wg.Go(func() {
			c := machines[i%len(machines)].Client()
			defer c.Close()
			for {
				select {
				case <-stop:
					return
				default:
					o.step(c)
					time.Sleep(stepEvery)
				}
			}
		})
	}
	act()
	close(stop)
	wg.Wait()
	steps := 0
	for _, o := range owners {
		steps += o.n
		if len(o.bad) > 0 {
			t.Fatalf("%s: %d things wrong, first %s", o.name, len(o.bad), o.bad[0])
		}
	}
	t.Logf("%d steps so far", steps)
}

func TestRingGrowsShrinksAndIsRepairedUnderLoad(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		stay := append([]*nodetest.Machine{}, c.Machines...)
		var owners []*owner
		for i := range 6 {
			owners = append(owners, &owner{name: fmt.Sprint("client", i), values: map[string]string{}})
		}
		seeds := c.Machines[0].Config.Join
		underLoad(t, stay, owners, func() {
			for range 2 {
				c.Add(node.Config{Join: seeds}).MustStart()
			}
			resting(t, c, c.Machines...)
		})
		leaver, dead := c.Machines[4], c.Machines[3]
		underLoad(t, stay, owners, func() {
			if err := leaver.Node.Leave(); err != nil {
				t.Fatal(err)
			}
			c.Eventually(ringChangeMax, "the leaving node has left", func() bool { return leaver.Node.Err() != nil })
			if err := leaver.Node.Err(); !errors.Is(err, node.ErrLeft) {
				t.Fatalf("the leaving node ended with %v", err)
			}
			leaver.Stop()
			resting(t, c, c.Machines[:4]...)
		})
		underLoad(t, stay, owners, func() {
			dead.Kill()
			c.Add(node.Config{Join: seeds, Replace: dead.Config.Name}).MustStart()
			resting(t, c, append(stay, c.Machines[5])...)
		})
		holders := append(stay, c.Machines[5])
		for _, o := range owners {
			for _, m := range holders {
				client := m.Client()
				for i := range 97 {
					o.check(client, fmt.Sprint(o.name, "-", i))
				}
				client.Close()
			}
			if len(o.bad) > 0 {
				t.Fatalf("%s: %s", o.name, o.bad[0])
			}
		}
	})
}

func TestStatusSaysWhoIsWaitedForAndRemoveFrees(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		for i := range 50 {
			if answer := c.Machines[0].Do("SET", fmt.Sprint("key", i), i); answer != "OK" {
				t.Fatal(answer)
			}
		}
		down := c.Machines[3]
		down.Kill()
		added := c.Add(node.Config{Join: c.Machines[0].Config.Join})
		added.MustStart()
		c.Eventually(ringChangeMax, "status names who is waited for", func() bool {
			st, err := c.Machines[0].Node.Status()
			return err == nil && st.Change != nil && len(st.Change.Waits) == 1 && st.Change.Waits[0] == fmt.Sprintf(
				"%s to acknowledge layout %d, which is down: start it again, or give it up with `holdfast remove %s`", down.Config.Name, st.Change.Layout, down.Config.Name)
		})
		if err := c.Machines[1].Node.Remove(c.Machines[2].Config.Name); err == nil {
			t.Fatal("a living node was removed")
		}
		c.Eventually(ringChangeMax, "a dead node can be removed", func() bool { return c.Machines[1].Node.Remove(down.Config.Name) == nil })
		resting(t, c, c.Machines[0], c.Machines[1], c.Machines[2], added)
		if err := down.Start(); err == nil {
			c.Eventually(ringChangeMax, "the removed node takes itself out of service", func() bool { return down.Node.Err() != nil })
			_ = down.Node.Shutdown(context.Background())
			down.Node = nil
		}
	})
}

// A node that leaves and is killed counts its rows anew when it starts; until then it does not know that it has any.
func TestALeavingNodeIsNotEmptyBeforeItHasCounted(t *testing.T) {
	withoutAntiEntropy(t, 2, func(t *testing.T, c *nodetest.Cluster) {
		const rows = 200
		put(t, c, rows, sameValue, func(int, int) bool { return true })
		stays, leaves := c.Machines[0], c.Machines[1].Node
		count := leaves.Uncount()
		if err := leaves.Leave(); err != nil {
			t.Fatal(err)
		}
		c.Eventually(ringChangeMax, "nothing is the leaving node's", func() bool {
			return !slices.ContainsFunc(ringOf(t, stays).Nodes, func(n protocol.RingNode) bool { return n.Status == "leaving" && n.Primaries > 0 })
		})
		select {
		case <-leaves.Wait():
			t.Fatalf("it left with %d rows that it had not counted: %v", leaves.Store().Total().Rows, leaves.Err())
		case <-time.After(ringChangeMax):
		}
		if n := leaves.Store().Total().Rows; n != rows {
			t.Errorf("%d rows are left of %d: what is not counted is not known to be anywhere else", n, rows)
		}
		count()
		<-leaves.Wait()
		if err, n := leaves.Err(), leaves.Store().Total().Rows; !errors.Is(err, node.ErrLeft) || n != 0 {
			t.Errorf("left with %d rows: %v", n, err)
		}
	})
}

// A document is known before requests go by it. Acknowledged in between, it would be with an operation of the former one under way that nobody
// waited for.
func TestALayoutIsAcknowledgedOnlyOnceRequestsGoByIt(t *testing.T) {
	withoutAntiEntropy(t, 2, func(t *testing.T, c *nodetest.Cluster) {
		stays, leaves := c.Machines[0].Node, c.Machines[1].Node
		layouts := 0
		stays.BeforeRuling(func(version uint64) {
			if stays.Ruling() > stays.Viewed() {
				t.Errorf("layout %d may be acknowledged, and requests go by %d", version, stays.Viewed())
			}
			if version > stays.Viewed() {
				layouts++
			}
		})
		if err := leaves.Leave(); err != nil {
			t.Fatal(err)
		}
		<-leaves.Wait()
		if layouts == 0 {
			t.Error("the ring did not change")
		}
	})
}

// A node that is stopped while it leaves is struck off meanwhile. When it comes back with clients it is not empty any more, as it says
// before it hears of that; yet it has left.
func TestANodeThatWasStoppedWhileItLeftHasLeft(t *testing.T) {
	withoutAntiEntropy(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		put(t, c, 50, sameValue, func(int, int) bool { return true })
		first := slices.MinFunc(ringOf(t, c.Machines[0]).Nodes, func(a, b protocol.RingNode) int { return strings.Compare(a.ID, b.ID) })
		mine := func(m *nodetest.Machine) bool { return m.Config.Name == first.Name } // the others leave it the next step while it runs
		leaves := c.Machines[slices.IndexFunc(c.Machines, mine)]
		stay := slices.DeleteFunc(slices.Clone(c.Machines), mine)
		client := leaves.Client() // whom it waits for
		defer client.Close()
		if err := leaves.Node.Leave(); err != nil {
			t.Fatal(err)
		}
		c.Eventually(ringChangeMax, "it has handed on what it had", func() bool { return leaves.Node.Store().Bare() })
		leaves.Stop()
		c.Eventually(ringChangeMax, "it is struck off", func() bool {
			return slices.ContainsFunc(ringOf(t, stay[0]).Nodes, func(n protocol.RingNode) bool { return n.Status == "removed" })
		})

		c.Split(stay, []*nodetest.Machine{leaves})
		leaves.MustStart()
		if leaves.Node.Err() == nil { // else it heard of that before it ended
			other := leaves.Client()
			defer other.Close()
			time.Sleep(ringChangeMax)
			c.Join(stay, []*nodetest.Machine{leaves})
		}
		<-leaves.Node.Wait()
		if err := leaves.Node.Err(); !errors.Is(err, node.ErrLeft) {
			t.Errorf("it ended: %v", err)
		}
	})
}
