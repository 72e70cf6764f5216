package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/coordinator"
	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
	"github.com/holdfastdb/holdfast/ring/gossip"
)

// A proxy is a node that holds nothing: it draws an id at each start, forwards writes to their coordinators, reads from R
// replicas, and is gone without a trace when it ends. It is in gossip and in no ring document: a record of it would have to end
// somehow, and a document cannot forget (a merge with whoever still has it brings it back), so that each start would leave one for
// ever. Whoever gossips in the cluster and is in no document is therefore a proxy, for as long as it gossips. Nothing waits for
// one: what it sends names its layout, and replicas that know a newer one refuse it.

// proxyStatus stands for a proxy's status, which is no member's.
const proxyStatus = "proxy"

// documents keeps what a node must know again, by name.
type documents interface {
	GetMeta(name string) ([]byte, error)
	PutMeta(name string, value []byte) error
}

// holdings is how much a node holds.
type holdings interface {
	Total() replica.Counts
	Keys(space uint8, p ring.Partition) int64
	Stats() replica.Stats
	HintStats() replica.HintStats
}

// openNothing gives a proxy what other nodes have from their directory: an id, random bits and a clock of this start. Its
// stamps are unique by the bits, which nobody ever had or will have again.
func (n *Node) openNothing() {
	var bits [8]byte
	_, _ = rand.Read(n.id[:])
	_, _ = rand.Read(bits[:])
	n.boot = binary.BigEndian.Uint64(bits[:])
	n.held, n.documents = nothing{}, nothing{}
	n.settlement = coordinator.NewSettlement(n.boot, causal.NewClock(n.wall.Now, 0, replica.DriftMaxDefault))
}

// proxies returns the proxies that gossip believes up, this node not among them. Who has not said yet of which cluster it is
// may be anybody.
func (n *Node) proxies() (found []gossip.Peer) {
	s := n.members.State()
	for _, p := range n.gossip.Members() {
		if _, member := s.Member(p.ID); !member && p.ID != n.id && p.Cluster == s.Cluster.ID {
			found = append(found, p)
		}
	}
	return found
}

func (n *Node) proxiesInReach() (ids []ring.NodeID) {
	for _, p := range n.proxies() {
		if n.up(p.ID) {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// proxyAddress returns where a proxy can be asked for its status.
func (n *Node) proxyAddress(id ring.NodeID) (string, bool) {
	for _, p := range n.proxies() {
		if p.ID == id {
			return p.Peer, p.Peer != ""
		}
	}
	return "", false
}

// noReplica is the replica of a proxy, which refuses everything.
type noReplica struct{}

// Read implements coordinator.Store.
func (noReplica) Read(rs []*request.Read) {
	for _, r := range rs {
		r.Err = request.ErrNotOwner
	}
}

// Write implements coordinator.Store.
func (noReplica) Write(_ context.Context, ws []*request.Write) error {
	for _, w := range ws {
		w.Err = request.ErrNotOwner
	}
	return nil
}

// Owe implements coordinator.Store.
func (noReplica) Owe(ring.NodeID, request.Key, causal.Context, bool) error {
	return request.ErrNotOwner
}

// OwePartition implements coordinator.Store.
func (noReplica) OwePartition(ring.NodeID, uint8, ring.Partition) error { return request.ErrNotOwner }

// CancelHint implements coordinator.Store.
func (noReplica) CancelHint(ring.NodeID, request.Key, causal.Context) error {
	return request.ErrNotOwner
}

// nothing is what a proxy holds and keeps: the ring document and what is settled it learns anew at each start.
type nothing struct{}

func (nothing) Total() (c replica.Counts)        { return c }
func (nothing) Keys(uint8, ring.Partition) int64 { return 0 }
func (nothing) Stats() (s replica.Stats)         { return s }
func (nothing) HintStats() (s replica.HintStats) { return s }
func (nothing) GetMeta(string) ([]byte, error)   { return nil, nil }
func (nothing) PutMeta(string, []byte) error     { return nil }
