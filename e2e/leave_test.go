//go:build linux

package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// TestANodeThatLeavesServesItsClientsUntilTheyHaveGone has all clients talk to the node that leaves: when it holds nothing any more, it
// forwards, and no command fails. It ends by itself when the last of them has gone.
func TestANodeThatLeavesServesItsClientsUntilTheyHaveGone(t *testing.T) {
	c := found(t, 4)
	leaver := c.nodes[3]
	kept := loaded(t, c.nodes[:3], 2_000)
	l := load(t, 10, 20*time.Millisecond, leaver)
	l.during(time.Second)
	holdfast(t, "leave", "--addr", leaver.resp())
	await(t, "all but the clients has left", func() error { return c.handedOn(leaver) })
	await(t, "status says so", func() error {
		return statusSays(t, c.nodes[0], "node-4 is leaving, and serves the 10 clients that are still connected to it")
	})
	l.during(time.Second)
	if err := c.handedOn(leaver); err != nil {
		t.Errorf("it was struck off under its clients: %v", err)
	}
	r := l.stop()
	r.answered(t)
	if r.unsure > 0 {
		t.Errorf("%d answers were MAYBE", r.unsure)
	}
	c.leaves(t, leaver)
	c.awaitRest(t)
	c.awaitNoHints(t)
	r.verify(t, l, 1, c.nodes...)
	kept.verify(t, c)
	c.holdOnlyTheirOwn(t, append(kept.there, r.present(t, c.nodes[0])...))
	c.allRun(t)
}

// handedOn returns nil if a node that leaves holds nothing any more, and only its clients keep it.
func (c *cluster) handedOn(m *member) error {
	if own, err := m.own(); err != nil || own.Keys+own.Hints > 0 {
		return fmt.Errorf("%d keys, %d hints, %v", own.Keys, own.Hints, err)
	}
	return c.waitsFor(m.name + " to hand on what it alone holds")
}

// waitsFor returns nil if the change of the ring waits for this and nothing else.
func (c *cluster) waitsFor(text string) error {
	var s struct{ Change *struct{ Waits []string } }
	if err := c.nodes[0].ask(&s, "STATUS"); err != nil {
		return err
	}
	if s.Change == nil || len(s.Change.Waits) != 1 || s.Change.Waits[0] != text {
		return fmt.Errorf("the change: %+v, want it to wait for %q", s.Change, text)
	}
	return nil
}

// leaves waits until a process that leaves has ended by itself, well.
func (c *cluster) leaves(t *testing.T, m *member) {
	t.Helper()
	select {
	case <-m.done:
		if m.err != nil {
			t.Errorf("%s left and ended with %v", m.name, m.err)
		}
	case <-time.After(patience):
		t.Fatalf("%s still runs %v after its last client has gone", m.name, patience)
	}
	c.part(t, m)
}

// TestANodeThatIsStoppedWhileItLeaves is stopped once in the middle, and goes on when it is started again; and once when only a client
// keeps it, and is struck off without that.
func TestANodeThatIsStoppedWhileItLeaves(t *testing.T) {
	c := found(t, 4, "--partitions", bulkyPartitions)
	values := loadBulky(t, c, 200)
	t.Run("in the middle", func(t *testing.T) {
		leaver := c.nodes[3]
		holdfast(t, "leave", "--addr", leaver.resp())
		leaver.terminate(t)
		await(t, "status names it", func() error {
			return statusSays(t, c.nodes[0], "waits for "+leaver.name, "holdfast remove "+leaver.name)
		})
		leaver.start(t)
		c.leaves(t, leaver)
		c.awaitRest(t)
		c.holdOnlyTheirOwn(t, values)
	})
	t.Run("when only a client keeps it", func(t *testing.T) {
		leaver := c.newcomer(t, "node-5")
		leaver.start(t)
		c.awaitRest(t)
		conn := leaver.client(t)
		must(t, conn, "PING")
		holdfast(t, "leave", "--addr", leaver.resp())
		await(t, "all but the client has left", func() error { return c.handedOn(leaver) })
		leaver.terminate(t)
		c.part(t, leaver)
		c.awaitRest(t)
		c.holdOnlyTheirOwn(t, values)
	})
	t.Run("killed when only a client keeps it", func(t *testing.T) {
		leaver := c.newcomer(t, "node-6")
		leaver.start(t)
		c.awaitRest(t)
		conn := leaver.client(t)
		must(t, conn, "PING")
		holdfast(t, "leave", "--addr", leaver.resp())
		await(t, "all but the client has left", func() error { return c.handedOn(leaver) })
		leaver.signal(t, syscall.SIGKILL)
		<-leaver.done
		leaver.start(t) // it holds nothing, and now nobody keeps it
		c.leaves(t, leaver)
		c.awaitRest(t)
	})
	for _, m := range c.nodes {
		values.verify(t, m)
	}
	c.allRun(t)
}
