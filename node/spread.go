package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/ring"
)

// spread tells the other nodes the ring document over the wire between nodes whenever this one has changed it, and takes theirs; what others
// say they tell everybody themselves, and again each spreadEvery while the ring changes. Gossip brings
// it everywhere at last; but a change of the ring is many steps, each of which all members must acknowledge, and a step by this way
// takes milliseconds.
func (n *Node) spread(ctx context.Context) {
	t := newTeller(n.exchangeRingWith)
	defer t.wg.Wait()
	repeat := time.NewTicker(spreadEvery)
	defer repeat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.changer.news:
		case <-repeat.C:
			if len(n.members.State().Unacknowledged()) == 0 && len(n.changes()) == 0 && !n.leaving() {
				continue // nobody waits for anything: gossip will do
			}
		}
		n.gossip.Announce()
		for _, id := range n.others() {
			t.tell(ctx, id)
		}
	}
}

// teller exchanges the ring document with other nodes, one exchange with each at a time: a node that hangs holds up no other.
type teller struct {
	exchange func(context.Context, ring.NodeID)
	wg       sync.WaitGroup // of the exchanges under way
	mu       struct {
		sync.Mutex
		news map[ring.NodeID]bool // of each node with which one is under way: whether there was news meanwhile
	}
}

func newTeller(exchange func(context.Context, ring.NodeID)) *teller {
	t := &teller{exchange: exchange}
	t.mu.news = make(map[ring.NodeID]bool)
	return t
}

// tell begins an exchange with a node, or has the one under way followed by another.
func (t *teller) tell(ctx context.Context, id ring.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, under := t.mu.news[id]; under {
		t.mu.news[id] = true
		return
	}
	t.mu.news[id] = false
	t.wg.Go(func() {
		for more := true; more; more = t.more(ctx, id) {
			t.exchange(ctx, id)
		}
	})
}

// more reports whether a node is to be told once more, and ends its turn if not.
func (t *teller) more(ctx context.Context, id ring.NodeID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.news[id] && ctx.Err() == nil {
		t.mu.news[id] = false
		return true
	}
	delete(t.mu.news, id)
	return false
}

// changes returns what is under way.
func (n *Node) changes() []ring.Change {
	if s := n.members.State(); !s.IsZero() {
		return s.Layout.Changes
	}
	return nil
}

// exchangeRing exchanges documents with every node in reach, all at once, and waits for the last, controlPatience at most.
func (n *Node) exchangeRing(ctx context.Context) {
	var wg sync.WaitGroup
	for _, id := range n.others() {
		wg.Go(func() { n.exchangeRingWith(ctx, id) })
	}
	wg.Wait()
}

// exchangeRingWith tells one node the document and takes what it answers. A node that does not answer is told again with the
// next news, or by gossip.
func (n *Node) exchangeRingWith(ctx context.Context, id ring.NodeID) {
	ctx, cancel := context.WithTimeout(ctx, controlPatience)
	defer cancel()
	answer, err := n.control(ctx, id, controlRing, n.members.State().Encode())
	if err == nil && len(answer) > 0 {
		err = n.hearRing(id, answer)
	}
	if err != nil {
		n.cfg.Logger.Debug("ring document not exchanged", "with", id, "error", err)
	}
}

// hearRing takes what a node says of the ring.
func (n *Node) hearRing(from ring.NodeID, encoded []byte) error {
	told, err := ring.DecodeState(encoded)
	if err != nil {
		return err
	}
	return n.members.hear(from, told)
}

// serveRing answers another node's document with this one's, or with nothing when both are the same. A node that was removed is not
// listened to, but told.
func (n *Node) serveRing(from ring.NodeID, encoded []byte) ([]byte, error) {
	if err := n.hearRing(from, encoded); err != nil && !errors.Is(err, ring.ErrFenced) {
		return nil, err
	}
	if own := n.members.State().Encode(); string(own) != string(encoded) {
		return own, nil
	}
	return nil, nil
}
