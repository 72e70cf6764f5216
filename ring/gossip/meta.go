package gossip

import (
	"bytes"
	"encoding/binary"

	"github.com/holdfastdb/holdfast/ring"
)

// meta travels with a node's liveness in memberlist's node metadata: who it is to people, where it is reached before the ring
// document says so, which cluster it belongs to, and a hash of all it knows of the ring.
type meta struct {
	cluster          ring.NodeID // zero: none yet
	hash             uint64      // of its Note
	peer, resp, name string
}

const metaVersion = 1

// encode leaves out what does not fit: the ring document has it all.
func (m meta) encode() []byte {
	b := append([]byte{metaVersion}, m.cluster[:]...)
	b = binary.BigEndian.AppendUint64(b, m.hash)
	texts := []string{m.peer, m.resp, m.name}
	for i, s := range texts {
		if len(b)+2+len(s)+2*(len(texts)-1-i) > metaBytesMax {
			s = ""
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
	}
	return b
}

// decodeMeta reads what encode wrote; false for anything else.
func decodeMeta(b []byte) (m meta, ok bool) {
	const fixed = 1 + len(m.cluster) + 8
	if len(b) < fixed || len(b) > metaBytesMax || b[0] != metaVersion {
		return meta{}, false
	}
	copy(m.cluster[:], b[1:])
	m.hash = binary.BigEndian.Uint64(b[fixed-8:])
	b = b[fixed:]
	for _, s := range []*string{&m.peer, &m.resp, &m.name} {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return meta{}, false
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		*s, b = string(bytes.Clone(b[2:n])), b[n:]
	}
	return m, len(b) == 0
}
