package replica

import (
	"bytes"
	"context"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/replica/merkle"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// A pull takes from another node what it holds of a partition and this node lacks. Which leaves to look at is found out
// by an exchange of trees (package merkle). Then the asker says, for a stretch of rows, which it holds, by hashes
// of 16 bytes a row, and the other answers with the rows that differ; both walk their rows in key order. So what travels is the
// difference, a stretch asked for twice costs its hashes, and nothing needs to be remembered between questions.

// RowHash says that its sender holds a row, and in which state.
type RowHash struct {
	Key   merkle.KeyHash
	State uint64 // causal.HashEncoded: a tombstone has one, too
}

// RowsQuestion asks for the rows of a partition in some leaves, from From (inclusive) to To (exclusive; nil: to the end).
type RowsQuestion struct {
	Partition ring.Partition
	Leaves    *merkle.Leaves
	// Tombstones asks for those, too, that the asker knows nothing of: a new owner must know what was deleted, lest a late
	// copy of it look like news. Otherwise a tombstone is sent only over a row that the asker holds.
	Tombstones bool
	From       Cursor
	To         *Cursor
	Have       []RowHash // at most SketchRowsMax
	BytesMax   int       // of the answer's rows, one row excepted; at most ChunkBytesMax
}

// RowsAnswer is the rows that the asker lacks or holds otherwise.
type RowsAnswer struct {
	Rows []*request.Write // Key and Delta
	Next *Cursor          // where to go on; nil: all up to To was looked at
}

// Sketch returns the hashes of the rows that this node holds in the leaves, from a cursor on, and where it stopped; nil at
// the end of the partition. At most SketchRowsMax.
func (s *Store) Sketch(ctx context.Context, p ring.Partition, leaves *merkle.Leaves, from Cursor) (have []RowHash, to *Cursor, err error) {
	if err := s.enterPlace(p); err != nil {
		return nil, nil, err
	}
	defer s.gate.leave()
	looked := 0
	err = s.stroll(ctx, s.db, p, from, func(k request.Key, value []byte) (bool, error) {
		if looked++; looked > walkRowsMax || len(have) >= SketchRowsMax {
			to = cursorAt(k)
			return false, nil
		}
		key := merkle.HashKey(k.Space, k.Name)
		if !leaves.Has(key) {
			return true, nil
		}
		// What cannot be read here is not held: the other's row is taken, if it can be stored.
		if state, ok := hashRow(value); ok {
			have = append(have, RowHash{key, state.hash})
		}
		return true, nil
	})
	return have, to, err
}

// enterPlace is enter for what speaks of a partition.
func (s *Store) enterPlace(p ring.Partition) error {
	if int(p) >= s.cfg.Partitions {
		return errNoPlace(request.Key{Partition: p})
	}
	return s.enter()
}

// hashed is a stored row as a pull sees it.
type hashed struct {
	hash    uint64
	live    bool
	encoded []byte
}

func hashRow(value []byte) (h hashed, ok bool) {
	_, encoded, err := splitRow(value)
	if err == nil {
		h.hash, h.live, err = causal.HashEncoded(encoded)
	}
	h.encoded = encoded
	return h, err == nil
}

// digest is what the row stands for in the tree.
func (h hashed) digest() uint64 {
	if !h.live {
		return 0
	}
	return h.hash
}

// Rows answers a question. It reads at most walkRowsMax rows, as fast as clients leave room for. A row that cannot be read is
// left out.
func (s *Store) Rows(ctx context.Context, q RowsQuestion) (a RowsAnswer, err error) {
	if err := s.enterPlace(q.Partition); err != nil {
		return a, err
	}
	defer s.gate.leave()
	have := make(map[merkle.KeyHash]uint64, len(q.Have))
	for _, h := range q.Have {
		have[h.Key] = h.State
	}
	size, looked := 0, 0
	err = s.stroll(ctx, s.db, q.Partition, q.From, func(k request.Key, value []byte) (bool, error) {
		if q.To != nil && q.To.before(k) {
			return false, nil
		}
		if looked++; looked > walkRowsMax || size >= min(max(q.BytesMax, 1), ChunkBytesMax) || len(a.Rows) >= ChunkRowsMax {
			a.Next = cursorAt(k)
			return false, nil
		}
		h, ok := hashRow(value)
		if !ok || !q.wants(merkle.HashKey(k.Space, k.Name), h, have) {
			return true, nil
		}
		state, err := decodeState(bytes.Clone(h.encoded))
		if err != nil {
			return true, nil
		}
		size += len(k.Name) + len(h.encoded)
		k.Name, k.Partition = bytes.Clone(k.Name), q.Partition
		a.Rows = append(a.Rows, &request.Write{Key: k, Delta: state})
		return true, nil
	})
	return a, err
}

// wants reports whether the asker is to be sent the row.
func (q *RowsQuestion) wants(key merkle.KeyHash, h hashed, have map[merkle.KeyHash]uint64) bool {
	theirs, known := have[key]
	switch {
	case !q.Leaves.Has(key) || known && theirs == h.hash:
		return false
	case known || h.live:
		return true
	}
	return q.Tombstones
}

// Accepted says what became of rows from another node.
type Accepted struct {
	Changed   int // rows that are new here, or have more in them now
	Conflicts int // refused: a dot has other bytes here
	Refused   int // refused for another reason, the last of which is Err
	Err       error
}

// AcceptRows syncs rows that another node holds into this node's, as copies of writes are, and may use the disk's
// reserve, some at a time. A row with a dot that has other bytes here is reported and left alone: which of them is right nobody can tell.
// It is durable as a write is. within carries out the storing of each portion; the pauses that leave clients room are not within. The
// error is that of all rows.
func (s *Store) AcceptRows(ctx context.Context, rows []*request.Write, within func(store func() error) error) (a Accepted, err error) {
	for len(rows) > 0 && err == nil {
		n := portion(rows)
		began := time.Now()
		if err = within(func() error { return s.acceptPortion(ctx, rows[:n], &a) }); err == nil {
			err = s.cfg.Worked(ctx, time.Since(began))
		}
		rows = rows[n:]
	}
	return a, err
}

// portion returns how many of the rows, one at least, go in one batch: few, for clients who want one of their keys, or the log, wait for
// all.
func portion(rows []*request.Write) (n int) {
	for bytes := 0; n < min(len(rows), AcceptRowsMax); n++ {
		if bytes += stateBytes(rows[n].Delta); n > 0 && bytes > AcceptBytesMax {
			return n
		}
	}
	return n
}

func (s *Store) acceptPortion(ctx context.Context, rows []*request.Write, a *Accepted) error {
	s.refuseConflicts(rows, a)
	writes := make([]*request.Write, 0, len(rows))
	for _, row := range rows {
		if row.Err == nil {
			row.Reserve = true
			writes = append(writes, row)
		}
	}
	if len(writes) == 0 {
		return nil
	}
	if err := s.Write(ctx, writes); err != nil {
		return err
	}
	for _, el := range writes {
		switch {
		case el.Err != nil:
			a.Refused++
			a.Err = el.Err
		case el.Wrote:
			a.Changed++
		}
	}
	return nil
}

// refuseConflicts gives an error to the rows that have a dot with other bytes here.
func (s *Store) refuseConflicts(rows []*request.Write, a *Accepted) {
	reads := make([]*request.Read, len(rows))
	for i, row := range rows {
		reads[i] = &request.Read{Key: row.Key}
	}
	s.Read(reads)
	before := a.Conflicts
	for i, row := range rows {
		if dot, found := reads[i].State.Conflict(row.Delta); found {
			row.Err = request.ErrCorrupt
			if a.Conflicts++; a.Conflicts == 1 {
				s.logConflict(row.Key, dot)
			}
		}
	}
	s.events.dotConflicts.Add(uint64(a.Conflicts - before))
}

// logConflict speaks of the first conflict among the rows of one call: a thousand damaged rows are not a thousand lines.
func (s *Store) logConflict(k request.Key, dot causal.Dot) {
	s.log.Error("one write has different bytes on two nodes: one of them is damaged; neither is changed. Overwriting the key settles it",
		"space", k.Space, "partition", k.Partition, "key", logName(k.Name), "actor", dot.Actor, "counter", dot.Counter)
}

// logName is a key as a log may show it.
func logName(name []byte) string {
	return string(name[:min(len(name), logNameBytesMax)])
}
