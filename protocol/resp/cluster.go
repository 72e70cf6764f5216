package resp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfastdb/holdfast/protocol"
	"github.com/holdfastdb/holdfast/ring"
)

// clusterIDChars is the length of a node id in Redis Cluster; tools cut lines by it.
const clusterIDChars = 40

// clusterID pads a node's id to the length of Redis Cluster's.
func clusterID(id string) string {
	return id + strings.Repeat("0", max(0, clusterIDChars-len(id)))
}

// runClusterSlots names for each run of slots its primaries, coordinator first, where Redis has a master and its
// replicas: a cluster client then talks straight to the coordinator.
func runClusterSlots(c *conn, _ *call) {
	m := c.srv.cfg.Cluster.Map()
	c.out.array(len(m.Ranges))
	for _, r := range m.Ranges {
		c.out.array(2 + len(r.Nodes))
		c.out.int(int64(r.First))
		c.out.int(int64(r.Last))
		for _, i := range r.Nodes {
			n := &m.Nodes[i]
			c.out.array(4)
			c.out.text(n.Host)
			c.out.int(int64(n.Port))
			c.out.text(clusterID(n.ID))
			c.out.array(0) // metadata
		}
	}
}

// shard is the slots of one list of primaries.
type shard struct {
	ranges []protocol.SlotRange
	nodes  []int
}

// shards groups the map by primaries, in the order of their first slots.
func shards(m *protocol.Map) []*shard {
	var list []*shard
	byNodes := map[string]*shard{}
	for _, r := range m.Ranges {
		id := fmt.Sprint(r.Nodes)
		s := byNodes[id]
		if s == nil {
			s = &shard{nodes: r.Nodes}
			byNodes[id] = s
			list = append(list, s)
		}
		s.ranges = append(s.ranges, r)
	}
	return list
}

func runClusterShards(c *conn, _ *call) {
	m := c.srv.cfg.Cluster.Map()
	list := shards(m)
	c.out.array(len(list))
	for _, s := range list {
		c.out.dict(2)
		c.out.text("slots")
		c.out.array(2 * len(s.ranges))
		for _, r := range s.ranges {
			c.out.int(int64(r.First))
			c.out.int(int64(r.Last))
		}
		c.out.text("nodes")
		c.out.array(len(s.nodes))
		for place, i := range s.nodes {
			c.writeShardNode(&m.Nodes[i], place == 0)
		}
	}
}

func (c *conn) writeShardNode(n *protocol.Node, coordinator bool) {
	role, health := "replica", "online"
	if coordinator {
		role = "master"
	}
	if !n.Alive {
		health = "fail"
	}
	c.out.dict(7)
	c.out.entry("id", clusterID(n.ID))
	c.out.text("port")
	c.out.int(int64(n.Port))
	c.out.entry("ip", n.Host)
	c.out.entry("endpoint", n.Host)
	c.out.entry("role", role)
	c.out.text("replication-offset")
	c.out.int(0)
	c.out.entry("health", health)
}

// runClusterNodes answers one line a node. The format knows masters and their slots only, so each node is the master
// of the slots that it coordinates.
func runClusterNodes(c *conn, _ *call) {
	m := c.srv.cfg.Cluster.Map()
	var b strings.Builder
	for i := range m.Nodes {
		n := &m.Nodes[i]
		flags, link := "master", "connected"
		if i == m.Self {
			flags = "myself,master"
		}
		if !n.Alive {
			flags, link = flags+",fail", "disconnected"
		}
		fmt.Fprintf(&b, "%s %s:%d@%d %s - 0 0 0 %s", clusterID(n.ID), n.Host, n.Port, n.GossipPort, flags, link)
		for _, r := range coordinated(m, i) {
			b.WriteString(" " + r)
		}
		b.WriteString("\n")
	}
	c.out.text(b.String())
}

// coordinated returns the runs of slots that node i coordinates, neighbours joined, as CLUSTER NODES writes them.
func coordinated(m *protocol.Map, i int) []string {
	var runs []protocol.SlotRange
	for _, r := range m.Ranges {
		if len(r.Nodes) == 0 || r.Nodes[0] != i {
			continue
		}
		if n := len(runs); n > 0 && runs[n-1].Last+1 == r.First {
			runs[n-1].Last = r.Last
			continue
		}
		runs = append(runs, r)
	}
	texts := make([]string, len(runs))
	for k, r := range runs {
		texts[k] = fmt.Sprintf("%d-%d", r.First, r.Last)
		if r.First == r.Last {
			texts[k] = strconv.Itoa(int(r.First))
		}
	}
	return texts
}

func runClusterInfo(c *conn, _ *call) {
	m := c.srv.cfg.Cluster.Map()
	assigned, coordinators := 0, []int{}
	for _, r := range m.Ranges {
		if len(r.Nodes) == 0 {
			continue
		}
		assigned += int(r.Last-r.First) + 1
		if !slices.Contains(coordinators, r.Nodes[0]) {
			coordinators = append(coordinators, r.Nodes[0])
		}
	}
	state := "ok"
	if assigned != ring.Slots {
		state = "fail"
	}
	var b strings.Builder
	field(&b, "cluster_state", state)
	field(&b, "cluster_slots_assigned", assigned)
	field(&b, "cluster_slots_ok", assigned)
	field(&b, "cluster_slots_pfail", 0)
	field(&b, "cluster_slots_fail", 0)
	field(&b, "cluster_known_nodes", len(m.Nodes))
	field(&b, "cluster_size", len(coordinators))
	field(&b, "cluster_current_epoch", 0)
	field(&b, "cluster_my_epoch", 0)
	c.out.text(b.String())
}

func runClusterKeySlot(c *conn, q *call) { c.out.int(int64(ring.Slot(q.args[2]))) }

func runClusterMyID(c *conn, _ *call) { c.out.text(clusterID(c.srv.cfg.Info().NodeID)) }
