package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/ring"
)

// taking is the taking over of one partition.
type taking struct {
	again time.Time // after a failure: when to try again
	busy  bool
	from  ring.NodeID // whom it was to be taken from when it failed
	wait  error       // why; nil: it did not
}

// takeOver starts to take over what the document gives this node, takeOversMax partitions at a time, and forgets what the document
// no longer asks for.
func (c *changer) takeOver(ctx context.Context, s ring.State) {
	due := c.due(s)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetLocked(s)
	pending, busy := 0, 0
	for h := range due {
		if !c.mu.held[h] {
			pending++
		}
	}
	c.progress.begin(pending, time.Now())
	for _, t := range c.mu.taking {
		if t.busy {
			busy++
		}
	}
	for h, from := range due {
		t := c.mu.taking[h]
		if t == nil {
			t = &taking{}
			c.mu.taking[h] = t
		}
		if busy >= takeOversMax || t.busy || c.mu.held[h] || time.Now().Before(t.again) {
			continue
		}
		busy++
		t.busy = true
		c.wg.Go(func() { c.take(ctx, h, from) })
	}
}

// due returns the changes that bring this node a partition, as far as it may be taken over already, and from whom.
func (c *changer) due(s ring.State) map[ring.Held][]ring.NodeID {
	due := make(map[ring.Held][]ring.NodeID)
	for _, change := range s.Layout.Changes {
		if s.Layout.In(change) != c.n.id {
			continue
		}
		if from, began, ok := s.Sources(change.Partition); ok {
			due[ring.Held{Partition: change.Partition, Began: began}] = from
		}
	}
	return due
}

func (c *changer) forgetLocked(s ring.State) {
	failed := map[ring.NodeID]int{}
	why := map[ring.NodeID]error{}
	for h, t := range c.mu.taking {
		if change, under := s.Layout.Change(h.Partition); (!under || change.Began != h.Began) && !t.busy {
			delete(c.mu.taking, h)
			delete(c.mu.held, h)
		} else if t.wait != nil && !c.mu.held[h] {
			failed[t.from]++
			why[t.from] = t.wait
		}
	}
	c.mu.waits = c.mu.waits[:0]
	for id, n := range failed {
		what := "a partition"
		if n > 1 {
			what = fmt.Sprint(n, " partitions")
		}
		c.mu.waits = append(c.mu.waits, fmt.Sprintf("%s to hand %s over to %s%s", c.n.nameOf(id), what, c.n.cfg.Name, c.because(id, why[id])))
	}
	slices.Sort(c.mu.waits)
}

// take takes one partition over from all that hold it, and has it on disk before it says so.
func (c *changer) take(ctx context.Context, h ring.Held, from []ring.NodeID) {
	var err error
	var source ring.NodeID
	if fault.On(fault.ReadUnheld) {
		from = nil
	}
	for i := 0; i < len(from) && err == nil; i++ {
		var got pulled
		source = from[i]
		got, err = c.n.pull(ctx, h.Partition, source, forTransfer)
		c.progress.add(got, err == nil && i == len(from)-1)
	}
	c.took(h, source, err)
}

func (c *changer) took(h ring.Held, from ring.NodeID, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.mu.taking[h]
	t.busy, t.from, t.wait = false, from, err
	if err != nil {
		t.again = time.Now().Add(takeOverRetry)
	} else {
		c.mu.held[h] = true
		if c.mu.unsaid.IsZero() {
			c.mu.unsaid = time.Now()
		}
	}
	wake(c.poke)
}

// sayHeld reports whether what was taken over is to be said now, the first of it having waited for so long while others are still busy.
// Whatever is said makes every member take a step, at which requests under way meet two layouts; so partitions wait for each other.
func sayHeld(waited time.Duration, busy bool) bool { return !busy || waited >= heldWait }

// speaksOfHeld is sayHeld for what is held now.
func (c *changer) speaksOfHeld() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	busy := false
	for _, t := range c.mu.taking {
		busy = busy || t.busy
	}
	if !sayHeld(time.Since(c.mu.unsaid), busy) {
		return false
	}
	c.mu.unsaid = time.Time{}
	return true
}

// holding returns the changes of the document that this process has taken over. What an earlier one said is said anew, for the directory
// may have been put back to an older state since; where it was not, comparing trees is all that it costs.
func (c *changer) holding(s ring.State) (held []ring.Held) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, change := range s.Layout.Changes {
		h := ring.Held{Partition: change.Partition, Began: change.Began}
		if c.mu.held[h] {
			held = append(held, h)
		}
	}
	return held
}
