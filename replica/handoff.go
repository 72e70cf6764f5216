package replica

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// HandoffItem is the state of one key on its way to a node that misses part of it. The receiver syncs it.
type HandoffItem struct {
	Key   request.Key
	State causal.State
	Data  bool // a fallback's: this node's own row need not hold it
}

// Outcome is what became of one item.
type Outcome uint8

// The outcomes.
const (
	OutcomeRefused Outcome = iota // not stored; the sender keeps its hint
	OutcomeStored                 // durably synced, or known before
)

// Handoff is what delivering hints needs from the node around the store.
type Handoff struct {
	// Ready reports whether it is worth trying to deliver what is owed to the target in a partition: to the target, or to who is
	// to have it instead.
	Ready func(target ring.NodeID, p ring.Partition) bool
	// Deliver sends the items, and returns what became of each, in order. What it calls stored is durable wherever it has to be.
	Deliver func(ctx context.Context, target ring.NodeID, items []HandoffItem) ([]Outcome, error)
}

// StartHandoff delivers hints, each second and when poked, until Close: what is ready for each target, oldest first, a
// bounded batch at a time, independent of traffic. A hint goes only when it was delivered and has not changed since. It
// is called once.
func (s *Store) StartHandoff(h Handoff) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	s.wg.Go(func() { s.handoff(s.ctx, h) })
	return nil
}

// PokeHandoff makes the delivery look for work now, as when a node came up.
func (s *Store) PokeHandoff() {
	select {
	case s.poked <- struct{}{}:
	default: // poked already
	}
}

func (s *Store) handoff(ctx context.Context, h Handoff) {
	tick := time.NewTicker(handoffEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.poked:
		}
		for _, target := range s.hints.pending() {
			if ready := s.ready(h, target); len(ready) > 0 && s.hints.begin(target) {
				s.wg.Go(func() { s.pay(ctx, h, target, ready) })
			}
		}
	}
}

// ready returns the partitions of which something is owed to the target that may be delivered now.
func (s *Store) ready(h Handoff, target ring.NodeID) map[ring.Partition]bool {
	ready := s.hints.partitions(target)
	maps.DeleteFunc(ready, func(p ring.Partition, _ bool) bool { return !h.Ready(target, p) })
	return ready
}

// pay delivers what is owed to the target of the partitions that are ready, until nothing is, or something fails; the next tick goes
// on.
func (s *Store) pay(ctx context.Context, h Handoff, target ring.NodeID, ready map[ring.Partition]bool) {
	defer s.hints.end(target)
	err := s.payHints(ctx, h, target, ready)
	for _, p := range s.hints.owing(target) {
		if ready[p.partition] && (err == nil || errors.Is(err, errRefused)) {
			err = s.payMark(ctx, h, target, p)
		}
	}
	if err != nil && ctx.Err() == nil {
		s.events.deliveriesFailed.Add(1)
		s.log.Info("hints wait", "target", target, "err", err)
	}
}

// parcel is one batch of hints.
type parcel struct {
	items []HandoffItem
	hints [][]byte // as they were read
	bytes int
	last  []byte    // queue key of the last that was looked at; nil: none is left
	read  time.Time // when reading it began
}

func (p *parcel) full() bool { return len(p.items) >= HandoffItemsMax || p.bytes >= HandoffBytesMax }

// payHints delivers each hint that is there now once: one that is refused does not hold up those behind it.
func (s *Store) payHints(ctx context.Context, h Handoff, target ring.NodeID, ready map[ring.Partition]bool) error {
	after := appendTarget(nil, prefixQueue, target)
	for range HandoffRoundsMax {
		p, err := s.freshParcel(ctx, target, after, ready)
		if err != nil || p.last == nil {
			return err
		}
		if after = append(p.last, 0); len(p.items) == 0 {
			continue
		}
		if s.forgetful(target, p) {
			continue
		}
		outcomes, err := s.deliver(ctx, h, target, p.items, p.read)
		if err != nil {
			return err
		}
		if err := s.dropDelivered(target, p, outcomes); err != nil {
			return err
		}
	}
	return nil
}

// forgetful is where planted faults drop hints that nobody acknowledged; it reports whether they are not even sent.
func (s *Store) forgetful(target ring.NodeID, p *parcel) (gone bool) {
	gone = fault.On(fault.ExpireHint) && s.oldest(target) > 2*time.Second
	if !gone && !fault.On(fault.DropHintBeforeAck) {
		return false
	}
	all := make([]Outcome, len(p.items))
	for i := range all {
		all[i] = OutcomeStored
	}
	if err := s.dropDelivered(target, p, all); err != nil {
		s.log.Error("cannot plant a fault", "err", err)
	}
	return gone
}

// freshParcel reads a parcel and waits until clients leave room to send it. If that took long it is read once more: what is sent
// is no older than a delivery may last, so that it is known when nothing read before some moment is on its way any more.
func (s *Store) freshParcel(ctx context.Context, target ring.NodeID, after []byte, ready map[ring.Partition]bool) (*parcel, error) {
	p, err := s.parcel(ctx, target, after, ready)
	if err != nil || len(p.items) == 0 {
		return p, err
	}
	if err := s.admitItems(ctx, p.items); err != nil {
		return nil, err
	}
	if time.Since(p.read) < parcelFresh {
		return p, nil
	}
	return s.parcel(ctx, target, after, ready)
}

func (s *Store) admitItems(ctx context.Context, items []HandoffItem) error {
	if err := s.cfg.Admit(ctx, itemsBytes(items)); err != nil {
		return fmt.Errorf("replica: handoff: %w", err)
	}
	return nil
}

// deliver sends the items, which were read at that time.
func (s *Store) deliver(ctx context.Context, h Handoff, target ring.NodeID, items []HandoffItem, read time.Time) ([]Outcome, error) {
	ctx, cancel := context.WithDeadline(ctx, read.Add(deliverTimeout))
	defer cancel()
	outcomes, err := h.Deliver(ctx, target, items)
	if err == nil && len(outcomes) != len(items) {
		err = fmt.Errorf("replica: %d outcomes for %d hints", len(outcomes), len(items))
	}
	return outcomes, err
}

// parcel reads the next hints of the target's queue that are of the ready partitions. The state of a marker is read after the marker, so that it holds
// all that the marker stands for.
func (s *Store) parcel(ctx context.Context, target ring.NodeID, after []byte, ready map[ring.Partition]bool) (*parcel, error) {
	p := &parcel{read: time.Now()}
	queue, err := s.queued(ctx, target, after)
	if err != nil {
		return nil, err
	}
	for _, q := range queue {
		if p.full() {
			break
		}
		p.last = q.key
		_, _, k, ok := splitQueueKey(q.key)
		if !ok {
			return nil, fmt.Errorf("replica: hint queue: %w", request.ErrCorrupt)
		}
		if !ready[k.Partition] {
			continue
		}
		if err := s.pack(p, target, k); err != nil {
			s.unpacked(target, k, q, err)
		}
	}
	return p, nil
}

// queued returns copies of the next rows of the queue.
func (s *Store) queued(ctx context.Context, target ring.NodeID, after []byte) (queue []queuedHint, err error) {
	bounds := &pebble.IterOptions{LowerBound: after, UpperBound: prefixEnd(appendTarget(nil, prefixQueue, target))}
	it, err := s.db.NewIterWithContext(ctx, bounds)
	if err != nil {
		return nil, readError(err)
	}
	for ok := it.First(); ok && len(queue) < HandoffItemsMax; ok = it.Next() {
		q := queuedHint{key: bytes.Clone(it.Key())}
		if value, err := it.ValueAndErr(); err == nil {
			q.kind, _, _ = splitQueueValue(value)
		}
		queue = append(queue, q)
	}
	return queue, it.Close()
}

func (s *Store) pack(p *parcel, target ring.NodeID, k request.Key) error {
	key := appendHintKey(nil, target, k)
	b, err := s.get(key)
	if err != nil || b == nil {
		return err // nil: cancelled meanwhile
	}
	h, err := decodeHint(b)
	if err != nil {
		return err
	}
	state := h.state
	if h.kind == hintMarker {
		own, err := s.get(appendDataKey(nil, k))
		if err != nil {
			return fmt.Errorf("%w: %w", errRow, err)
		}
		if own == nil {
			return fmt.Errorf("replica: a marker without its row: %w", request.ErrCorrupt)
		}
		r, err := decodeRow(own)
		if err != nil {
			return fmt.Errorf("%w: %w", errRow, err)
		}
		state = r.state
	}
	s.hints.readable(target, key)
	p.items = append(p.items, HandoffItem{k, state, h.kind == hintData})
	p.hints = append(p.hints, b)
	p.bytes += stateBytes(state)
	return nil
}

func itemsBytes(items []HandoffItem) (n int) {
	for i := range items {
		n += pieceBytes + stateBytes(items[i].State)
	}
	return n
}

func stateBytes(state causal.State) (n int) {
	for _, x := range state.Siblings {
		n += len(x.Value)
	}
	return n
}

// dropDelivered removes the hints that were stored and are still what was read.
func (s *Store) dropDelivered(target ring.NodeID, p *parcel, outcomes []Outcome) error {
	var keys []request.Key
	var read [][]byte
	for i, o := range outcomes {
		if o == OutcomeStored {
			keys, read = append(keys, p.items[i].Key), append(read, p.hints[i])
		}
	}
	n, err := s.dropHints(target, keys, func(i int, h *heldHint) bool {
		return bytes.Equal(h.encoded, read[i]) || fault.On(fault.DropChangedHint)
	})
	s.events.hintsDelivered.Add(uint64(n))
	return err
}

var errRefused = errors.New("replica: the target refuses a partition that is owed")

// payMark sends the target all that the place holds, a bounded batch at a time; it goes on where it stopped, over a
// restart too. What is owed while it runs is paid by the next scan.
func (s *Store) payMark(ctx context.Context, h Handoff, target ring.NodeID, p place) error {
	generation, from, err := s.beginPayment(target, p)
	if err != nil {
		return err
	}
	for {
		items, next, read, err := s.freshScan(ctx, p, from)
		if err != nil {
			return err
		}
		if err := s.deliverItems(ctx, h, target, items, read); err != nil {
			return err
		}
		if next == nil {
			return s.endPayment(target, p, generation)
		}
		from = next
		value := append(binary.BigEndian.AppendUint64(nil, generation), from...)
		if err := s.checkCommit(s.db.Set(resumeKey(target, p), value, pebble.NoSync)); err != nil {
			return err
		}
	}
}

// freshScan is freshParcel for a part of a place.
func (s *Store) freshScan(ctx context.Context, p place, from []byte) (items []HandoffItem, next []byte, read time.Time, err error) {
	read = time.Now()
	if items, next, err = s.scanItems(ctx, p, from); err != nil || len(items) == 0 {
		return items, next, read, err
	}
	if err = s.admitItems(ctx, items); err != nil || time.Since(read) < parcelFresh {
		return items, next, read, err
	}
	read = time.Now()
	items, next, err = s.scanItems(ctx, p, from)
	return items, next, read, err
}

func (s *Store) scanItems(ctx context.Context, p place, from []byte) (items []HandoffItem, next []byte, err error) {
	entries, next, err := s.scan(ctx, p, from, HandoffItemsMax, HandoffBytesMax)
	for _, e := range entries {
		items = append(items, HandoffItem{Key: request.Key{Space: p.space, Partition: p.partition, Name: e.Key}, State: e.State})
	}
	return items, next, err
}

// beginPayment returns where the payment of a mark stopped, or begins one: from then on, what is owed is of the next
// generation, and all that was owed before can be read.
func (s *Store) beginPayment(target ring.NodeID, p place) (generation uint64, from []byte, err error) {
	b, err := s.get(resumeKey(target, p))
	if err != nil {
		return 0, nil, err
	}
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b), b[8:], nil
	}
	generation = s.hints.nextGeneration(target, p)
	s.locks.barrier()
	return generation, nil, nil
}

// deliverItems delivers one batch of a payment. What is refused of it is owed key by key from then on, so that it holds
// up nobody behind it; where all is refused, the target does not take the place now.
func (s *Store) deliverItems(ctx context.Context, h Handoff, target ring.NodeID, items []HandoffItem, read time.Time) error {
	if len(items) == 0 {
		return nil
	}
	outcomes, err := s.deliver(ctx, h, target, items, read)
	if err != nil {
		return err
	}
	var refused []Owed
	for i, o := range outcomes {
		if o != OutcomeStored {
			refused = append(refused, Owed{Target: target, Key: items[i].Key, Seen: items[i].State.Seen})
		}
	}
	switch len(refused) {
	case 0:
		return nil
	case len(items):
		return errRefused
	}
	return s.AddHints(ctx, refused)
}

func (s *Store) endPayment(target ring.NodeID, p place, generation uint64) error {
	b := s.db.NewBatch()
	defer s.closeQuietly(b)
	err := errors.Join(b.Delete(resumeKey(target, p), nil),
		b.DeleteRange(appendMarkKey(nil, target, p, 0), appendMarkKey(nil, target, p, generation+1), nil))
	if err != nil {
		return err
	}
	if err := s.checkCommit(b.Commit(pebble.NoSync)); err != nil {
		return err
	}
	s.markDirty()
	s.hints.paid(target, p, generation)
	return nil
}

// AcceptHandoff syncs what another node delivers, and returns what became of each item, in order, after an fsync. It may
// use the disk's reserve. An error is that of all items, and nothing is to be taken as stored.
func (s *Store) AcceptHandoff(ctx context.Context, items []HandoffItem) ([]Outcome, error) {
	writes := make([]*request.Write, len(items))
	for i, item := range items {
		writes[i] = &request.Write{Key: item.Key, Delta: item.State, Reserve: true}
	}
	if err := s.Write(ctx, writes); err != nil {
		return nil, err
	}
	if err := s.Durable(ctx); err != nil {
		return nil, err
	}
	outcomes := make([]Outcome, len(items))
	for i, el := range writes {
		if el.Err == nil {
			outcomes[i] = OutcomeStored
		}
	}
	return outcomes, nil
}
