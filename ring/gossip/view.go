package gossip

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/memberlist"
	"github.com/holdfastdb/holdfast/ring"
)

// Peer is a node that is up, as its own metadata has it.
type Peer struct {
	ID     ring.NodeID
	Name   string
	Gossip string // ip:port
	Peer   string // advertised host:port; empty when it did not fit
	RESP   string // the same

	Cluster ring.NodeID // zero while it has none, or has just started

	hash uint64
}

// A view is who is up. Writers are memberlist's callbacks, which hold its lock and must not block; readers are every request.
type view struct {
	mu    sync.Mutex
	peers atomic.Pointer[map[ring.NodeID]Peer] // replaced as a whole under mu, never changed
}

func newView() *view {
	v := &view{}
	v.peers.Store(&map[ring.NodeID]Peer{})
	return v
}

func (v *view) load() map[ring.NodeID]Peer { return *v.peers.Load() }

func (v *view) change(change func(map[ring.NodeID]Peer)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	next := maps.Clone(v.load())
	change(next)
	v.peers.Store(&next)
}

// put records a node that memberlist believes up; a node that is none of ours (its name is no id, or its metadata unknown) is
// left out.
func (v *view) put(n *memberlist.Node) {
	id, err := ring.ParseNodeID(n.Name)
	m, ok := decodeMeta(n.Meta)
	if err != nil || !ok {
		return
	}
	p := Peer{ID: id, Name: m.name, Gossip: n.Address(), Peer: m.peer, RESP: m.resp, Cluster: m.cluster, hash: m.hash}
	v.change(func(peers map[ring.NodeID]Peer) { peers[id] = p })
}

// drop forgets a node that is at the address it was known at.
func (v *view) drop(n *memberlist.Node) {
	id, err := ring.ParseNodeID(n.Name)
	if p, up := v.load()[id]; err == nil && up && p.Gossip == n.Address() {
		v.change(func(peers map[ring.NodeID]Peer) { delete(peers, id) })
	}
}

// sorted returns the peers by id.
func sorted(peers map[ring.NodeID]Peer) []Peer {
	return slices.SortedFunc(maps.Values(peers), func(a, b Peer) int { return a.ID.Compare(b.ID) })
}
