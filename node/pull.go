package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/replica/merkle"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// The requests of pulls, over the bulk connection. They stand apart from the other kinds of control requests, since an
// older node that does not know them must say so.
const (
	controlRoots  uint8 = iota + 32 // payload: partitions; answer: their roots
	controlNodes                    // payload: partition, merkle.Question; answer: merkle.Answer
	controlRows                     // payload: replica.RowsQuestion; answer: replica.RowsAnswer
	controlRepair                   // payload: repairOrder; answer: repaired as JSON
)

// errNotComplete says that a tree is still being counted up, here or there.
var errNotComplete = fmt.Errorf("node: a hash tree is not complete yet: %w", request.ErrOverloaded)

// reason is what a pull is for.
type reason uint8

const (
	// forRepair compares trees, and takes the rows of the leaves that differ. Anti-entropy is that, of what differs twice.
	forRepair reason = iota
	// forTransfer takes everything that this node lacks, tombstones too: who becomes an owner must know what was deleted. Trees, to which a
	// tombstone is absence, cannot tell; so each row that is held costs 16 bytes.
	forTransfer
)

// pulled counts what a pull did.
type pulled struct {
	Rows      int   // that travelled
	Changed   int   // of them, those that this node lacked or held otherwise
	Conflicts int   // of them, those refused because a dot has other bytes here
	Refused   int   // of them, those that could not be stored
	Bytes     int64 // of questions and answers
}

func (p *pulled) add(o pulled) {
	p.Rows, p.Changed, p.Conflicts = p.Rows+o.Rows, p.Changed+o.Changed, p.Conflicts+o.Conflicts
	p.Refused, p.Bytes = p.Refused+o.Refused, p.Bytes+o.Bytes
}

// pulls counts what all pulls of a node did.
type pulls struct {
	antiEntropyBytes, transferBytes, rows atomic.Int64
	transfers                             atomic.Int64 // under way or waiting
	taking                                underWay     // rows are being taken
	log                                   limiter      // of failures
}

// underWay counts what is under way by partition. The zero value is ready.
type underWay struct {
	mu sync.Mutex
	of map[ring.Partition]int
}

// begin counts one more, until it is ended.
func (u *underWay) begin(p ring.Partition) (end func()) {
	u.add(p, 1)
	return func() { u.add(p, -1) }
}

func (u *underWay) add(p ring.Partition, n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of == nil {
		u.of = make(map[ring.Partition]int)
	}
	if u.of[p] += n; u.of[p] == 0 {
		delete(u.of, p)
	}
}

func (u *underWay) any(p ring.Partition) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.of[p] > 0
}

// pull takes from another node what this one lacks of a partition, one way, and syncs it into the store as copies of writes are. What
// it took is on the disk, fsynced, when it returns without an error, and after a transfer what it found here, too; after an error it may be called again, and takes what
// is still lacking. It waits for leave before each chunk, and as long as ctx lasts. Writes go on here and there; those that
// began before the call at the other node are included.
func (n *Node) pull(ctx context.Context, p ring.Partition, from ring.NodeID, why reason) (got pulled, err error) {
	if why == forTransfer {
		n.pulls.transfers.Add(1)
		defer n.pulls.transfers.Add(-1)
	}
	x := &puller{n: n, partition: p, from: from, why: why}
	leaves := merkle.AllLeaves()
	if why == forRepair {
		leaves, err = x.differing(ctx)
	}
	if err == nil {
		err = x.take(ctx, leaves)
	}
	return x.got, err
}

// puller is one pull under way.
type puller struct {
	n         *Node
	partition ring.Partition
	from      ring.NodeID
	why       reason
	got       pulled
	refused   error // the last reason why a row could not be stored
}

// take takes the rows of the leaves, durably. Rows that could not be stored are an error once the others are.
func (x *puller) take(ctx context.Context, leaves *merkle.Leaves) error {
	if leaves.Len() == 0 {
		return nil
	}
	err := x.takeRows(ctx, leaves)
	if err == nil && (x.got.Changed > 0 || x.why == forTransfer) { // others delete what was transferred, and what was here may not be on disk
		err = x.n.store.Durable(ctx)
	}
	if err == nil && x.got.Refused > 0 {
		err = fmt.Errorf("node: %d rows of partition %d could not be stored: %w", x.got.Refused, x.partition, x.refused)
	}
	if err == nil && x.got.Conflicts > 0 && x.why == forTransfer { // the other may delete its copy of what was not taken
		err = fmt.Errorf("node: %d rows of partition %d have one write with different bytes here and there; overwrite the keys that the log names: %w",
			x.got.Conflicts, x.partition, request.ErrCorrupt)
	}
	return err
}

// differing compares the trees from the roots down.
func (x *puller) differing(ctx context.Context) (*merkle.Leaves, error) {
	roots, err := x.roots(ctx, []uint16{uint16(x.partition)})
	if err != nil {
		return nil, err
	}
	local, complete := x.n.store.Tree(x.partition)
	if !complete || roots[0].Depth == 0 {
		return nil, errNotComplete
	}
	exchange := merkle.NewExchange(local, roots[0])
	for q, more := exchange.Next(); more; q, more = exchange.Next() {
		b, err := x.askOfTrees(ctx, controlNodes, q.Append(binary.BigEndian.AppendUint16(nil, uint16(x.partition))))
		if err != nil {
			return nil, err
		}
		a, err := merkle.DecodeAnswer(b)
		if err == nil {
			err = exchange.Hear(a)
		}
		if err != nil {
			return nil, err
		}
	}
	return exchange.Differing(), nil
}

// roots asks for the roots of some partitions at once.
func (x *puller) roots(ctx context.Context, ps []uint16) ([]merkle.Root, error) {
	b, err := x.askOfTrees(ctx, controlRoots, merkle.AppendPartitions(nil, ps))
	if err != nil {
		return nil, err
	}
	return merkle.DecodeRoots(b, len(ps))
}

// takeRows takes the rows of the leaves, a chunk at a time.
func (x *puller) takeRows(ctx context.Context, leaves *merkle.Leaves) error {
	defer x.n.pulls.taking.begin(x.partition)()
	for from, more := (replica.Cursor{}), true; more; {
		have, to, err := x.n.store.Sketch(ctx, x.partition, leaves, from)
		if err != nil {
			return err
		}
		q := replica.RowsQuestion{Partition: x.partition, Leaves: leaves, Tombstones: x.why == forTransfer,
			From: from, To: to, Have: have, BytesMax: pullChunkBytes}
		next, err := x.takeChunk(ctx, &q)
		if err != nil {
			return err
		}
		if next == nil {
			next = to
		}
		if more = next != nil; more && !next.After(from) {
			return fmt.Errorf("node: the rows of partition %d go on where they began: %w", x.partition, request.ErrInternal)
		}
		if more {
			from = *next
		}
	}
	return nil
}

// takeChunk asks one question and syncs its answer. Leave is asked for the question before it goes, and for what came before it is
// stored: how much that is nobody knows earlier, and the next chunk waits for it.
func (x *puller) takeChunk(ctx context.Context, q *replica.RowsQuestion) (next *replica.Cursor, err error) {
	asked := q.Append(nil)
	if err := x.n.pace.Admit(ctx, len(asked)+chunkCost); err != nil {
		return nil, err
	}
	b, err := x.ask(ctx, controlRows, asked)
	if err != nil {
		return nil, err
	}
	if err := x.n.pace.Admit(ctx, len(b)); err != nil {
		return nil, err
	}
	a, err := replica.DecodeRowsAnswer(b, x.partition, x.n.coord.View().Q)
	if err != nil {
		return nil, err
	}
	return a.Next, x.accept(ctx, a.Rows)
}

// accept stores rows, as long as the partition is this node's: it may have been given up since they were asked for. An acknowledgement
// of the ring waits for a portion at most, not for the pauses between them.
func (x *puller) accept(ctx context.Context, rows []*request.Write) error {
	done, err := x.n.store.AcceptRows(ctx, rows, func(store func() error) error { return x.n.coord.Holding(x.partition, store) })
	if err != nil {
		return err
	}
	if done.Err != nil {
		x.refused = done.Err
	}
	x.got.add(pulled{Rows: len(rows), Changed: done.Changed, Conflicts: done.Conflicts, Refused: done.Refused})
	x.n.pulls.rows.Add(int64(done.Changed))
	return nil
}

// askOfTrees is ask, once clients leave room.
func (x *puller) askOfTrees(ctx context.Context, kind uint8, question []byte) ([]byte, error) {
	if err := x.n.pace.Admit(ctx, compareCost); err != nil {
		return nil, err
	}
	return x.ask(ctx, kind, question)
}

// ask sends one question to the other node and counts its bytes.
func (x *puller) ask(ctx context.Context, kind uint8, question []byte) ([]byte, error) {
	b, err := x.n.fetch(ctx, x.from, kind, question)
	bytes := int64(len(question) + len(b))
	x.got.Bytes += bytes
	if x.why == forTransfer {
		x.n.pulls.transferBytes.Add(bytes)
	} else {
		x.n.pulls.antiEntropyBytes.Add(bytes)
	}
	return b, err
}

// fetch asks another node over the bulk connection, within pullPatience.
func (n *Node) fetch(ctx context.Context, to ring.NodeID, kind uint8, payload []byte) ([]byte, error) {
	p := n.wire.peers.Load()
	if p == nil {
		return nil, request.ErrUnreachable
	}
	ctx, cancel := context.WithTimeout(ctx, pullPatience)
	defer cancel()
	return p.Fetch(ctx, to, kind, payload)
}

// servePull answers the requests of pulls.
func (n *Node) servePull(ctx context.Context, kind uint8, payload []byte) ([]byte, error) {
	if n.store == nil {
		return nil, request.ErrNotOwner
	}
	switch kind {
	case controlRoots:
		return n.serveTrees(ctx, payload, n.serveRoots)
	case controlNodes:
		return n.serveTrees(ctx, payload, n.serveNodes)
	case controlRows:
		return n.serveRows(ctx, payload)
	case controlRepair:
		return n.serveRepair(ctx, payload)
	}
	if kind >= controlPropose && kind <= controlCommit {
		return n.reaper.serve(ctx, kind, payload)
	}
	return nil, fmt.Errorf("node: unknown control request %d", kind)
}

// serveTrees answers a question about trees once clients leave room for it, not before: an answer that waited would differ from what the
// asker holds by the writes of the meantime.
func (n *Node) serveTrees(ctx context.Context, payload []byte, serve func([]byte) ([]byte, error)) ([]byte, error) {
	if err := n.pace.Admit(ctx, compareCost); err != nil {
		return nil, err
	}
	return serve(payload)
}

// serveRows answers with rows. What they cost is asked of this node's controller, too: the other's sees nothing of this one's clients.
func (n *Node) serveRows(ctx context.Context, payload []byte) ([]byte, error) {
	q, err := replica.DecodeRowsQuestion(payload)
	if err != nil {
		return nil, errors.Join(request.ErrInternal, err)
	}
	a, err := n.store.Rows(ctx, q)
	if err != nil {
		return nil, err
	}
	answer := a.Append(nil)
	return answer, n.pace.Admit(ctx, len(answer))
}

func (n *Node) serveRoots(payload []byte) ([]byte, error) {
	ps, err := merkle.DecodePartitions(payload)
	if err != nil {
		return nil, errors.Join(request.ErrInternal, err)
	}
	roots := make([]merkle.Root, len(ps))
	for i, p := range ps {
		roots[i] = n.store.Root(ring.Partition(p))
	}
	return merkle.AppendRoots(nil, roots), nil
}

func (n *Node) serveNodes(payload []byte) ([]byte, error) {
	if len(payload) < 2 {
		return nil, request.ErrInternal
	}
	q, err := merkle.DecodeQuestion(payload[2:])
	if err != nil {
		return nil, errors.Join(request.ErrInternal, err)
	}
	tree, complete := n.store.Tree(ring.Partition(binary.BigEndian.Uint16(payload)))
	if !complete {
		return nil, errNotComplete
	}
	return tree.Answer(q).Append(nil), nil
}
