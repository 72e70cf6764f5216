package storetest

import (
	"context"
	"errors"
	"strings"

	"github.com/holdfastdb/holdfast/protocol"
)

// ErrNoSuchNode is what Remove answers for a node that is not in Map.
var ErrNoSuchNode = errors.New("no such node")

// Cluster implements protocol.Cluster: three nodes that share the slots, each key held by all three.
type Cluster struct {
	Store *Store
	// View is what Map answers.
	View *protocol.Map
}

// NewCluster returns three nodes around the store. The first answers, at this address.
func NewCluster(s *Store, host string, port int) *Cluster {
	id := func(c string) string { return strings.Repeat(c, 32) }
	return &Cluster{Store: s, View: &protocol.Map{
		Nodes: []protocol.Node{
			{ID: id("a"), Name: "node-1", Host: host, Port: port, GossipPort: 7946, Alive: true},
			{ID: id("b"), Name: "node-2", Host: host, Port: port, GossipPort: 7947, Alive: true},
			{ID: id("c"), Name: "node-3", Host: host, Port: port, GossipPort: 7948},
		},
		Ranges: []protocol.SlotRange{
			{First: 0, Last: 5460, Nodes: []int{0, 1, 2}},
			{First: 5461, Last: 10922, Nodes: []int{1, 2, 0}},
			{First: 10923, Last: 16382, Nodes: []int{2, 0, 1}},
			{First: 16383, Last: 16383, Nodes: []int{0, 1, 2}},
		},
	}}
}

// Map returns View.
func (c *Cluster) Map() *protocol.Map { return c.View }

// Keys counts the store's keys.
func (c *Cluster) Keys(_ context.Context, space uint8) (int64, error) {
	return c.Store.Live(space), nil
}

// Status answers a line a node.
func (c *Cluster) Status(context.Context) (protocol.Status, error) {
	var st protocol.Status
	for _, n := range c.View.Nodes {
		st.Nodes = append(st.Nodes, protocol.NodeStatus{Name: n.Name, ID: n.ID, Status: "active", Alive: n.Alive})
	}
	return st, nil
}

// Ring answers one partition a range.
func (c *Cluster) Ring(context.Context) (protocol.Ring, error) {
	r := protocol.Ring{Partitions: len(c.View.Ranges), N: 3, Version: 1}
	for _, n := range c.View.Nodes {
		r.Nodes = append(r.Nodes, protocol.RingNode{Name: n.Name, Weight: 1, ID: n.ID, Status: "active", Alive: n.Alive})
	}
	return r, nil
}

// Preflist puts the second node in the place of the third.
func (c *Cluster) Preflist(context.Context, uint8, []byte) ([]protocol.Preference, error) {
	return []protocol.Preference{{Node: "node-1"}, {Node: "node-2", For: "node-3"}}, nil
}

// Leave does nothing.
func (c *Cluster) Leave(context.Context) error { return nil }

// Repair finds one row in the partition asked for, or in partition 3, and more by a scan.
func (c *Cluster) Repair(_ context.Context, o protocol.RepairOptions) (protocol.Repair, error) {
	found := protocol.RepairPartition{Partition: o.Partition, Rows: 1, Bytes: 100, Unfinished: []string{}}
	if o.Partition < 0 {
		found.Partition = 3
	}
	if o.Scan {
		found.Damaged = 2
	}
	return protocol.Repair{Compared: 1, Partitions: []protocol.RepairPartition{found}, Bytes: 120}, nil
}

// Remove knows the nodes of View by name.
func (c *Cluster) Remove(_ context.Context, node string) error {
	for _, n := range c.View.Nodes {
		if n.Name == node {
			return nil
		}
	}
	return ErrNoSuchNode
}
