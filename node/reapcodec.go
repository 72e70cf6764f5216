package node

import (
	"encoding/binary"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/replica/reap"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// The requests of rounds that reap tombstones, over the bulk connection.
//
//	question = partition:16 since:64 round:64 (keyspace:8 length name [state])*; a state in controlPropose only
//	answer   = refusal:8 for each key, then for controlPropose (number length state)* of those that differ, as many as fit
const (
	controlPropose uint8 = iota + 48 // payload: reapQuestion; answer: reapAnswer
	controlClear                     // the same, without states
	controlCommit                    // the same; without keys it lets go of what is held
)

// reapQuestion is what a round asks of a node.
type reapQuestion struct {
	partition    ring.Partition
	since, round uint64
	keys         []replica.Tombstone // but in controlPropose without states
}

func (q *reapQuestion) append(dst []byte, states bool) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(q.partition))
	dst = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, q.since), q.round)
	for _, t := range q.keys {
		dst = binary.AppendUvarint(append(dst, t.Key.Space), uint64(len(t.Key.Name)))
		dst = append(dst, t.Key.Name...)
		if states {
			dst = causal.State{Seen: t.State.Seen}.Append(dst)
		}
	}
	return dst
}

const reapHead = 2 + 8 + 8

// decodeReapQuestion keeps nothing of b.
func decodeReapQuestion(b []byte, states bool, partitions int) (q reapQuestion, err error) {
	if len(b) < reapHead {
		return q, request.ErrMalformed
	}
	q.partition = ring.Partition(binary.BigEndian.Uint16(b))
	q.since, q.round = binary.BigEndian.Uint64(b[2:]), binary.BigEndian.Uint64(b[10:])
	if int(q.partition) >= partitions || q.round == 0 {
		return q, request.ErrMalformed
	}
	for b = b[reapHead:]; len(b) > 0; {
		t := replica.Tombstone{Key: request.Key{Space: b[0], Partition: q.partition}}
		size, n := binary.Uvarint(b[1:])
		if n <= 0 || size > request.KeyBytesMax || size > uint64(len(b)-1-n) || t.Key.Space >= request.SpacesMax || len(q.keys) == replica.ReapKeysMax {
			return q, request.ErrMalformed
		}
		name := b[1+n:][:size]
		if t.Key.Name, b = append([]byte{}, name...), b[1+n+int(size):]; states {
			if t.State, b, err = causal.DecodeState(b); err != nil || !t.State.Tombstone() {
				return q, request.ErrMalformed
			}
		}
		if ring.PartitionOf(ring.Slot(t.Key.Name), partitions) != q.partition {
			return q, request.ErrMalformed
		}
		q.keys = append(q.keys, t)
	}
	return q, nil
}

// reapAnswer is what a node says of each key, and the contexts of tombstones that are larger than the asker's.
type reapAnswer struct {
	said   []reap.Refusal
	larger map[int]causal.State // by number of the key
}

func (a *reapAnswer) append(dst []byte) []byte {
	for _, why := range a.said {
		dst = append(dst, byte(why))
	}
	for i := range a.said {
		state, ok := a.larger[i]
		if !ok || len(dst) > reapLearnMax {
			continue
		}
		dst = state.Append(binary.AppendUvarint(dst, uint64(i)))
	}
	return dst
}

func decodeReapAnswer(b []byte, keys int) (a reapAnswer, err error) {
	if len(b) < keys {
		return a, request.ErrMalformed
	}
	a.larger = make(map[int]causal.State)
	for _, why := range b[:keys] {
		if reap.Refusal(why) >= reap.Refusals {
			why = byte(reap.Failed) // a newer version's
		}
		a.said = append(a.said, reap.Refusal(why))
	}
	for b = b[keys:]; len(b) > 0; {
		i, n := binary.Uvarint(b)
		if n <= 0 || i >= uint64(keys) {
			return a, request.ErrMalformed
		}
		state, rest, err := causal.DecodeState(b[n:])
		if err != nil || !state.Tombstone() {
			return a, request.ErrMalformed
		}
		a.larger[int(i)], b = state, rest
	}
	return a, nil
}
