package node

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/coordinator"
	"github.com/holdfastdb/holdfast/protocol"
	"github.com/holdfastdb/holdfast/protocol/resp"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// front is the node as its front-ends see it.
type front struct{ n *Node }

// Do implements protocol.Store.
func (f front) Do(ctx context.Context, ops []*request.Op) {
	f.n.coord.Do(ctx, ops)
	if w := f.n.cfg.Witness; w != nil {
		w.Answered(ops)
	}
}

// Stamp implements protocol.Store: the coordinator draws stamps, in the same step that counts the operation as under
// way.
func (f front) Stamp() causal.Stamp { return causal.Stamp{} }

// Now implements protocol.Store.
func (f front) Now() time.Time { return f.n.wall.Now() }

// ReadContext implements protocol.Store.
func (f front) ReadContext(s causal.State) causal.Context { return s.Context(f.n.settlement.Settled) }

// EncodeContext implements protocol.Store.
func (f front) EncodeContext(space uint8, key []byte, seen causal.Context) []byte {
	secret := f.n.members.State().Cluster.Secret
	return causal.EncodeToken(&secret, space, key, seen)
}

// DecodeContext implements protocol.Store. A node without a cluster cannot tell a good token from a bad one.
func (f front) DecodeContext(space uint8, key, token []byte) (causal.Context, error) {
	s := f.n.members.State()
	if s.IsZero() && len(token) > 0 {
		return causal.Context{}, request.ErrNoQuorum
	}
	return causal.DecodeToken(&s.Cluster.Secret, space, key, token)
}

// Replicas implements protocol.Store.
func (f front) Replicas(ctx context.Context, space uint8, key []byte, seen causal.Context) int {
	holders, err := f.n.coord.Holders(ctx, request.Key{Space: space, Name: key}, seen)
	if err != nil {
		return 0
	}
	return holders
}

// Keys implements protocol.Cluster: each partition is counted by its first primary in reach.
func (f front) Keys(ctx context.Context, space uint8) (int64, error) {
	view := f.n.coord.View()
	if !view.Formed() {
		return 0, request.ErrNoQuorum
	}
	asks := make(map[ring.NodeID][]byte)
	for p := range view.Q {
		at := firstUp(view.Place(ring.Partition(p)))
		if at.IsZero() {
			return 0, fmt.Errorf("count keys: no primary of partition %d is in reach: %w", p, request.ErrNoQuorum)
		}
		if asks[at] == nil {
			asks[at] = make([]byte, (view.Q+7)/8)
		}
		asks[at][p/8] |= 1 << (p % 8)
	}
	return f.sumKeys(ctx, space, asks)
}

func firstUp(pl *coordinator.Place) ring.NodeID {
	for i, id := range pl.Primaries {
		if pl.Up[i] {
			return id
		}
	}
	return ring.NodeID{}
}

func (f front) sumKeys(ctx context.Context, space uint8, asks map[ring.NodeID][]byte) (sum int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, controlPatience)
	defer cancel()
	for id, bits := range asks {
		if id == f.n.id {
			sum += f.n.keysOf(space, bits)
			continue
		}
		b, err := f.n.control(ctx, id, controlKeys, append([]byte{space}, bits...))
		if err != nil || len(b) != 8 {
			return 0, fmt.Errorf("count keys: %w", errors.Join(err, request.ErrNoQuorum))
		}
		sum += int64(binary.BigEndian.Uint64(b))
	}
	return sum, nil
}

// Map implements protocol.Cluster.
func (f front) Map() *protocol.Map {
	if m := f.n.slots.Load(); m != nil {
		return m
	}
	return &protocol.Map{Self: -1}
}

// slotMap shows the layout to cluster clients. Nodes out of reach stand behind those in reach: a client talks straight
// to the node that coordinates now.
func slotMap(s ring.State, self ring.NodeID, up func(ring.NodeID) bool) *protocol.Map {
	m := &protocol.Map{Self: -1}
	at := make(map[ring.NodeID]int)
	for _, member := range s.Members {
		if member.Status == ring.Removed {
			continue
		}
		host, port := splitPort(member.RESP)
		_, gossipPort := splitPort(member.Gossip)
		if member.ID == self {
			m.Self = len(m.Nodes)
		}
		at[member.ID] = len(m.Nodes)
		m.Nodes = append(m.Nodes, protocol.Node{ID: member.ID.String(), Name: member.Name, Host: host, Port: port, GossipPort: gossipPort, Alive: up(member.ID)})
	}
	for p := range s.Layout.Q {
		m.Ranges = appendRange(m.Ranges, rangeOf(s.Layout, ring.Partition(p), at, m.Nodes))
	}
	return m
}

func rangeOf(l *ring.Layout, p ring.Partition, at map[ring.NodeID]int, nodes []protocol.Node) protocol.SlotRange {
	r := protocol.SlotRange{}
	r.First, r.Last = ring.SlotRange(p, l.Q)
	for _, id := range l.Primaries(p) {
		if i, ok := at[id]; ok {
			r.Nodes = append(r.Nodes, i)
		}
	}
	slices.SortStableFunc(r.Nodes, func(a, b int) int {
		switch {
		case nodes[a].Alive == nodes[b].Alive:
			return 0
		case nodes[a].Alive:
			return -1
		}
		return 1
	})
	return r
}

// appendRange joins neighbours with the same primaries.
func appendRange(rs []protocol.SlotRange, r protocol.SlotRange) []protocol.SlotRange {
	if n := len(rs); n > 0 && slices.Equal(rs[n-1].Nodes, r.Nodes) {
		rs[n-1].Last = r.Last
		return rs
	}
	return append(rs, r)
}

func splitPort(addr string) (host string, port int) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return addr, 0
	}
	port, _ = strconv.Atoi(text)
	return host, port
}

// Status implements protocol.Cluster.
func (f front) Status(ctx context.Context) (protocol.Status, error) {
	answers := collectFrom(append(f.n.others(), f.n.proxiesInReach()...), ctx, statusPatience, func(ctx context.Context, id ring.NodeID) (protocol.NodeStatus, error) {
		b, err := f.n.control(ctx, id, controlStatus, nil)
		if err != nil {
			return protocol.NodeStatus{}, err
		}
		var st protocol.NodeStatus
		return st, json.Unmarshal(b, &st)
	})
	answers = append(answers, f.n.ownStatus())
	for _, m := range f.n.members.State().Members {
		known := slices.ContainsFunc(answers, func(st protocol.NodeStatus) bool { return st.ID == m.ID.String() })
		if !known && m.Status != ring.Removed {
			answers = append(answers, protocol.NodeStatus{Name: m.Name, ID: m.ID.String(), Version: m.Version, Status: m.Status.String()})
		}
	}
	slices.SortFunc(answers, func(a, b protocol.NodeStatus) int {
		if a.Name != b.Name {
			if a.Name < b.Name {
				return -1
			}
			return 1
		}
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return protocol.Status{Nodes: answers, Change: f.n.changer.status()}, nil
}

// Ring implements protocol.Cluster.
func (f front) Ring(context.Context) (protocol.Ring, error) {
	s := f.n.members.State()
	if s.IsZero() {
		return protocol.Ring{}, fmt.Errorf("no cluster yet: %s", f.n.Waiting())
	}
	out := protocol.Ring{Partitions: s.Cluster.Q, N: s.Cluster.N, Version: s.Layout.Version, Preference: make([][]string, s.Cluster.Q)}
	names, at := make(map[ring.NodeID]string), make(map[ring.NodeID]int)
	for _, m := range s.Members {
		names[m.ID] = m.Name
		at[m.ID] = len(out.Nodes)
		out.Nodes = append(out.Nodes, protocol.RingNode{Name: m.Name, ID: m.ID.String(), Zone: m.Zone, Weight: max(1, m.Weight), Status: m.Status.String(), Alive: f.n.up(m.ID)})
	}
	for p := range s.Cluster.Q {
		for place, id := range s.Layout.Primaries(ring.Partition(p)) {
			out.Preference[p] = append(out.Preference[p], names[id])
			out.Nodes[at[id]].Primaries++
			if place == 0 {
				out.Nodes[at[id]].Coordinates++
			}
		}
	}
	slices.SortFunc(out.Nodes, func(a, b protocol.RingNode) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	return out, nil
}

// Preflist implements protocol.Cluster.
func (f front) Preflist(_ context.Context, _ uint8, key []byte) ([]protocol.Preference, error) {
	s := f.n.members.State()
	if s.IsZero() {
		return nil, fmt.Errorf("no cluster yet: %s", f.n.Waiting())
	}
	p := ring.PartitionOf(ring.Slot(key), s.Cluster.Q)
	name := func(id ring.NodeID) string {
		m, _ := s.Member(id)
		return m.Name
	}
	var out []protocol.Preference
	for _, t := range ring.PreferenceList(s.Layout.Primaries(p), s.Layout.Fallbacks(p, s.Members), s.Cluster.N, f.n.up) {
		entry := protocol.Preference{Node: name(t.Node)}
		if !t.For.IsZero() {
			entry.For = name(t.For)
		}
		out = append(out, entry)
	}
	return out, nil
}

// Leave implements protocol.Cluster.
func (f front) Leave(context.Context) error { return f.n.Leave() }

// Remove implements protocol.Cluster.
func (f front) Remove(_ context.Context, name string) error { return f.n.Remove(name) }

// info is what INFO says of this node.
func (n *Node) info() resp.Info {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	st := n.held.Stats()
	_, port := splitPort(n.ports.resp.Addr().String())
	i := resp.Info{Version: Version(), NodeID: n.id.String(), Name: n.cfg.Name, Port: port, Started: n.started,
		MemoryBytes: int64(mem.HeapAlloc), MemoryRSSBytes: int64(mem.Sys) + int64(st.CacheBytes) + int64(st.MemtableBytes),
		MemoryMaxBytes: n.cfg.Memory, DiskBytes: int64(st.DiskBytes), Sync: n.cfg.Sync,
		Keys: make([]int64, request.SpacesMax), Expires: make([]int64, request.SpacesMax)}
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) == nil {
		i.CPUUser, i.CPUSystem = time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
	}
	view := n.coord.View()
	for space := range uint8(request.SpacesMax) {
		for p := range view.Q {
			i.Keys[space] += n.held.Keys(space, ring.Partition(p))
		}
	}
	i.Replicas = len(n.others())
	return i
}
