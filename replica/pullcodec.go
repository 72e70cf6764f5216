package replica

import (
	"encoding/binary"

	"github.com/holdfastdb/holdfast/replica/merkle"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// How the questions and answers of a pull travel. Each has one encoding, and a decoder accepts no other. Numbers are little endian,
// or varints of the shortest form.
//
//	question = partition:16 flags:8 bytesMax leaves from [to] n (key:64 state:64)*n
//	answer   = flags:8 [next] writes
//	cursor   = keyspace:8 length name
//
// Leaves are as package merkle writes them, writes as package request does.
const (
	flagTombstones = 0x01
	flagTo         = 0x02
	flagNext       = 0x01
	rowHashBytes   = 16
)

// Append appends the question to dst.
func (q *RowsQuestion) Append(dst []byte) []byte {
	var flags byte
	if q.Tombstones {
		flags |= flagTombstones
	}
	if q.To != nil {
		flags |= flagTo
	}
	dst = append(binary.LittleEndian.AppendUint16(dst, uint16(q.Partition)), flags)
	dst = q.Leaves.Append(binary.AppendUvarint(dst, uint64(q.BytesMax)))
	dst = q.From.append(dst)
	if q.To != nil {
		dst = q.To.append(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(q.Have)))
	for _, h := range q.Have {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(h.Key))
		dst = binary.LittleEndian.AppendUint64(dst, h.State)
	}
	return dst
}

func (c Cursor) append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, c.Space), uint64(len(c.Name)))
	return append(dst, c.Name...)
}

// DecodeRowsQuestion decodes a question that is all of b; names alias b. Else request.ErrMalformed.
func DecodeRowsQuestion(b []byte) (q RowsQuestion, err error) {
	if len(b) < 3 || b[2] > flagTombstones|flagTo {
		return q, request.ErrMalformed
	}
	q.Partition, q.Tombstones = ring.Partition(binary.LittleEndian.Uint16(b)), b[2]&flagTombstones != 0
	hasTo := b[2]&flagTo != 0
	size, b, ok := cutNumber(b[3:], ChunkBytesMax)
	if !ok {
		return q, request.ErrMalformed
	}
	q.BytesMax = size
	if q.Leaves, b, err = merkle.DecodeLeaves(b); err != nil {
		return q, request.ErrMalformed
	}
	if q.From, b, ok = cutCursor(b); !ok {
		return q, request.ErrMalformed
	}
	if hasTo {
		to := Cursor{}
		if to, b, ok = cutCursor(b); !ok {
			return q, request.ErrMalformed
		}
		q.To = &to
	}
	q.Have, err = decodeRowHashes(b)
	return q, err
}

func decodeRowHashes(b []byte) (have []RowHash, err error) {
	n, b, ok := cutNumber(b, SketchRowsMax)
	if !ok || len(b) != n*rowHashBytes {
		return nil, request.ErrMalformed
	}
	for ; len(b) > 0; b = b[rowHashBytes:] {
		have = append(have, RowHash{merkle.KeyHash(binary.LittleEndian.Uint64(b)), binary.LittleEndian.Uint64(b[8:])})
	}
	return have, nil
}

// Append appends the answer to dst.
func (a *RowsAnswer) Append(dst []byte) []byte {
	if a.Next == nil {
		dst = append(dst, 0)
	} else {
		dst = a.Next.append(append(dst, flagNext))
	}
	return request.AppendWrites(dst, a.Rows)
}

// DecodeRowsAnswer decodes an answer that is all of b, to a question about partition p of a ring of q. Names and values alias b.
// A row that is not the partition's, or is to be kept as a hint, is no answer: request.ErrMalformed.
func DecodeRowsAnswer(b []byte, p ring.Partition, q int) (a RowsAnswer, err error) {
	if len(b) < 1 || b[0] > flagNext {
		return a, request.ErrMalformed
	}
	hasNext, b := b[0] == flagNext, b[1:]
	if hasNext {
		next, rest, ok := cutCursor(b)
		if !ok {
			return a, request.ErrMalformed
		}
		a.Next, b = &next, rest
	}
	if a.Rows, err = request.DecodeWrites(new(request.Room[request.Write]), b, q); err != nil {
		return RowsAnswer{}, err
	}
	for _, row := range a.Rows {
		if row.Key.Partition != p || !row.For.IsZero() || row.Role != request.RolePrimary || row.Reserve {
			return RowsAnswer{}, request.ErrMalformed
		}
	}
	return a, nil
}

// cutNumber takes a number of at most max off the front of b.
func cutNumber(b []byte, max int) (n int, rest []byte, ok bool) {
	v, size := binary.Uvarint(b)
	if size <= 0 || size > 1 && b[size-1] == 0 || v > uint64(max) {
		return 0, nil, false
	}
	return int(v), b[size:], true
}

func cutCursor(b []byte) (c Cursor, rest []byte, ok bool) {
	if len(b) < 1 || b[0] >= request.SpacesMax {
		return c, nil, false
	}
	c.Space = b[0]
	n, b, ok := cutNumber(b[1:], request.KeyBytesMax)
	if !ok || n > len(b) {
		return c, nil, false
	}
	c.Name = b[:n:n]
	return c, b[n:], true
}
