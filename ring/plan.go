package ring

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Errors of Plan.
var (
	// ErrNoOwners: no member may own anything.
	ErrNoOwners = errors.New("ring: no active member to own partitions")
	// ErrBadPlan: Q or N beyond their limits, or not those of the previous layout.
	ErrBadPlan = errors.New("ring: impossible layout")
)

// Plan returns the layout that the members should have: prev itself when it is already that, else one with the next version.
// prev is nil for the first. The order of the members does not matter, and equal arguments give equal layouts on every node.
//
// Each partition gets min(n, eligible members) primaries, never two of one node, in as many zones as there can be, as evenly as
// the zones' sizes allow. Under these rules each member's copies are its fair share by weight, rounded down or up, and its
// first places as near to its fair share of q as its partitions allow (within 1 when nothing forbids it). Of all layouts
// that obey, it is one that moves the fewest copies from prev. It is where Next leads, step by step.
//
// ErrNoOwners without an eligible member; ErrBadPlan for a q that is not a power of two from 1 to PartitionsMax or not prev's,
// or an n outside 1 to ReplicasMax. Cost: milliseconds for 256 partitions and 9 members.
//
// The placement is a flow of minimum cost, as in Garage's layout computation (its doc/optimal_layout_report): a unit for each
// copy goes from its partition through a zone to a node; keeping a copy where it was is cheapest. The
// even shares are one feasible fractional flow, so that one with whole numbers between their floors and ceilings exists.
func Plan(prev *Layout, members []Member, q, n int) (*Layout, error) {
	if !validPartitions(q) || n < 1 || n > ReplicasMax || prev != nil && prev.Q != q {
		return nil, fmt.Errorf("%w: %d partitions, %d copies", ErrBadPlan, q, n)
	}
	d := newDraft(prev, members, q, n)
	if len(d.nodes) == 0 {
		return nil, ErrNoOwners
	}
	if len(d.nodes) > RecordsMax {
		return nil, fmt.Errorf("%w: %d members", ErrBadPlan, len(d.nodes))
	}
	d.place()
	d.chooseFirst()
	return d.layout(n), nil
}

// A draft is a layout in the making. Nodes and zones go by index; nodes are in the order of their ids.
type draft struct {
	prev   *Layout
	q, n   int // partitions; copies of each, at most one a node
	nodes  []NodeID
	index  map[NodeID]int
	claims []claim
	rules  []zoneRule
	owners [][]int // per partition; the first is the coordinator
	kept   [][]int // per partition: its previous owners that are still eligible, in their previous order
}

func newDraft(prev *Layout, members []Member, q, n int) *draft {
	d := &draft{prev: prev, q: q, index: map[NodeID]int{}}
	eligible := slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return !m.Eligible() })
	sortMembers(eligible)
	eligible = slices.CompactFunc(eligible, func(a, b Member) bool { return a.ID == b.ID })
	zones, sizes := map[string]int{}, []int64{}
	for i, m := range eligible {
		zone, known := zones[m.Zone]
		if !known {
			zone = len(sizes)
			zones[m.Zone], sizes = zone, append(sizes, 0)
		}
		sizes[zone]++
		d.nodes, d.index[m.ID] = append(d.nodes, m.ID), i
		d.claims = append(d.claims, claim{weight: m.share(), zone: zone})
	}
	d.n = min(n, len(d.nodes))
	d.rules = zoneRules(sizes, int64(d.n))
	d.kept = make([][]int, q)
	d.owners = make([][]int, q)
	if prev != nil {
		d.keep()
	}
	return d
}

// share returns the member's weight within its bounds.
func (m Member) share() int64 { return int64(min(max(m.Weight, 1), WeightMax)) }

func (d *draft) keep() {
	for p, ids := range d.prev.Owners {
		for _, id := range ids {
			if i, eligible := d.index[id]; eligible {
				d.kept[p] = append(d.kept[p], i)
			}
		}
	}
}

// place chooses the owners of every partition, in no meaningful order.
func (d *draft) place() {
	// An obligation (a floor) outweighs everything that staying put could gain.
	const must = -int64(PartitionsMax*ReplicasMax) * 4
	zones := len(d.rules)
	source, sink := 0, 1
	partition := func(p int) int { return 2 + p }
	within := func(p, z int) int { return 2 + d.q + p*zones + z }
	node := func(i int) int { return 2 + d.q + d.q*zones + i }
	f := newFlow(node(len(d.nodes)), d.q*(1+2*zones+len(d.nodes))+2*len(d.nodes))
	copies := make([]int, d.q) // index of the first of a partition's arcs to nodes
	order := d.shuffled()
	for p := range d.q {
		f.connect(source, partition(p), int64(d.n), 0)
		for z, rule := range d.rules {
			f.connect(partition(p), within(p, z), rule.least, must)
			f.connect(partition(p), within(p, z), rule.most-rule.least, 0)
		}
		copies[p] = len(f.arcs)
		for _, i := range order[p] {
			stay := int64(0)
			if slices.Contains(d.kept[p], i) {
				stay = -1
			}
			f.connect(within(p, d.claims[i].zone), node(i), 1, stay)
		}
	}
	for i, s := range fairShares(d.claims, d.rules, int64(d.q), int64(d.n)) {
		f.connect(node(i), sink, s.floor(), must)
		f.connect(node(i), sink, s.ceil()-s.floor(), 0)
	}
	if f.run(source, sink) != int64(d.q)*int64(d.n) {
		panic("ring: no layout obeys the rules")
	}
	for p := range d.q {
		d.owners[p] = make([]int, 0, d.n)
		for k, i := range order[p] {
			if f.carried(copies[p]+2*k) > 0 {
				d.owners[p] = append(d.owners[p], i)
			}
		}
	}
}

// shuffled returns, for each partition, all nodes in an order of its own, so that no two nodes share more partitions than chance
// has it: when one goes, its load falls on all others alike.
func (d *draft) shuffled() [][]int {
	order, all := make([][]int, d.q), make([]int, d.q*len(d.nodes))
	ranks := make([]uint64, len(d.nodes))
	for p := range order {
		order[p], all = all[:len(d.nodes):len(d.nodes)], all[len(d.nodes):]
		for i, id := range d.nodes {
			order[p][i], ranks[i] = i, rank(Partition(p), id)
		}
		slices.SortFunc(order[p], func(a, b int) int { return cmp.Or(cmp.Compare(ranks[a], ranks[b]), a-b) }) // as byRank does
	}
	return order
}

// layout returns the finished layout.
func (d *draft) layout(n int) *Layout {
	l := &Layout{Version: 1, Q: d.q, N: n, Members: d.nodes, Owners: make([][]NodeID, d.q), Since: make([]uint64, d.q)}
	for p, owners := range d.owners {
		l.Owners[p] = make([]NodeID, len(owners))
		for k, i := range owners {
			l.Owners[p][k] = d.nodes[i]
		}
	}
	if d.prev != nil {
		l.Version = d.prev.Version + 1
	}
	for p := range l.Since {
		l.Since[p] = l.Version
	}
	if d.prev != nil && d.prev.N == n && slices.EqualFunc(d.prev.Owners, l.Owners, slices.Equal[[]NodeID]) {
		return d.prev
	}
	return l
}

// byRank orders nodes by their rendezvous rank for a partition.
func byRank(p Partition, a, b NodeID) int {
	return cmp.Or(cmp.Compare(rank(p, a), rank(p, b)), a.Compare(b))
}
