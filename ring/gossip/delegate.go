package gossip

import (
	"errors"
	"fmt"

	"github.com/hashicorp/memberlist"
	"github.com/holdfastdb/holdfast/ring"
)

// errForeign is what memberlist is told of a node of another cluster, and repeats in its log.
var errForeign = errors.New("belongs to another cluster")

// A delegate is what memberlist calls. Its methods run under memberlist's lock or in its packet loop: none waits, and none calls
// memberlist back, which would deadlock.
type delegate struct{ g *Gossip }

func (d delegate) NodeMeta(int) []byte { return d.g.local.Load().meta }

func (d delegate) NotifyMsg([]byte) {}

func (d delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState answers what Local said last; it is not asked here, since memberlist waits.
func (d delegate) LocalState(bool) []byte { return d.g.local.Load().bytes }

func (d delegate) MergeRemoteState(b []byte, _ bool) { d.g.received(b) }

func (d delegate) NotifyJoin(n *memberlist.Node) {
	d.g.view.put(n)
	d.g.changed()
}

func (d delegate) NotifyUpdate(n *memberlist.Node) { d.NotifyJoin(n) }

func (d delegate) NotifyLeave(n *memberlist.Node) {
	d.g.view.drop(n)
	d.g.changed()
	signal(d.g.left)
}

// NotifyAlive vetoes nodes of another cluster. One without a cluster is welcome: it may be about to join. If it then founds its own,
// memberlist goes on believing what it heard first; our view does not.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	m, ok := decodeMeta(n.Meta)
	if !ok {
		return fmt.Errorf("unknown metadata of %d bytes", len(n.Meta))
	}
	if n.Name != d.g.self.ID.String() && d.g.foreign(m.cluster) {
		d.g.logForeign(m.name, n.Address(), m.cluster)
		d.g.view.drop(n)
		d.g.changed()
		return errForeign
	}
	return nil
}

// NotifyConflict: two processes claim one node's id. memberlist keeps the one that it knew.
func (d delegate) NotifyConflict(known, other *memberlist.Node) {
	if d.g.conflictLog.pass() {
		d.g.log.Warn("two addresses claim one node; if it moved, the old one is given up once it is dead",
			"node", known.Name, "known", known.Address(), "other", other.Address())
	}
}

// foreign reports whether an id is that of a cluster that is not ours.
func (g *Gossip) foreign(cluster ring.NodeID) bool {
	own := g.local.Load().cluster
	return !own.IsZero() && !cluster.IsZero() && own != cluster
}

func (g *Gossip) logForeign(name, address string, cluster ring.NodeID) {
	if g.foreignLog.pass() {
		g.log.Warn("ignoring a node of another cluster; check --join and --cluster",
			"node", name, "address", address, "its_cluster", cluster, "our_cluster", g.local.Load().cluster)
	}
}
