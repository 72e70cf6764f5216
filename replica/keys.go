package replica

import (
	"encoding/binary"

	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// The first byte of a Pebble key says what the row is. All numbers are big-endian, so that rows sort as they are read.
const (
	prefixMeta   = 'm' // name -> document
	prefixData   = 'd' // place, key -> row
	prefixHint   = 'h' // target, place, key -> hint
	prefixQueue  = 'q' // target, time since when it is owed, place, key -> kind and size: a target's hints, oldest first
	prefixMark   = 'p' // target, place, generation -> nothing: the partition owes the target
	prefixResume = 'r' // target, place -> generation, key: how far the payment of the marks came
	prefixExpiry = 'e' // expiry time, place, key -> nothing
	prefixPeer   = 'b' // node -> the last boot of another node that was confirmed
	prefixTree   = 't' // partition -> its hash tree, as a clean shutdown left it
)

const (
	placeSize  = 3 // keyspace (1 byte), partition (2 bytes)
	nodeSize   = len(ring.NodeID{})
	hintHead   = 1 + nodeSize
	queueHead  = hintHead + 8
	expiryHead = 1 + 8
	markSize   = hintHead + placeSize + 8
)

// place is where keys live together: a partition of a keyspace.
type place struct {
	space     uint8
	partition ring.Partition
}

func placeOf(k request.Key) place { return place{k.Space, k.Partition} }

func (p place) append(dst []byte) []byte {
	return binary.BigEndian.AppendUint16(append(dst, p.space), uint16(p.partition))
}

func appendKey(dst []byte, k request.Key) []byte {
	return append(placeOf(k).append(dst), k.Name...)
}

// splitKey is the inverse of appendKey; the name aliases b.
func splitKey(b []byte) (k request.Key, ok bool) {
	if len(b) < placeSize {
		return k, false
	}
	p := ring.Partition(binary.BigEndian.Uint16(b[1:]))
	return request.Key{Space: b[0], Partition: p, Name: b[placeSize:]}, true
}

func metaKey(name string) []byte { return append([]byte{prefixMeta}, name...) }

func peerKey(node ring.NodeID) []byte { return append([]byte{prefixPeer}, node[:]...) }

func appendDataKey(dst []byte, k request.Key) []byte { return appendKey(append(dst, prefixData), k) }

func appendHintKey(dst []byte, target ring.NodeID, k request.Key) []byte {
	return appendKey(appendTarget(dst, prefixHint, target), k)
}

func appendTarget(dst []byte, prefix byte, target ring.NodeID) []byte {
	return append(append(dst, prefix), target[:]...)
}

func appendQueueKey(dst []byte, target ring.NodeID, since int64, k request.Key) []byte {
	dst = appendTarget(dst, prefixQueue, target)
	return appendKey(binary.BigEndian.AppendUint64(dst, uint64(since)), k)
}

func splitQueueKey(b []byte) (target ring.NodeID, since int64, k request.Key, ok bool) {
	if len(b) < queueHead {
		return target, 0, k, false
	}
	copy(target[:], b[1:])
	k, ok = splitKey(b[queueHead:])
	return target, int64(binary.BigEndian.Uint64(b[hintHead:])), k, ok
}

// appendExpiryKey sorts a time before 1970 first: it is as expired as any.
func appendExpiryKey(dst []byte, at int64, k request.Key) []byte {
	return appendKey(binary.BigEndian.AppendUint64(append(dst, prefixExpiry), uint64(max(at, 0))), k)
}

func splitExpiryKey(b []byte) (at int64, k request.Key, ok bool) {
	if len(b) < expiryHead {
		return 0, k, false
	}
	k, ok = splitKey(b[expiryHead:])
	return int64(binary.BigEndian.Uint64(b[1:])), k, ok
}

func appendMarkKey(dst []byte, target ring.NodeID, p place, generation uint64) []byte {
	dst = p.append(appendTarget(dst, prefixMark, target))
	return binary.BigEndian.AppendUint64(dst, generation)
}

func splitMarkKey(b []byte) (target ring.NodeID, p place, generation uint64, ok bool) {
	if len(b) != markSize {
		return target, p, 0, false
	}
	copy(target[:], b[1:])
	p = place{b[hintHead], ring.Partition(binary.BigEndian.Uint16(b[hintHead+1:]))}
	return target, p, binary.BigEndian.Uint64(b[hintHead+placeSize:]), true
}

func resumeKey(target ring.NodeID, p place) []byte {
	return p.append(appendTarget(nil, prefixResume, target))
}

// prefixEnd returns the first key after all that begin with prefix, whose first byte is one of ours and so below 0xff.
func prefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; ; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
}
