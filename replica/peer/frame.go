package peer

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// A frame is
//
//	length   u32  bytes after the checksum
//	checksum u32  CRC-32C of the length and of all after the checksum
//	kind     u8
//	flags    u8
//	id       u64  the requester's; an answer bears its request's
//	deadline i64  nanoseconds on the receiver's monotonic clock; 0 in answers
//	payload
//
// in little endian.
const (
	headerBytes  = 26
	checkedBytes = 8                          // length and checksum, which the length does not count
	lengthMin    = headerBytes - checkedBytes // of an empty frame
	flagError    = 0x01                       // the answer is one error for the whole batch
	answerOf     = 0x80                       // set in the kind of an answer
	kindHello    = 1
	kindPing     = 2
	kindRead     = 3
	kindWrite    = 4
	kindCoord    = 5
	kindControl  = 6
	kindHandoff  = 7
	kindRefusal  = 8
	kindLast     = kindRefusal // of those that have answers
	kindGoodbye  = 9           // from the accepter, unasked, with id 0: see Peers.Drain
)

// What can be wrong with a frame. Each closes the connection, since what follows cannot be told from noise.
var (
	errFrameLength = errors.New("peer: frame length out of bounds")
	errChecksum    = errors.New("peer: frame checksum mismatch")
	errProtocol    = errors.New("peer: frame out of place")
)

// castagnoli is written once, at init.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frame is one frame, decoded. The payload aliases the buffer that it was parsed from.
type frame struct {
	kind, flags uint8
	id          uint64
	deadline    time.Duration
	payload     []byte
	lent        bool // the payload is valid until the next read from the socket
}

// message is what can append itself to a frame as its payload.
type message interface {
	appendPayload(dst []byte) []byte
}

// raw is a message that is encoded already.
type raw []byte

func (r raw) appendPayload(dst []byte) []byte { return append(dst, r...) }

// appendFrame appends f's header and m's bytes to dst. f.payload is not used.
func appendFrame(dst []byte, f frame, m message) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, f.kind, f.flags) // length and checksum: see seal
	dst = binary.LittleEndian.AppendUint64(dst, f.id)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.deadline))
	if m != nil {
		dst = m.appendPayload(dst)
	}
	seal(dst[start:])
	return dst
}

// seal writes the length and the checksum of the frame that b is. A frame too long for its length field has a caller
// that drops it, by its size.
func seal(b []byte) {
	binary.LittleEndian.PutUint32(b, uint32(len(b)-checkedBytes))
	binary.LittleEndian.PutUint32(b[4:], checksum(b))
}

func checksum(b []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, b[:4]), castagnoli, b[checkedBytes:])
}

// frameBytes returns the size of the frame at the front of b, header included, or 0 when b is too short to tell. A size
// above max, or below that of an empty frame, is errFrameLength: it is found before anything is allocated for it.
func frameBytes(b []byte, max int) (int, error) {
	if len(b) < 4 {
		return 0, nil
	}
	length := int64(binary.LittleEndian.Uint32(b))
	if length < lengthMin || length+checkedBytes > int64(max) {
		return 0, errFrameLength
	}
	return int(length) + checkedBytes, nil
}

// parseFrame decodes b, which is exactly one frame.
func parseFrame(b []byte) (frame, error) {
	if checksum(b) != binary.LittleEndian.Uint32(b[4:]) {
		return frame{}, errChecksum
	}
	return frame{
		kind:     b[8],
		flags:    b[9],
		id:       binary.LittleEndian.Uint64(b[10:]),
		deadline: time.Duration(binary.LittleEndian.Uint64(b[18:])),
		payload:  b[headerBytes:],
	}, nil
}
