package replica

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// hint returns the hint as the batch sees it. The key is left in w.key.
func (w *writer) hint(target ring.NodeID, k request.Key) (*heldHint, error) {
	w.key = appendHintKey(w.key[:0], target, k)
	if held, ok := w.hints[string(w.key)]; ok {
		return held, nil
	}
	held := &heldHint{}
	b, err := w.s.get(w.key)
	if err != nil {
		return nil, err
	}
	if b != nil {
		if held.hint, err = decodeHint(b); err != nil {
			return nil, err
		}
		held.encoded = b
	}
	if w.many {
		w.hints[string(w.key)] = held
	}
	return held, nil
}

// oneHint syncs an element into the data hint for a node that this one stands in for.
func (w *writer) oneHint(el *request.Write) error {
	held, err := w.hint(el.For, el.Key)
	if err != nil {
		return err
	}
	cur, err := w.hintedRow(held, el.Key)
	if err != nil {
		return err
	}
	next, ok, err := w.decide(el, cur, hintSeq)
	if err != nil || !ok {
		w.settled = w.settled || !cur.state.IsZero()
		return err
	}
	grow, err := w.reserveHints(el, held, next)
	if err != nil {
		return err
	}
	defer w.s.hints.unreserve(grow)
	if el.Wrote, err = w.putHint(el.For, el.Key, held, hint{kind: hintData, row: next}); err != nil {
		return err
	}
	w.settled = w.settled || !el.Wrote
	el.Survivor = survivors(next.state, el.Delta)
	for _, target := range el.Owed {
		if err := w.standIn(target, el.Key, el.Delta); err != nil {
			return err
		}
	}
	return nil
}

// hintedRow returns the row inside a hint. A marker becomes data: what it stands for is in the key's own row.
func (w *writer) hintedRow(held *heldHint, k request.Key) (row, error) {
	if held.encoded == nil || held.kind == hintData {
		return held.row, nil
	}
	own, err := w.row(k)
	if err != nil {
		return row{}, err
	}
	return row{state: own.state}, nil
}

// hintSlack is more than a hint has beside the key and the state.
const hintSlack = 64

// reserveHints takes the room that the element's hints can need at most, or refuses it; nothing is minted or stored yet.
func (w *writer) reserveHints(el *request.Write, held *heldHint, next row) (grow int, err error) {
	w.value = next.state.Append(w.value[:0])
	size := len(w.value)
	grow = size + len(el.Key.Name) + hintSlack
	if held.kind == hintData {
		grow -= len(held.encoded) + len(el.Key.Name)
	}
	w.value = el.Delta.Append(w.value[:0])
	grow = max(grow, 0) + len(el.Owed)*(len(w.value)+len(el.Key.Name)+hintSlack)
	if el.Mint != nil && size > StateBytesMax {
		err = fmt.Errorf("replica: state of %d bytes: %w", size, request.ErrTooBig)
	} else if !w.s.hints.reserve(grow) {
		w.s.events.hintsRefused.Add(1)
		err = request.ErrHintsFull
	}
	return grow, err
}

// standIn syncs a delta into the data hint for a further target.
func (w *writer) standIn(target ring.NodeID, k request.Key, delta causal.State) error {
	held, err := w.hint(target, k)
	if err != nil {
		return err
	}
	next, err := w.hintedRow(held, k)
	if err != nil {
		return err
	}
	next.state = causal.Sync(next.state, delta).Prune(w.s.cfg.Settled)
	if !next.state.Fits() {
		return errUnreadable
	}
	_, err = w.putHint(target, k, held, hint{kind: hintData, row: next})
	return err
}

// owe notes that the target misses a delta which the key's own row holds: by a marker, by adding it to what is hinted
// already, or, when the target has as many markers as it may, by marking the partition. A hint that cannot be read is
// no reason to fail, for the row is in the batch already: the partition is marked then, too.
func (w *writer) owe(target ring.NodeID, k request.Key, delta causal.State, minted bool) error {
	if target == w.s.node {
		return nil
	}
	held, err := w.hint(target, k)
	if err == nil && held.encoded != nil && held.kind == hintData {
		if err = w.standIn(target, k, delta); err == nil {
			return nil
		}
	}
	if err != nil {
		w.s.log.Error("cannot add to a hint; its partition is owed as a whole", "target", target, "partition", k.Partition, "err", err)
		return w.owePlace(target, placeOf(k))
	}
	if held.encoded == nil && !w.s.hints.addMarker(target, placeOf(k)) {
		return w.owePlace(target, placeOf(k))
	}
	_, err = w.putHint(target, k, held, held.owing(delta.Seen, minted, w.s.cfg.Settled))
	return err
}

// owing returns the marker that also stands for what is missed. A delete mints no dot, so that the context alone would not tell:
// an acknowledgement of the dots, as of the write that it deletes, which may come late, must not cancel it, and a delivery under way, read
// before it, must not drop it.
func (h *heldHint) owing(seen causal.Context, minted bool, settled func(causal.Stamp) bool) hint {
	next := hint{kind: hintMarker, owed: h.owed.Join(seen).Prune(settled), again: h.again}
	if !minted || h.encoded != nil && h.owed.Covers(seen) {
		next.again++
	}
	return next
}

// oweStored is owe for what is in the key's own row already and known by its context alone. A data hint is given the row:
// the context without its values would say there that the values are gone. Without a row nothing is owed: it was given up meanwhile,
// after every owner had taken it over, and a marker of it could never be delivered.
func (w *writer) oweStored(target ring.NodeID, k request.Key, seen causal.Context, minted bool) error {
	own, err := w.row(k)
	if err != nil || own.encoded == nil {
		return err
	}
	missed := causal.State{Seen: seen}
	if held, err := w.hint(target, k); err == nil && held.encoded != nil && held.kind == hintData {
		missed = own.state
	}
	return w.owe(target, k, missed, minted)
}

func (w *writer) owePlace(target ring.NodeID, p place) error {
	w.key = appendMarkKey(w.key[:0], target, p, w.s.hints.owePlace(target, p))
	return w.batch.Set(w.key, nil, nil)
}

// putHint adds the hint and its place in the queue to the batch, and reports whether it changed.
func (w *writer) putHint(target ring.NodeID, k request.Key, held *heldHint, next hint) (changed bool, err error) {
	next.since = held.since
	if held.encoded == nil {
		next.since = w.s.cfg.Now().UnixMilli()
	}
	w.value = appendHint(w.value[:0], next)
	if bytes.Equal(w.value, held.encoded) {
		return false, nil
	}
	w.key = appendHintKey(w.key[:0], target, k)
	if err := w.batch.Set(w.key, w.value, nil); err != nil {
		return false, err
	}
	w.recount(target, k, held, next.kind)
	held.hint, held.encoded = next, bytes.Clone(w.value)
	w.key = appendQueueKey(w.key[:0], target, next.since, k)
	w.value = append(w.value[:0], byte(next.kind))
	w.value = binary.AppendUvarint(w.value, uint64(hintSize(k, held.encoded)))
	return true, w.batch.Set(w.key, w.value, nil)
}

func (w *writer) recount(target ring.NodeID, k request.Key, held *heldHint, kind hintKind) {
	if held.encoded == nil {
		w.s.events.hintsStored.Add(1)
		if kind == hintMarker {
			return // addMarker counted it
		}
	} else {
		w.s.hints.add(target, placeOf(k), held.kind, -1, hintSize(k, held.encoded))
	}
	w.s.hints.add(target, placeOf(k), kind, 1, hintSize(k, w.value))
}

func hintSize(k request.Key, encoded []byte) int { return len(k.Name) + len(encoded) }

// dropHint removes a hint and its place in the queue. The counting follows when the batch is applied.
func (w *writer) dropHint(target ring.NodeID, k request.Key, held *heldHint) error {
	w.key = appendHintKey(w.key[:0], target, k)
	w.s.hints.readable(target, w.key)
	err := w.batch.Delete(w.key, nil)
	w.key = appendQueueKey(w.key[:0], target, held.since, k)
	return errors.Join(err, w.batch.Delete(w.key, nil))
}

// CancelHint drops the marker for the target if seen, which the target is known to have durably, covers all that the
// marker stands for, and no delete is among that. Data hints stay: they are delivered.
func (s *Store) CancelHint(target ring.NodeID, k request.Key, seen causal.Context) error {
	n, err := s.dropHints(target, []request.Key{k}, func(_ int, h *heldHint) bool {
		return h.kind == hintMarker && (h.again == 0 && seen.Covers(h.owed) || fault.On(fault.CancelUncovered))
	})
	s.events.hintsCancelled.Add(uint64(n))
	return err
}

// dropHints removes those of the target's hints for the keys that still satisfy drop under the key's lock, and returns
// how many went. A removal that a crash undoes costs a delivery more, so nobody waits for the disk.
func (s *Store) dropHints(target ring.NodeID, keys []request.Key, drop func(i int, h *heldHint) bool) (n int, err error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.gate.leave()
	w := s.writer(false)
	defer w.release()
	for _, k := range keys {
		w.shards = append(w.shards, shardOf(k))
	}
	var gone []*heldHint
	var errs []error
	err = w.locked(func() {
		gone = make([]*heldHint, len(keys))
		for i, k := range keys {
			held, err := w.hint(target, k)
			if err == nil && held.encoded != nil && drop(i, held) {
				gone[i], err = held, w.dropHint(target, k, held)
			}
			errs = append(errs, err)
		}
	}, pebble.NoSync)
	if err != nil {
		return 0, err
	}
	for i, held := range gone {
		if held != nil {
			n++
			s.hints.add(target, placeOf(keys[i]), held.kind, -1, hintSize(keys[i], held.encoded))
		}
	}
	return n, errors.Join(errs...)
}

// loadHints counts the hints on the disk. It reads the queue, which is small beside the hints themselves.
func (s *Store) loadHints() error {
	err := s.eachKey([]byte{prefixQueue}, func(key, value []byte) error {
		target, _, k, ok := splitQueueKey(key)
		kind, size, valid := splitQueueValue(value)
		if !ok || !valid {
			return fmt.Errorf("replica: hint queue: %w", request.ErrCorrupt)
		}
		s.hints.add(target, placeOf(k), kind, 1, size)
		return nil
	})
	if err != nil {
		return err
	}
	return errors.Join(s.loadMarks(), s.loadResumes())
}

func splitQueueValue(b []byte) (kind hintKind, size int, ok bool) {
	if len(b) < 2 {
		return 0, 0, false
	}
	n, read := binary.Uvarint(b[1:])
	kind = hintKind(b[0])
	return kind, int(n), read == len(b)-1 && n < 1<<40 && (kind == hintMarker || kind == hintData)
}

func (s *Store) loadMarks() error {
	return s.eachKey([]byte{prefixMark}, func(key, _ []byte) error {
		target, p, generation, ok := splitMarkKey(key)
		if !ok {
			return fmt.Errorf("replica: partition mark: %w", request.ErrCorrupt)
		}
		s.hints.loadMark(target, p, generation, true)
		return nil
	})
}

func (s *Store) loadResumes() error {
	return s.eachKey([]byte{prefixResume}, func(key, value []byte) error {
		if len(key) != hintHead+placeSize || len(value) < 8 {
			return fmt.Errorf("replica: payment of a mark: %w", request.ErrCorrupt)
		}
		p := place{key[hintHead], ring.Partition(binary.BigEndian.Uint16(key[hintHead+1:]))}
		s.hints.loadMark(ring.NodeID(key[1:hintHead]), p, binary.BigEndian.Uint64(value), false)
		return nil
	})
}

// eachKey visits the rows under a prefix in order. The slices are valid during the call.
func (s *Store) eachKey(prefix []byte, visit func(key, value []byte) error) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
	if err != nil {
		return readError(err)
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err == nil {
			err = visit(it.Key(), value)
		}
	}
	return firstError(err, it.Close())
}

// TargetHints is what is owed to one node.
type TargetHints struct {
	Markers, Data int           // hints without and with data
	Bytes         int64         // of those with data
	Marks         int           // partitions owed as a whole
	Unreadable    int           // hints that stay, for they cannot be read; as far as delivery was tried
	Oldest        time.Duration // age of the oldest hint; 0: none
}

// HintStats is what is owed to all nodes together, and to each that is owed something.
type HintStats struct {
	TargetHints
	Targets map[ring.NodeID]TargetHints
}

// Pending returns how many hints there are, partition marks counted as one each.
func (t TargetHints) Pending() int { return t.Markers + t.Data + t.Marks }

// HintStats returns what is owed. It reads one row for each target.
func (s *Store) HintStats() HintStats {
	st := HintStats{Targets: s.hints.stats()}
	inside := s.enter() == nil
	if inside {
		defer s.gate.leave()
	}
	for id, th := range st.Targets {
		if inside {
			th.Oldest = s.oldest(id)
		}
		st.Targets[id] = th
		st.Markers, st.Data, st.Marks = st.Markers+th.Markers, st.Data+th.Data, st.Marks+th.Marks
		st.Bytes, st.Oldest = st.Bytes+th.Bytes, max(st.Oldest, th.Oldest)
		st.Unreadable += th.Unreadable
	}
	return st
}

var errFound = errors.New("found")

// oldest returns the age of the target's oldest hint.
func (s *Store) oldest(target ring.NodeID) (age time.Duration) {
	err := s.eachKey(appendTarget(nil, prefixQueue, target), func(key, _ []byte) error {
		_, since, _, ok := splitQueueKey(key)
		if ok {
			age = max(s.cfg.Now().Sub(time.UnixMilli(since)), 0)
		}
		return errFound
	})
	if err != nil && !errors.Is(err, errFound) {
		s.log.Error("cannot read the oldest hint", "target", target, "err", err)
	}
	return age
}
