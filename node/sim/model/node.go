package model

import (
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/coordinator"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// node is one process and its disk.
type node struct {
	w  *world
	id int

	// The machine.
	down, gone, paused bool         // gone: its disk was deleted, it comes back as somebody else
	full, broken       bool         // the disk: full; the next commit fails
	skew, told         check.Moment // how far the machine's clock is off, and what the others told
	corrected          bool         // goes by what the others told
	misled             bool         // goes by what is wrong, since most of the clocks that were asked are
	backlog            []func()     // what arrived while it was paused
	life               int          // grows with every start and stop
	slept              check.Moment // when it last woke
	store              *storage
	image              *disk // an old copy of its directory

	// The process.
	boot       boot
	clock      *causal.Clock
	settlement *coordinator.Settlement
	sees       []bool // which nodes it takes to be in reach
	doc        ring.State
	ring       changing
	reaping    reaping
	view       *coordinator.View
	dues       []due
	paysDues   bool
	closing    bool
	serving    int        // operations of its own clients that it has not answered
	writings   []*writing // whose copies may be on their way
	queues     map[string]*queue
	paying     []bool
	generation []uint64
	turn       int
}

// run runs act in the life of the process that it belongs to; a paused one does it when it wakes.
func (n *node) run(life int, act func()) {
	switch {
	case n.life != life:
	case n.paused:
		n.backlog = append(n.backlog, func() { n.run(life, act) })
	default:
		act()
	}
}

func (n *node) at(when check.Moment, act func()) {
	life := n.life
	n.w.add(when, func() { n.run(life, act) })
}

func (n *node) after(d check.Moment, act func()) { n.at(n.w.now+d, act) }

// every repeats act for the life of the process.
func (n *node) every(d check.Moment, act func()) {
	n.after(d, func() {
		act()
		n.every(d, act)
	})
}

// wall is node.wall.Now.
func (n *node) wall() time.Time {
	if n.corrected {
		return n.w.trueTime().Add(time.Duration(n.told))
	}
	return n.w.trueTime().Add(time.Duration(n.skew))
}

func (n *node) settled(s causal.Stamp) bool { return n.settlement.Settled(s) }

// start starts the process.
func (n *node) start() {
	n.life++
	n.down, n.paused, n.broken, n.corrected, n.misled = false, false, false, false, false
	n.backlog, n.dues, n.paysDues, n.queues = nil, nil, false, map[string]*queue{}
	n.closing, n.serving, n.writings = false, 0, nil
	n.doc, n.ring = n.store.live.doc, newChanging()
	n.reaping = newReaping(n.now())
	n.paying = make([]bool, len(n.w.nodes))
	n.startBoot()
	n.settlement = coordinator.NewSettlement(n.boot.current.bits, n.clock)
	if told := n.store.live.told; told != nil {
		if err := n.settlement.Load(told); err != nil {
			panic(err)
		}
	}
	n.sees = make([]bool, len(n.w.nodes))
	n.generation = make([]uint64, len(n.w.nodes)*partitions)
	for id := range n.store.live.marks {
		at := id.target*partitions + id.partition
		n.generation[at] = max(n.generation[at], id.generation)
	}
	for _, o := range n.w.nodes {
		n.sees[o.id] = o == n || !o.down
	}
	n.refresh()
	n.confirmBoot(n.doc, 0)
	jitter := check.Moment(n.w.rng.Int64N(int64(second)))
	n.after(jitter/2, func() { n.probe(); n.every(probeEvery+jitter/5, n.probe) })
	n.after(jitter, func() { n.every(tickEvery, n.tick) })
	n.after(jitter, func() { n.every(pingEvery, n.ping) })
	if n.w.changes {
		n.after(jitter/4, func() { n.every(gossipEvery, func() { n.tell(); n.drive() }) })
	}
}

// tick is what the store's background does each second.
func (n *node) tick() {
	n.store.syncAll()
	n.extendClock()
	n.correct()
	n.sweep()
	n.expireHints()
	n.handoff()
	n.reap()
}

// probe looks who is in reach; what node.up takes from gossip and from the connections.
func (n *node) probe() {
	changed := false
	for _, o := range n.w.nodes {
		up := o == n || n.w.open(n, o) && (n.w.calm || n.w.rng.IntN(200) > 0) // suspicion may be false
		changed = changed || n.sees[o.id] != up
		n.sees[o.id] = up
	}
	if changed {
		n.refresh()
		n.handoff()
	}
}

// refresh is node.refresh.
func (n *node) refresh() { n.view = n.w.views.of(n.id, n.sees, n.doc) }

// ping tells the others what is settled.
func (n *node) ping() {
	notice := n.settlement.Tell()
	for _, o := range n.w.nodes {
		if o != n && n.sees[o.id] {
			n.w.send(n.id, o.id, func() { o.run(o.life, func() { o.settlement.Hear(notice) }) })
		}
	}
}

// correct is node.heedClocks with node.median.
func (n *node) correct() {
	offsets, wrong := []check.Moment{0}, 0
	for _, o := range n.w.nodes {
		if o != n && n.sees[o.id] && n.w.open(n, o) {
			offsets = append(offsets, o.skew-n.skew)
			if abs(o.skew) > driftMax {
				wrong++
			}
		}
	}
	agree := 0
	for _, o := range offsets {
		if abs(o) <= driftMax {
			agree++
		}
	}
	if m := median(offsets); abs(m) > driftMax {
		n.corrected, n.told = true, n.skew+m
		n.misled = abs(n.told) > driftMax && 2*wrong >= len(offsets)
	} else if abs(n.told-n.skew) <= driftMax || n.members() > 1 && 2*agree > n.members() {
		n.corrected, n.misled = false, false
	}
}

// members returns how many members the cluster has by the node's document, itself included.
func (n *node) members() (count int) {
	for _, m := range n.doc.Members {
		if m.Status != ring.Removed {
			count++
		}
	}
	return count
}

// median is node.median.
func median(offsets []check.Moment) check.Moment {
	if len(offsets) < 3 {
		return 0
	}
	slices.Sort(offsets)
	m := offsets[len(offsets)/2]
	if below := offsets[len(offsets)/2-1]; len(offsets)%2 == 0 && abs(below) < abs(m) {
		m = below
	}
	return m
}

func abs(m check.Moment) check.Moment { return max(m, -m) }

// serves is Coordinator.serves.
func (n *node) serves(key string, r role, reads bool, layout uint64) error {
	pl := n.view.Place(n.w.partition(key))
	self := n.w.ids[n.id]
	primary := pl.IsPrimary(self)
	stands := slices.Contains(pl.Fallbacks, self)
	if layout < pl.Since {
		return request.ErrStaleLayout
	}
	if layout > n.view.Version {
		n.behind()
		if !reads && r != roleCoordinator {
			return nil
		}
	}
	if r == rolePrimary && primary && (!reads || pl.Reads(self)) || r == roleFallback && !primary && stands || r == roleCoordinator && (primary || stands) {
		return nil
	}
	return request.ErrNotOwner
}

type role = request.Role

const (
	rolePrimary     = request.RolePrimary
	roleFallback    = request.RoleFallback
	roleCoordinator = request.RoleCoordinator
)

// views makes each view once: it depends on nothing but who asks and whom it sees.
type views struct {
	state ring.State
	ids   []ring.NodeID
	known map[uint32]*coordinator.View
}

func (v *views) of(self int, sees []bool, doc ring.State) *coordinator.View {
	up := func(id ring.NodeID) bool { return sees[slices.Index(v.ids, id)] }
	if doc.Layout.Version > 1 || len(doc.Reports) > 0 || len(doc.Members) != len(v.state.Members) {
		return coordinator.NewView(v.ids[self], doc, up)
	}
	key := uint32(self) << 16
	for i, up := range sees {
		if up {
			key |= 1 << i
		}
	}
	if known, ok := v.known[key]; ok {
		return known
	}
	made := coordinator.NewView(v.ids[self], v.state, up)
	v.known[key] = made
	return made
}

// newViews founds a cluster of n members, and names those that may join later.
func newViews(n, all int) *views {
	v := &views{known: map[uint32]*coordinator.View{}}
	var members []ring.Member
	for i := range n {
		id := ring.NodeID{byte(i + 1)}
		v.ids = append(v.ids, id)
		members = append(members, ring.Member{ID: id, Status: ring.Active, Weight: 1})
	}
	for i := n; i < all; i++ {
		v.ids = append(v.ids, ring.NodeID{byte(i + 1)})
	}
	layout, err := ring.Plan(nil, members, partitions, copies)
	if err != nil {
		panic(err)
	}
	v.state = ring.State{Cluster: ring.Cluster{ID: ring.NodeID{0xff}, Q: partitions, N: copies, R: quorumSize, W: quorumSize}, Members: members, Layout: layout}
	return v
}
