package request

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/holdfastdb/holdfast/causal"
)

// ErrMalformed: bytes from another node are not what the protocol says.
var ErrMalformed = errors.New("request: malformed message")

// decoder reads a message from the front of b. The first thing that is wrong empties it and marks it bad, and everything
// read from then on is zero, so that a caller asks once, at the end.
type decoder struct {
	b    []byte
	bad  bool
	lent bool // b is another's, so that what aliases it must be copied first
	slab causal.Slab
}

func (d *decoder) fail() {
	d.b, d.bad = nil, true
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.fail()
		return nil
	}
	head := d.b[:n:n]
	d.b = d.b[n:]
	return head
}

func (d *decoder) byte() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

// upTo reads a byte that is at most max.
func (d *decoder) upTo(max uint8) uint8 {
	v := d.byte()
	if v > max {
		d.fail()
		return 0
	}
	return v
}

func (d *decoder) fixed64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// uvarint reads a number in its shortest form; a longer form of the same number is malformed, so that every message has
// one encoding.
func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || (n > 1 && d.b[n-1] == 0) {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// bytes reads a length of at most max and that many bytes, which alias the input.
func (d *decoder) bytes(max int) []byte {
	n := d.uvarint()
	if n > uint64(max) {
		d.fail()
		return nil
	}
	return d.take(int(n))
}

// state reads a state, whose values alias the input, or a copy of what is left of it if that is lent.
func (d *decoder) state() causal.State {
	if d.bad {
		return causal.State{}
	}
	if d.lent {
		d.b, d.lent = bytes.Clone(d.b), false
	}
	s, rest, err := d.slab.DecodeState(d.b)
	if err != nil {
		d.fail()
		return causal.State{}
	}
	d.b = rest
	return s
}

func (d *decoder) context() causal.Context {
	if d.bad {
		return causal.Context{}
	}
	c, rest, err := d.slab.DecodeContext(d.b)
	if err != nil {
		d.fail()
		return causal.Context{}
	}
	d.b = rest
	return c
}

func (d *decoder) stamp() causal.Stamp {
	return causal.Stamp{Time: causal.Time(d.fixed64()), Node: d.fixed64()}
}

// count reads the number of elements of a batch: at most most, and no more than the bytes left could hold.
func (d *decoder) count(most, elementBytesMin int) int {
	n := d.uvarint()
	if n > uint64(most) || n > uint64(len(d.b)/elementBytesMin) {
		d.fail()
		return 0
	}
	return int(n)
}

// end returns ErrMalformed if anything was wrong or bytes are left over.
func (d *decoder) end() error {
	if d.bad || len(d.b) != 0 {
		return ErrMalformed
	}
	return nil
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func appendStamp(dst []byte, s causal.Stamp) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.Time))
	return binary.LittleEndian.AppendUint64(dst, s.Node)
}
