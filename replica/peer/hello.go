package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/holdfastdb/holdfast/ring"
)

// magic begins the payload of a hello.
const magic = "HOLDFAST"

// class is what a connection is for.
type class uint8

const (
	small class = iota
	bulk
	classes
)

// controlAnswerMax is the bytes that an answer to a control request may have.
func (c class) controlAnswerMax() int {
	if c == bulk {
		return FetchBytesMax
	}
	return ControlBytesMax
}

func (c class) String() string { return [...]string{"small", "bulk"}[c] }

// writeTimeout is how long the dialer waits for the accepter to take more bytes.
func (c class) writeTimeout() time.Duration {
	if c == bulk {
		return BulkDeadAfter // it reads on when it has executed what it has
	}
	return writeTimeout
}

// hello is what each side says of itself first. The accepter's is the answer to the dialer's.
type hello struct {
	versionMin, versionMax uint8
	class                  class
	cluster                ring.NodeID
	q                      int
	node                   ring.NodeID
	to                     ring.NodeID   // whom the dialer means; in the answer, the dialer
	boot                   uint64        // the boot bits
	clock                  time.Duration // the speaker's monotonic clock
	name                   string
	auth                   []byte // the proof that the speaker knows the cluster key; see secret
	version                uint8  // the one that both speak; on no wire, for each side finds it by judge
}

// refusal is why a hello was not accepted.
type refusal uint8

const (
	refusedCluster refusal = iota + 1
	refusedPartitions
	refusedVersion
	refusedNode
	refusedKeyless
	refusedKey
	refusedPlain
	refusedCertificate
)

// ErrRefused: the peer and this node cannot work together. It stays so until an operator acts.
var ErrRefused = errors.New("peer refused")

func (r refusal) Error() string {
	switch r {
	case refusedCluster:
		return "it belongs to another cluster"
	case refusedPartitions:
		return "its cluster has another number of partitions"
	case refusedVersion:
		return "no protocol version in common"
	case refusedNode:
		return "another node answers at its address"
	case refusedKeyless:
		return "one of the two has a cluster key and the other has none: give both the same --cluster-key"
	case refusedKey:
		return "the two have no cluster key in common: give both the same --cluster-key"
	case refusedPlain:
		return "one of the two speaks TLS and the other does not: give both --tls-cert, --tls-key and --tls-ca"
	case refusedCertificate:
		return "no TLS: give both a certificate that is good today and of the authority that the other's --tls-ca names"
	}
	return "reason unknown to this version"
}

// Is makes every refusal an ErrRefused.
func (r refusal) Is(target error) bool { return target == ErrRefused }

// judge compares what the other side says with what we say of ourselves. It returns the version to speak, or a refusal.
func judge(ours, theirs hello) (version uint8, err error) {
	version = min(ours.versionMax, theirs.versionMax)
	switch {
	case theirs.cluster != ours.cluster:
		return 0, refusedCluster
	case theirs.q != ours.q:
		return 0, refusedPartitions
	case version < max(ours.versionMin, theirs.versionMin):
		return 0, refusedVersion
	case theirs.to != ours.node || theirs.node == ours.node:
		return 0, refusedNode
	}
	return version, nil
}

func (h hello) appendPayload(dst []byte) []byte {
	dst = append(dst, magic...)
	dst = append(dst, h.versionMin, h.versionMax, uint8(h.class))
	dst = append(dst, h.cluster[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.q))
	dst = append(dst, h.node[:]...)
	dst = append(dst, h.to[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, h.boot)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.clock))
	dst = append(dst, uint8(len(h.name)))
	dst = append(dst, h.name...)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(h.auth)))
	return append(dst, h.auth...)
}

// helloFixedBytes is the part of a hello before its name.
const helloFixedBytes = len(magic) + 3 + 16 + 4 + 16 + 16 + 8 + 8

// parseHello decodes a hello. Bytes after what this version knows are left alone, so that a later one can say more.
func parseHello(b []byte) (h hello, err error) {
	if len(b) < helloFixedBytes+1 || string(b[:len(magic)]) != magic {
		return hello{}, errProtocol
	}
	b = b[len(magic):]
	h.versionMin, h.versionMax, h.class = b[0], b[1], class(b[2])
	b = b[3+copy(h.cluster[:], b[3:]):]
	h.q = int(binary.LittleEndian.Uint32(b))
	b = b[4+copy(h.node[:], b[4:]):]
	b = b[copy(h.to[:], b):]
	h.boot = binary.LittleEndian.Uint64(b)
	h.clock = time.Duration(binary.LittleEndian.Uint64(b[8:]))
	return h.parseTail(b[16:])
}

// parseTail decodes the name and the proof; b holds at least one byte.
func (h hello) parseTail(b []byte) (hello, error) {
	name := int(b[0])
	if len(b) < 1+name+2 || h.versionMin > h.versionMax || h.class >= classes {
		return hello{}, errProtocol
	}
	h.name = string(b[1 : 1+name])
	b = b[1+name:]
	auth := int(binary.LittleEndian.Uint16(b))
	if auth > AuthBytesMax || len(b) < 2+auth {
		return hello{}, errProtocol
	}
	h.auth = append([]byte(nil), b[2:2+auth]...)
	return h, nil
}

// greet is the dialer's side of the hello: it speaks first, and returns what the accepter says of itself and a look at
// its clock. A refusal by either side is an ErrRefused.
func greet(conn net.Conn, ours hello, keys [][]byte, now func() time.Duration) (theirs hello, look sample, err error) {
	if err := handshake(conn); err != nil {
		return hello{}, sample{}, err
	}
	s, err := challenge(conn, keys)
	if err != nil {
		return hello{}, sample{}, err
	}
	ours.clock = now()
	if err := sendHello(conn, frame{kind: kindHello}, s.sign(roleDialer, ours)); err != nil {
		return hello{}, sample{}, err
	}
	theirs, err = readAnswer(conn, s)
	if err != nil {
		return hello{}, sample{}, err
	}
	if theirs.node != ours.to {
		return hello{}, sample{}, refusedNode
	}
	if theirs.version, err = judge(ours, theirs); err != nil {
		return hello{}, sample{}, err
	}
	return theirs, sample{sent: ours.clock, back: now(), theirs: theirs.clock}, nil
}

// readAnswer reads the accepter's hello, or its refusal.
func readAnswer(conn net.Conn, s *secret) (theirs hello, err error) {
	f, err := readHello(conn)
	if err != nil {
		return hello{}, err
	}
	if f.kind == kindRefusal|answerOf {
		return hello{}, parseRefusal(f.payload)
	}
	theirs, err = parseHello(f.payload)
	if err != nil || f.kind != kindHello|answerOf {
		return hello{}, errProtocol
	}
	if !s.signed(roleAccepter, theirs) {
		return hello{}, refusedKey
	}
	return theirs, nil
}

// welcome is the accepter's side: it returns what the dialer says of itself, having answered, or a refusal, having said
// why. A dialer that has not proved that it knows the cluster key is told nothing but the refusal, and what it says of itself is not
// believed.
func welcome(conn net.Conn, ours hello, keys [][]byte, now func() time.Duration) (hello, error) {
	if err := handshake(conn); err != nil {
		return hello{}, from(conn, err)
	}
	first, err := readHello(conn)
	if err == error(refusedPlain) {
		err = refusePlain(conn)
	}
	if err != nil {
		return hello{}, from(conn, err)
	}
	s, f, err := challenged(conn, first, keys)
	if err != nil {
		return hello{}, from(conn, err)
	}
	theirs, err := parseHello(f.payload)
	if err != nil || f.kind != kindHello {
		return hello{}, errProtocol
	}
	if !s.signed(roleDialer, theirs) {
		return hello{}, from(conn, refuse(conn, refusedKey))
	}
	theirs.version, err = judge(ours, theirs)
	if reason, ok := err.(refusal); ok {
		return theirs, refuse(conn, reason)
	}
	ours.to, ours.class, ours.clock = theirs.node, theirs.class, now()
	return theirs, sendHello(conn, frame{kind: kindHello | answerOf}, s.sign(roleAccepter, ours))
}

// refuse tells the other side why this one does not go on, and returns it.
func refuse(conn net.Conn, reason refusal) error {
	return errors.Join(reason, sendHello(conn, frame{kind: kindRefusal | answerOf}, raw{uint8(reason)}))
}

// from adds to an error where the connection comes from, which is all that is known of a stranger.
func from(conn net.Conn, err error) error {
	return fmt.Errorf("from %v: %w", conn.RemoteAddr(), err)
}

func parseRefusal(b []byte) error {
	if len(b) != 1 {
		return errProtocol
	}
	return refusal(b[0])
}

func sendHello(conn net.Conn, f frame, m message) error {
	_, err := conn.Write(appendFrame(nil, f, m))
	return err
}

// readHello reads one frame of at most HelloBytesMax and no byte beyond it: nothing about its sender is known yet.
func readHello(conn net.Conn) (frame, error) {
	head := make([]byte, headerBytes)
	if _, err := io.ReadFull(conn, head); err != nil {
		return frame{}, fmt.Errorf("peer: read hello: %w", refusedBy(err))
	}
	if isTLS(head) {
		return frame{}, refusedPlain
	}
	size, err := frameBytes(head, HelloBytesMax)
	if err != nil {
		return frame{}, err
	}
	whole := append(head, make([]byte, size-headerBytes)...)
	if _, err := io.ReadFull(conn, whole[headerBytes:]); err != nil {
		return frame{}, fmt.Errorf("peer: read hello: %w", err)
	}
	return parseFrame(whole)
}
