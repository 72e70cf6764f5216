package node

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/protocol"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// The kinds of administrative requests between nodes.
const (
	controlStatus uint8 = iota + 1 // answer: protocol.NodeStatus as JSON
	controlKeys                    // payload: keyspace, then one bit a partition; answer: how many keys, 8 bytes
	controlBoot                    // payload: a BootID, 32 bytes; answer: 1 if it is fresh
	controlClock                   // answer: the machine's Unix nanoseconds, 8 bytes
	controlRing                    // payload: the asker's ring document; answer: this node's, if it is another then
	controlTake                    // payload: layout version, 8 bytes, partition, 2 bytes: take it from the asker; answer: nothing, when done
)

// ServeControl implements peer.Handler.
func (s server) ServeControl(ctx context.Context, from ring.NodeID, kind uint8, payload []byte) ([]byte, error) {
	switch kind {
	case controlStatus:
		return json.Marshal(s.n.ownStatus())
	case controlKeys:
		return s.n.serveKeys(payload)
	case controlBoot:
		return s.n.serveBoot(from, payload)
	case controlClock:
		return binary.BigEndian.AppendUint64(nil, uint64(s.n.wall.machine().UnixNano())), nil
	case controlRing:
		return s.n.serveRing(from, payload)
	case controlTake:
		return s.n.serveTake(ctx, from, payload)
	}
	return s.n.servePull(ctx, kind, payload)
}

// control asks one other node.
func (n *Node) control(ctx context.Context, to ring.NodeID, kind uint8, payload []byte) ([]byte, error) {
	p := n.wire.peers.Load()
	if p == nil {
		return nil, request.ErrUnreachable
	}
	return p.Control(ctx, to, kind, payload)
}

// collect asks every other member in reach at once, and returns what those answered that did within the patience.
func collect[T any](n *Node, ctx context.Context, patience time.Duration, ask func(context.Context, ring.NodeID) (T, error)) []T {
	return collectFrom(n.others(), ctx, patience, ask)
}

// others returns the other members in reach.
func (n *Node) others() (ids []ring.NodeID) {
	for _, m := range n.members.State().Members {
		if m.ID != n.id && m.Status != ring.Removed && n.up(m.ID) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

func collectFrom[T any](nodes []ring.NodeID, ctx context.Context, patience time.Duration, ask func(context.Context, ring.NodeID) (T, error)) []T {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var mu sync.Mutex
	var answers []T
	var wg sync.WaitGroup
	for _, id := range nodes {
		wg.Go(func() {
			if a, err := ask(ctx, id); err == nil {
				mu.Lock()
				answers = append(answers, a)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return answers
}

// ownStatus is this node's line in the status.
func (n *Node) ownStatus() protocol.NodeStatus {
	total, hints := n.held.Total(), n.held.HintStats()
	st := protocol.NodeStatus{Name: n.cfg.Name, ID: n.id.String(), Version: Version(), Alive: true, Status: ring.Joining.String(),
		Keys: total.Keys, Bytes: total.Bytes, Siblings: total.Siblings, Hints: int64(hints.Pending()), UnreadableHints: hints.Unreadable,
		UptimeSeconds: int64(n.cfg.Now().Sub(n.started).Seconds()), Connections: n.resp.Connections()}
	if n.cfg.Proxy {
		st.Status = proxyStatus
	}
	if m, ok := n.members.member(n.id); ok {
		st.Status = m.Status.String()
		st.Transfer = n.changer.progress.status(n.changer.outlook.remaining(n.members.State())[m.ID], time.Now())
	}
	return st
}

func (n *Node) serveKeys(payload []byte) ([]byte, error) {
	q := n.coord.View().Q
	if len(payload) != 1+(q+7)/8 || payload[0] >= request.SpacesMax {
		return nil, request.ErrInternal
	}
	return binary.BigEndian.AppendUint64(nil, uint64(n.keysOf(payload[0], payload[1:]))), nil
}

// keysOf counts this node's keys in the partitions whose bit is set.
func (n *Node) keysOf(space uint8, bits []byte) (keys int64) {
	for p := range n.coord.View().Q {
		if bits[p/8]&(1<<(p%8)) != 0 {
			keys += n.held.Keys(space, ring.Partition(p))
		}
	}
	return keys
}
