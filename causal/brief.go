package causal

import (
	"bytes"
	"encoding/binary"
)

// A brief is the encoding of a state as most are, without what the rest of it says already: one sibling, and a context whose
// dots are that sibling's own, the first of its actor up to it. It is for memory alone: what the numbers of its boots mean, the
// Boots says that it was made with.
//
//	brief = shape:8 boot:8 seq counter time:64 [node:8] [expire] [flags] [n stamps:n*8] value
//
// shape is the sibling's form, and whether stamps follow.
const briefStamps = formFlags << 1

// BriefSaves is how many bytes an encoding is longer than its brief at most.
const BriefSaves = coreLenBytes + 1 + 8 + 8 + counterBytesMax + entryBytesMax + 1

// Boots numbers the boots that briefs speak of, BriefBootsMax at most. The zero value is empty. Not safe for concurrent use.
type Boots []uint64

// number returns the boot's number, a new one if there is room. The latest are looked at first: they are met most.
func (b *Boots) number(boot uint64) (n byte, ok bool) {
	for i := len(*b) - 1; i >= 0; i-- {
		if (*b)[i] == boot {
			return byte(i), true
		}
	}
	if len(*b) == BriefBootsMax {
		return 0, false
	}
	*b = append(*b, boot)
	return byte(len(*b) - 1), true
}

// AppendBrief appends the brief of an encoded state to dst, and returns the actor of its dot. Not ok, and dst as it was, for a
// state of another form, and once there are more boots than numbers. It checks only what it reads, and allocates only to grow.
func AppendBrief(dst, encoded []byte, boots *Boots) (brief []byte, actor Actor, ok bool) {
	core, stamps, framed := splitCore(encoded)
	if !framed || len(stamps) == 0 || len(core) < siblingBytesMin || core[0] != 1 || core[1] >= briefStamps {
		return dst, actor, false
	}
	shape := core[1]
	r := reader{b: core[2:]}
	boot := r.fixed()
	dot, seq := r.dot()
	time, node := r.take(8), boot
	if shape&formNode != 0 {
		node = r.fixed()
	}
	options := r.options(shape)
	value := r.take(r.uvarint())
	if r.bad || !impliedDots(r.b, boot, dot) {
		return dst, actor, false
	}
	bootNumber, known := boots.number(boot)
	nodeNumber, knownToo := boots.number(node)
	if !known || !knownToo {
		return dst, actor, false
	}
	if len(stamps) > 1 || stamps[0] != 0 {
		shape |= briefStamps
	}
	dst = append(append(append(dst, shape, bootNumber), dot...), time...)
	if shape&formNode != 0 {
		dst = append(dst, nodeNumber)
	}
	dst = append(dst, options...)
	if shape&briefStamps != 0 {
		dst = append(binary.AppendUvarint(dst, uint64(len(stamps))), stamps...)
	}
	return append(dst, value...), Actor{boot, seq}, true
}

// ExpandBrief appends the encoding of which AppendBrief made the brief, and returns the actor. boots are those of that call, or
// more. Bytes that are no brief panic: they come from this process's own memory.
func ExpandBrief(dst, brief []byte, boots Boots) (encoded []byte, actor Actor) {
	shape, form, boot := brief[0], brief[0]&^briefStamps, boots[brief[1]]
	r := reader{b: brief[2:]}
	dot, seq := r.dot()
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 1, form)
	dst = append(append(binary.BigEndian.AppendUint64(dst, boot), dot...), r.take(8)...)
	if form&formNode != 0 {
		dst = binary.BigEndian.AppendUint64(dst, boots[r.byte()])
	}
	dst = append(dst, r.options(form)...)
	var stamps []byte
	if shape&briefStamps != 0 {
		stamps = r.take(r.uvarint())
	}
	if r.bad {
		panic("causal: a damaged brief")
	}
	dst = append(binary.AppendUvarint(dst, uint64(len(r.b))), r.b...)
	dst = append(append(binary.BigEndian.AppendUint64(append(dst, 1), boot), dot...), 0)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-coreLenBytes))
	if len(stamps) == 0 {
		stamps = []byte{0}
	}
	return append(dst, stamps...), Actor{boot, seq}
}

// dot takes a sibling's dot behind its boot, and returns its bytes and the actor's number.
func (r *reader) dot() (dot []byte, seq uint64) {
	all := r.b
	seq = r.uvarint()
	r.uvarint()
	return all[:len(all)-len(r.b)], seq
}

// options takes a sibling's expiry and flags, and returns their bytes.
func (r *reader) options(form byte) []byte {
	all := r.b
	if form&formExpire != 0 {
		r.uvarint()
	}
	if form&formFlags != 0 {
		r.uvarint()
	}
	return all[:len(all)-len(r.b)]
}

// impliedDots reports whether dots hold the actor alone, up to the dot and without gaps.
func impliedDots(dots []byte, boot uint64, dot []byte) bool {
	const head = 1 + 8
	return len(dots) == head+len(dot)+1 && dots[0] == 1 && binary.BigEndian.Uint64(dots[1:]) == boot &&
		bytes.Equal(dots[head:head+len(dot)], dot) && dots[head+len(dot)] == 0
}
