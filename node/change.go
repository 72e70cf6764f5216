package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/protocol"
	"github.com/holdfastdb/holdfast/ring"
)

// changer does this node's part of the ring's changes: it acknowledges layouts, takes over what partitions are to be its own,
// says so, gives up what is no longer its own, and makes the next step when it is this node's turn. All that it goes by is the
// ring document and what is on disk, so that it goes on after a crash where it stopped.
type changer struct {
	n    *Node
	poke chan struct{} // capacity 1: look again
	news chan struct{} // capacity 1: tell the others

	seen  ring.Edition // the edition met last, and since when; of the goroutine of run
	since time.Time
	// atRest is the document, encoded, of which it is known that it asks for no step; of the goroutine of run. To plan a ring anew only to
	// find that again has its price, twice a second.
	atRest string
	retry  map[ring.Partition]time.Time // when to try again to give a partition up; of the goroutine of run

	mu struct {
		sync.Mutex
		rows   tally // the store
		taking map[ring.Held]*taking
		held   map[ring.Held]bool // taken over and on disk
		unsaid time.Time          // since when some of it was not said; zero: all was
		waits  []string           // what this node waits for, in words
		stays  []string           // likewise, for partitions that it is to give up

		givingBy   ring.Edition // under which partitions are being given up
		stopGiving func()       // nil: none is
	}
	progress progress
	outlook  outlook
	wg       sync.WaitGroup
}

func newChanger(n *Node) *changer {
	c := &changer{n: n, poke: make(chan struct{}, 1), news: make(chan struct{}, 1), retry: make(map[ring.Partition]time.Time)}
	c.mu.rows, c.mu.taking, c.mu.held = n.store, make(map[ring.Held]*taking), make(map[ring.Held]bool)
	return c
}

// changed is told of every new ring document.
func (c *changer) changed(s ring.State) {
	c.mu.Lock()
	if c.mu.stopGiving != nil && s.Edition() != c.mu.givingBy {
		c.mu.stopGiving()
	}
	c.mu.Unlock()
	wake(c.poke)
}

// wake makes sure that a channel of capacity one has an element.
func wake(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// run looks at the document whenever it changed, and each changeEvery besides, until ctx ends.
func (c *changer) run(ctx context.Context) {
	defer c.wg.Wait()
	tick := time.NewTicker(changeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.poke:
		case <-tick.C:
		}
		if s := c.n.ruling.Load(); s != nil {
			c.look(ctx, *s)
		}
	}
}

// look does what the document, which rules already, asks of this node now. Each part leaves a new document behind, or nothing; the next look goes on.
func (c *changer) look(ctx context.Context, s ring.State) {
	if now := s.Edition(); now != c.seen {
		c.seen, c.since = now, time.Now()
	}
	if !s.Layout.Has(c.n.id) {
		return // new here: a layout with this node in it comes
	}
	if c.n.coord.Quiesce(ctx) != nil {
		return
	}
	c.takeOver(ctx, s)
	c.report(s)
	c.giveUp(ctx, s)
	c.propose(c.n.members.State())
}

// report says of this node what is true now, where it was not said yet, or what was taken over waits for more of it.
func (c *changer) report(s ring.State) {
	self, speaks := c.n.id, c.speaksOfHeld()
	err := c.n.members.update(func(now ring.State) (ring.State, error) {
		if now.Edition() != s.Edition() || now.Removed(self) {
			return now, nil // another look follows, or none: what it said last is why it was struck off
		}
		said, _ := now.Report(self)
		r := ring.Report{Node: self, Seq: said.Seq + 1, Acked: now.Edition(), Held: c.holding(now), Empty: c.empty(now)}
		if r.Acked == said.Acked && r.Empty == said.Empty && (!speaks || slices.Equal(r.Held, said.Held)) {
			return now, nil
		}
		return now.WithReport(r), nil
	})
	c.tell("report", err)
}

func (c *changer) tell(what string, err error) {
	if err != nil {
		c.n.cfg.Logger.Error("cannot go on with a change of the ring", "step", what, "error", err)
	}
}

// propose makes the next step, if one can be made. Whoever makes it, it is the same; that the member with the lowest id does, and others
// only when it has not for a while, saves work.
func (c *changer) propose(s ring.State) {
	if !c.myTurn(s) && time.Since(c.since) < proposePatience {
		return
	}
	now := string(s.Encode())
	if now == c.atRest {
		return
	}
	if next, _ := c.outlook.planner.Next(s, c.n.id); string(next.Encode()) == now {
		c.atRest = now
		return
	}
	err := c.n.members.update(func(now ring.State) (ring.State, error) {
		next, _ := c.outlook.planner.Next(now, c.n.id)
		return next, nil
	})
	c.tell("next layout", err)
}

func (c *changer) myTurn(s ring.State) bool {
	for _, id := range s.Layout.Members {
		if m, _ := s.Member(id); m.Status != ring.Removed && c.n.up(id) {
			return id == c.n.id
		}
	}
	return false
}

// status shows how far the ring's change is; nil when nothing changes.
func (c *changer) status() *protocol.RingChange {
	s := c.n.members.State()
	waits := c.waits(s)
	if s.IsZero() || len(s.Layout.Changes) == 0 && len(waits) == 0 {
		return nil
	}
	change := &protocol.RingChange{Layout: s.Layout.Version, Waits: waits}
	for _, copies := range c.outlook.remaining(s) {
		change.Copies += copies
	}
	return change
}

// waits says in words what the ring's change waits for; empty when nothing changes.
func (c *changer) waits(s ring.State) (words []string) {
	if s.IsZero() {
		return nil
	}
	for _, w := range c.outlook.waits(s, c.n.id) {
		text := w.String()
		if !w.Node.IsZero() {
			text += c.because(w.Node, nil)
		}
		words = append(words, text)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(append(words, c.mu.waits...), c.mu.stays...)
}

// because says why a node is waited for, as far as that is known: it is down, or the error.
func (c *changer) because(id ring.NodeID, err error) string {
	switch {
	case !c.n.up(id):
		return ", which is down: start it again, or give it up with `holdfast remove " + c.n.nameOf(id) + "`"
	case err != nil:
		return ": " + err.Error()
	}
	return ""
}

// leaving reports whether this node hands its share to the others: new clients had better go elsewhere.
func (n *Node) leaving() bool {
	m, known := n.members.member(n.id)
	return known && m.Status == ring.Leaving
}

// sayFarewell is the last word of a node that leaves and is stopped once it has handed everything on.
func (n *Node) sayFarewell(ctx context.Context) {
	if s := n.ruling.Load(); s != nil && n.leaving() && n.coord.Quiesce(ctx) == nil && n.changer.empty(*s) {
		n.changer.report(*s)
		n.exchangeRing(ctx)
	}
}

// Leave has this node hand its share to the others. It goes on serving until its clients have gone.
func (n *Node) Leave() error {
	err := n.members.update(func(s ring.State) (ring.State, error) { return s.Leave(n.id) })
	if errors.Is(err, ring.ErrLastOwner) {
		return errors.New("this is the last node that may hold data: stop it, or join another first")
	}
	return err
}

// Remove gives up a dead node, named by name or id.
func (n *Node) Remove(name string) error {
	return n.members.update(func(s ring.State) (ring.State, error) {
		m, err := memberNamed(s, name)
		if err != nil {
			return s, err
		}
		switch {
		case m.ID == n.id:
			return s, fmt.Errorf("%s is this node: use `holdfast leave`", name)
		case m.Status != ring.Removed && n.gossip.Alive(m.ID):
			return s, fmt.Errorf("%s is alive, or was a moment ago: use `holdfast leave` there, or stop it, wait some seconds and ask again", name)
		}
		after, err := s.Remove(m.ID)
		if errors.Is(err, ring.ErrFenced) {
			return s, nil // said before
		}
		return after, err
	})
}

// memberNamed finds a member by its id, or by its name among those that are not removed.
func memberNamed(s ring.State, name string) (ring.Member, error) {
	var found []ring.Member
	for _, m := range s.Members {
		if m.ID.String() == name {
			return m, nil
		}
		if m.Name == name && m.Status != ring.Removed {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return ring.Member{}, fmt.Errorf("no member is called %q; `holdfast status` lists them", name)
	case 1:
		return found[0], nil
	}
	return ring.Member{}, fmt.Errorf("%d members are called %q; give the id, as `holdfast status --json` shows it", len(found), name)
}

// Status returns what `holdfast status` shows.
func (n *Node) Status() (protocol.Status, error) { return front{n}.Status(n.ctx) }

// Ring returns what `holdfast ring` shows.
func (n *Node) Ring() (protocol.Ring, error) { return front{n}.Ring(n.ctx) }
