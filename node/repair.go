package node

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/holdfastdb/holdfast/protocol"
	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// A repair visits the primaries of a partition one after the other, and each takes what it lacks from all the others. So the
// first holds all when its turn is over, and whoever comes later takes it from there: one round makes them agree.

// repairOrder asks a node to repair those of some consecutive partitions that it is a primary of.
type repairOrder struct {
	first ring.Partition
	count int // 1 to repairGroup
	scan  bool
}

func (o repairOrder) append(dst []byte) []byte {
	scan := byte(0)
	if o.scan {
		scan = 1
	}
	return append(binary.BigEndian.AppendUint16(dst, uint16(o.first)), byte(o.count), scan)
}

func decodeRepairOrder(b []byte) (o repairOrder, err error) {
	if len(b) != 4 || b[2] < 1 || b[2] > repairGroup || b[3] > 1 {
		return o, request.ErrInternal
	}
	return repairOrder{ring.Partition(binary.BigEndian.Uint16(b)), int(b[2]), b[3] == 1}, nil
}

// Repair implements protocol.Cluster. Groups of partitions are repaired a few at once.
func (f front) Repair(ctx context.Context, o protocol.RepairOptions) (protocol.Repair, error) {
	n := f.n
	view := n.coord.View()
	if !view.Formed() {
		return protocol.Repair{}, fmt.Errorf("no cluster yet: %s", n.Waiting())
	}
	first, end := 0, view.Q
	if o.Partition >= 0 {
		first, end = o.Partition, o.Partition+1
	}
	if end > view.Q {
		return protocol.Repair{}, fmt.Errorf("there is no partition %d: they are numbered from 0 to %d", o.Partition, view.Q-1)
	}
	r := newRepairing(first, end)
	turns := make(chan struct{}, repairNodesMax)
	var wg sync.WaitGroup
	for p := first; p < end && ctx.Err() == nil; p += repairGroup {
		turns <- struct{}{}
		wg.Go(func() {
			n.repairGroup(ctx, repairOrder{ring.Partition(p), min(repairGroup, end-p), o.Scan}, r)
			<-turns
		})
	}
	wg.Wait()
	return r.report(), ctx.Err()
}

// repairing is a repair under way.
type repairing struct {
	mu struct {
		sync.Mutex
		first int
		found []protocol.RepairPartition
	}
}

func newRepairing(first, end int) *repairing {
	r := &repairing{}
	r.mu.first = first
	for p := first; p < end; p++ {
		r.mu.found = append(r.mu.found, protocol.RepairPartition{Partition: p, Unfinished: []string{}})
	}
	return r
}

func (r *repairing) add(found []protocol.RepairPartition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range found {
		if i := x.Partition - r.mu.first; i >= 0 && i < len(r.mu.found) {
			sum := &r.mu.found[i]
			sum.Rows, sum.Bytes = sum.Rows+x.Rows, sum.Bytes+x.Bytes
			sum.Damaged, sum.Conflicts = sum.Damaged+x.Damaged, sum.Conflicts+x.Conflicts
			sum.Unfinished = append(sum.Unfinished, x.Unfinished...)
		}
	}
}

func (r *repairing) report() protocol.Repair {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := protocol.Repair{Partitions: []protocol.RepairPartition{}}
	for _, x := range r.mu.found {
		out.Bytes += x.Bytes
		if len(x.Unfinished) == 0 {
			out.Compared++
		}
		if x.Rows+x.Damaged+x.Conflicts+len(x.Unfinished) > 0 {
			out.Partitions = append(out.Partitions, x)
		}
	}
	return out
}

// repairGroup has every primary of the group's partitions repair its own, one node after the other.
func (n *Node) repairGroup(ctx context.Context, o repairOrder, r *repairing) {
	var nodes []ring.NodeID
	view := n.coord.View()
	for _, m := range n.members.State().Members {
		for p := range o.count {
			if view.Place(o.first + ring.Partition(p)).IsPrimary(m.ID) {
				nodes = append(nodes, m.ID)
				break
			}
		}
	}
	for _, id := range nodes {
		r.add(n.repairAt(ctx, id, o))
	}
}

// repairAt has one node repair its own, and asks again while its turns end before it does and each takes something.
func (n *Node) repairAt(ctx context.Context, id ring.NodeID, o repairOrder) (found []protocol.RepairPartition) {
	for more := true; more; {
		turn, err := n.askRepair(ctx, id, o)
		if err != nil {
			turn = n.unrepaired(id, o, err)
		}
		if rest, ok := o.unscanned(turn); ok {
			found, o = merge(found, turn), rest
			continue
		}
		found, more = goOn(found, turn)
		o.scan = false
	}
	return found
}

// unscanned returns the order for what a turn's scan did not come to; ok is false when it came to all, or to nothing, which asking again
// would not change.
func (o repairOrder) unscanned(turn []protocol.RepairPartition) (rest repairOrder, ok bool) {
	at := slices.IndexFunc(turn, func(x protocol.RepairPartition) bool { return x.Unscanned })
	if at <= 0 {
		return o, false
	}
	rest = o
	rest.first = ring.Partition(turn[at].Partition)
	rest.count -= int(rest.first - o.first)
	return rest, true
}

// goOn adds a turn to those before it, and reports whether another is of use: something is unfinished, and something was taken.
func goOn(before, turn []protocol.RepairPartition) (sum []protocol.RepairPartition, more bool) {
	rows, unfinished := 0, 0
	for _, x := range turn {
		rows, unfinished = rows+x.Rows, unfinished+len(x.Unfinished)
	}
	return merge(before, turn), rows > 0 && unfinished > 0
}

// merge adds a turn to those before it: what was found of a partition is summed up, what is unfinished is the turn's word.
func merge(before, turn []protocol.RepairPartition) (sum []protocol.RepairPartition) {
	sum = slices.Clone(before)
	for _, x := range turn {
		at := slices.IndexFunc(sum, func(b protocol.RepairPartition) bool { return b.Partition == x.Partition })
		if at < 0 {
			sum = append(sum, x)
			continue
		}
		b := sum[at]
		x.Rows, x.Bytes = x.Rows+b.Rows, x.Bytes+b.Bytes
		x.Damaged, x.Conflicts = x.Damaged+b.Damaged, max(x.Conflicts, b.Conflicts)
		sum[at] = x
	}
	return sum
}

func (n *Node) askRepair(ctx context.Context, id ring.NodeID, o repairOrder) (found []protocol.RepairPartition, err error) {
	ctx, cancel := context.WithTimeout(ctx, repairPatience)
	defer cancel()
	if id == n.id {
		return n.repairOwn(ctx, o), nil
	}
	p := n.wire.peers.Load()
	if p == nil {
		return nil, request.ErrUnreachable
	}
	b, err := p.Fetch(ctx, id, controlRepair, o.append(nil))
	if err == nil {
		err = json.Unmarshal(b, &found)
	}
	return found, err
}

// unrepaired says of every partition of the group that a node's copy was left out.
func (n *Node) unrepaired(id ring.NodeID, o repairOrder, err error) (found []protocol.RepairPartition) {
	for i := range o.count {
		p := o.first + ring.Partition(i)
		if n.coord.View().Place(p).IsPrimary(id) {
			found = append(found, protocol.RepairPartition{Partition: int(p), Unfinished: []string{n.because(id, err)}})
		}
	}
	return found
}

func (n *Node) because(id ring.NodeID, err error) string {
	m, _ := n.members.member(id)
	return fmt.Sprintf("%s: %v", m.Name, err)
}

func (n *Node) serveRepair(ctx context.Context, payload []byte) ([]byte, error) {
	o, err := decodeRepairOrder(payload)
	if view := n.coord.View(); err == nil && int(o.first)+o.count > view.Q {
		err = request.ErrInternal
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(n.repairOwn(ctx, o))
}

// repairOwn takes what this node lacks of the group's partitions from every other primary, as far as it comes in a turn.
func (n *Node) repairOwn(ctx context.Context, o repairOrder) (found []protocol.RepairPartition) {
	ctx, cancel := context.WithTimeout(ctx, repairTurn)
	defer cancel()
	view := n.coord.View()
	var own []ring.Partition
	for i := range o.count {
		if p := o.first + ring.Partition(i); view.Place(p).IsPrimary(n.id) {
			own = append(own, p)
			found = append(found, protocol.RepairPartition{Partition: int(p), Unfinished: []string{}})
		}
	}
	if o.scan {
		n.scanOwn(ctx, own, found)
	}
	for i, p := range own {
		if !found[i].Unscanned {
			n.repairPartition(ctx, p, view.Place(p).Primaries, &found[i])
		}
	}
	return found
}

// repairPartition takes what this node lacks of a partition from every other primary, and compares again until nobody has
// anything left for it: a tombstone counts as absence, so that who had neither takes a value from one, and would else
// miss the delete that another held when it was asked before.
func (n *Node) repairPartition(ctx context.Context, p ring.Partition, primaries []ring.NodeID, found *protocol.RepairPartition) {
	for range primaries {
		before := found.Rows
		found.Conflicts = 0 // whoever is asked again reports them again
		for _, id := range primaries {
			if id != n.id {
				n.repairFrom(ctx, p, id, found)
			}
		}
		if found.Rows == before || len(found.Unfinished) > 0 {
			return
		}
	}
}

// scanOwn hashes the stored rows afresh, as far as it comes in the turn's part for that: beside busy clients it takes its time.
func (n *Node) scanOwn(ctx context.Context, own []ring.Partition, found []protocol.RepairPartition) {
	ctx, cancel := context.WithTimeout(ctx, repairScan)
	defer cancel()
	done := 0
	err := n.store.Rehash(ctx, own, func(r replica.Rehashed) error {
		found[done].Damaged = r.Leaves + r.Unreadable
		done++
		return nil
	})
	for ; err != nil && done < len(found); done++ {
		found[done].Unscanned = errors.Is(err, context.DeadlineExceeded)
		found[done].Unfinished = append(found[done].Unfinished, n.because(n.id, err))
	}
}

func (n *Node) repairFrom(ctx context.Context, p ring.Partition, id ring.NodeID, found *protocol.RepairPartition) {
	got, err := n.pull(ctx, p, id, forRepair)
	found.Rows, found.Bytes, found.Conflicts = found.Rows+got.Changed, found.Bytes+got.Bytes, found.Conflicts+got.Conflicts
	if err != nil {
		m, _ := n.members.member(id)
		found.Unfinished = append(found.Unfinished, n.because(n.id, fmt.Errorf("from %s: %w", m.Name, err)))
	}
}
