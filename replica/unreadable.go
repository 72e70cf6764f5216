package replica

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// errRow says that it is the row beneath a marker that cannot be read. A repair with a scan removes such a row, and its markers.
var errRow = errors.New("its row")

// queuedHint is a row of a target's queue.
type queuedHint struct {
	key  []byte   // of the queue
	kind hintKind // 0: it cannot be read
}

// unpacked is what becomes of a hint that could not be packed. It holds up none behind it. One whose bytes make no sense will not
// be read the next time either: if it is a marker, what it stands for is in the key's own row, and its partition is owed as a whole instead.
// One with data may be the only place where that is, and a later version of the program may read what this one cannot: it stays,
// and HintStats counts it.
func (s *Store) unpacked(target ring.NodeID, k request.Key, q queuedHint, err error) {
	corrupt := errors.Is(err, request.ErrCorrupt)
	if corrupt && q.kind == hintMarker && !errors.Is(err, errRow) {
		s.log.Error("a hint cannot be read; its partition is owed as a whole", "target", target, "partition", k.Partition, "key", logName(k.Name), "err", err)
		if err = s.oweInstead(target, k, q.key); err == nil {
			return
		}
		corrupt = false
	}
	if !corrupt {
		s.log.Error("cannot read a hint", "target", target, "partition", k.Partition, "err", err)
		return
	}
	if !s.hints.unreadable(target, appendHintKey(nil, target, k)) {
		return // said before
	}
	advice := "run `holdfast repair`: other copies may have what it holds; it stays until this node's disk is replaced"
	if errors.Is(err, errRow) {
		advice = "run `holdfast repair --scan`"
	}
	s.log.Error("a hint cannot be delivered", "target", target, "partition", k.Partition, "key", logName(k.Name), "err", err, "advice", advice)
}

// oweInstead replaces a marker by a mark of its partition, both at once; one that is none any more stays. A crash that undoes it
// costs another attempt, so nobody waits for the disk.
func (s *Store) oweInstead(target ring.NodeID, k request.Key, queueKey []byte) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	w := s.writer(false)
	defer w.release()
	w.shards = append(w.shards, shardOf(k))
	var gone bool
	var failed error
	err := w.locked(func() {
		if gone, failed = w.isMarker(queueKey); !gone || failed != nil {
			return
		}
		w.key = appendHintKey(w.key[:0], target, k)
		failed = errors.Join(w.batch.Delete(w.key, nil), w.batch.Delete(queueKey, nil), w.owePlace(target, placeOf(k)))
	}, pebble.NoSync)
	if err := firstError(err, failed); err != nil || !gone {
		return err
	}
	s.events.hintsDropped.Add(1)
	s.hints.readable(target, appendHintKey(nil, target, k))
	s.hints.add(target, placeOf(k), hintMarker, -1, 0)
	return nil
}

// isMarker reports whether the queue still has a marker there.
func (w *writer) isMarker(queueKey []byte) (bool, error) {
	b, err := w.s.get(queueKey)
	if err != nil || b == nil {
		return false, err
	}
	kind, _, ok := splitQueueValue(b)
	if !ok {
		return false, fmt.Errorf("replica: hint queue: %w", request.ErrCorrupt)
	}
	return kind == hintMarker, nil
}

// unreadable notes a hint, by its key, that cannot be delivered, UnreadableMax of a target at most. It reports whether it was not known.
func (t *hintTable) unreadable(target ring.NodeID, key []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	th := t.targetLocked(target)
	if th.unreadable[string(key)] || len(th.unreadable) >= UnreadableMax {
		return false
	}
	if th.unreadable == nil {
		th.unreadable = make(map[string]bool)
	}
	th.unreadable[string(key)] = true
	t.known.Add(1)
	return true
}

// readable forgets a hint that went, or that can be delivered after all.
func (t *hintTable) readable(target ring.NodeID, key []byte) {
	if t.known.Load() == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if th := t.targetLocked(target); th.unreadable[string(key)] {
		delete(th.unreadable, string(key))
		t.known.Add(-1)
	}
}
