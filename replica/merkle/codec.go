package merkle

import (
	"encoding/binary"
	"errors"
)

// Every message has one encoding, and a decoder accepts no other. Numbers are uvarints of the shortest form, sums are eight bytes,
// little endian. A set of numbers is their count and, ascending, how many are left out before each.
//
//	question   = level:8 set
//	answer     = (which of the children follow:16 sum...) for each parent
//	partitions = set
//	roots      = (depth:8 [sum]) for each partition; depth 0: not known yet
//	leaves     = depth:8 set
//	tree       = depth:8 count (left out before, sum)...

// ErrCorrupt says that bytes are no encoding within the caps.
var ErrCorrupt = errors.New("merkle: corrupt encoding")

// Root is what a node says of its tree first.
type Root struct {
	Depth int // 0: the tree is not complete, and nothing follows from the sum
	Sum   uint64
}

// Append appends the question to dst.
func (q Question) Append(dst []byte) []byte {
	return appendSet(append(dst, byte(q.Level)), q.Parents)
}

// DecodeQuestion decodes a question that is all of b.
func DecodeQuestion(b []byte) (q Question, err error) {
	r := reader{b: b}
	q.Level = int(r.byte())
	r.check(q.Level < DepthMax)
	if !r.bad {
		q.Parents = r.set(1 << (FanBits * q.Level))
	}
	r.check(len(q.Parents) > 0)
	return q, r.end()
}

// Append appends the answer to dst.
func (a Answer) Append(dst []byte) []byte {
	for _, sums := range a {
		var filled uint16
		for j, sum := range sums {
			if sum != 0 {
				filled |= 1 << j
			}
		}
		dst = binary.LittleEndian.AppendUint16(dst, filled)
		for _, sum := range sums {
			if sum != 0 {
				dst = binary.LittleEndian.AppendUint64(dst, sum)
			}
		}
	}
	return dst
}

// DecodeAnswer decodes an answer that is all of b, for at most ParentsMax parents.
func DecodeAnswer(b []byte) (a Answer, err error) {
	r := reader{b: b}
	for len(r.b) > 0 && len(a) < ParentsMax {
		head := r.take(2)
		if r.bad {
			break
		}
		filled := binary.LittleEndian.Uint16(head)
		var sums [Fan]uint64
		for j := range sums {
			if filled&(1<<j) != 0 {
				sums[j] = r.sum()
			}
		}
		a = append(a, sums)
	}
	return a, r.end()
}

// AppendPartitions appends the numbers of partitions, ascending and at most PartitionsMax, to dst.
func AppendPartitions(dst []byte, ps []uint16) []byte { return appendSet(dst, ps) }

// DecodePartitions decodes what AppendPartitions wrote, all of b.
func DecodePartitions(b []byte) ([]uint16, error) {
	r := reader{b: b}
	ps := r.set(PartitionsMax)
	return ps, r.end()
}

// AppendRoots appends roots to dst.
func AppendRoots(dst []byte, roots []Root) []byte {
	for _, root := range roots {
		if dst = append(dst, byte(root.Depth)); root.Depth != 0 {
			dst = binary.LittleEndian.AppendUint64(dst, root.Sum)
		}
	}
	return dst
}

// DecodeRoots decodes the roots of n partitions, all of b.
func DecodeRoots(b []byte, n int) ([]Root, error) {
	r := reader{b: b}
	if n > len(b) {
		return nil, ErrCorrupt
	}
	roots := make([]Root, n)
	for i := range roots {
		depth := int(r.byte())
		if depth == 0 {
			continue
		}
		r.check(depth >= DepthMin && depth <= DepthMax)
		roots[i] = Root{depth, 0}
		if head := r.take(sumBytes); head != nil {
			roots[i].Sum = binary.LittleEndian.Uint64(head)
		}
	}
	return roots, r.end()
}

// Append appends the set to dst.
func (l *Leaves) Append(dst []byte) []byte {
	dst = append(dst, byte(l.depth))
	members := make([]uint16, 0, l.Len())
	l.each(func(i int) { members = append(members, uint16(i)) })
	return appendSet(dst, members)
}

// DecodeLeaves reads a set from the front of b and returns what follows it.
func DecodeLeaves(b []byte) (l *Leaves, rest []byte, err error) {
	r := reader{b: b}
	l = &Leaves{depth: int(r.byte())}
	r.check(l.depth >= DepthMin && l.depth <= DepthMax)
	if !r.bad {
		for _, i := range r.set(1 << (FanBits * l.depth)) {
			l.add(int(i))
		}
	}
	if r.bad {
		return nil, nil, ErrCorrupt
	}
	return l, r.b, nil
}

// Append appends the tree to dst: the leaves that are not zero.
func (t *Tree) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, byte(t.depth)), uint64(t.Filled()))
	next := 0
	for i := range t.leaves {
		if sum := t.leaves[i].Load(); sum != 0 {
			dst = binary.AppendUvarint(dst, uint64(i-next))
			dst = binary.LittleEndian.AppendUint64(dst, sum)
			next = i + 1
		}
	}
	return dst
}

// DecodeTree decodes a tree that is all of b.
func DecodeTree(b []byte) (*Tree, error) {
	r := reader{b: b}
	depth := int(r.byte())
	r.check(depth >= DepthMin && depth <= DepthMax)
	if r.bad {
		return nil, ErrCorrupt
	}
	t := New(depth)
	n := r.uvarint(uint64(len(t.leaves)))
	for i, next := uint64(0), uint64(0); i < n && !r.bad; i++ {
		at := next + r.uvarint(uint64(len(t.leaves)))
		if r.check(at < uint64(len(t.leaves))); !r.bad {
			t.leaves[at].Store(r.sum())
		}
		next = at + 1
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return t, nil
}

func appendSet(dst []byte, members []uint16) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(members)))
	next := uint64(0)
	for _, m := range members {
		dst = binary.AppendUvarint(dst, uint64(m)-next)
		next = uint64(m) + 1
	}
	return dst
}

// reader takes pieces off the front of b. Once something was missing or not canonical, it is bad for good and yields
// zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) check(ok bool) {
	if !ok {
		r.bad, r.b = true, nil
	}
}

func (r *reader) end() error {
	if r.bad || len(r.b) > 0 {
		return ErrCorrupt
	}
	return nil
}

func (r *reader) take(n int) []byte {
	if r.check(n <= len(r.b)); r.bad {
		return nil
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// sum reads a sum that is not zero: zeros are left out.
func (r *reader) sum() uint64 {
	b := r.take(sumBytes)
	if b == nil {
		return 0
	}
	sum := binary.LittleEndian.Uint64(b)
	r.check(sum != 0)
	return sum
}

// uvarint refuses longer forms than the shortest, and numbers above max.
func (r *reader) uvarint(max uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 || v > max {
		r.check(false)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// set reads numbers below size.
func (r *reader) set(size int) []uint16 {
	n := r.uvarint(uint64(min(size, len(r.b))))
	if n == 0 {
		return nil
	}
	members := make([]uint16, 0, n)
	for next := uint64(0); uint64(len(members)) < n && !r.bad; {
		next += r.uvarint(uint64(size))
		if r.check(next < uint64(size)); !r.bad {
			members = append(members, uint16(next))
		}
		next++
	}
	return members
}
