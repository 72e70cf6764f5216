package ring

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrBadNodeID is returned for text that is not 32 hexadecimal digits.
var ErrBadNodeID = errors.New("ring: node id is not 32 hexadecimal digits")

// NodeID names a node, or a cluster: 128 random bits, drawn once and kept in the data directory. Names and addresses may
// change; the id is the node. The zero value is nobody.
type NodeID [16]byte

// ParseNodeID reads what String wrote, in either case. Anything else is ErrBadNodeID.
func ParseNodeID(s string) (NodeID, error) {
	var id NodeID
	if len(s) != hex.EncodedLen(len(id)) {
		return NodeID{}, fmt.Errorf("%w: %d characters", ErrBadNodeID, len(s))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return NodeID{}, fmt.Errorf("%w: %w", ErrBadNodeID, err)
	}
	return id, nil
}

// String returns 32 lower-case hexadecimal digits.
func (id NodeID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the id is nobody's.
func (id NodeID) IsZero() bool { return id == NodeID{} }

// Compare orders ids bytewise: -1, 0 or +1.
func (id NodeID) Compare(other NodeID) int { return bytes.Compare(id[:], other[:]) }

// MarshalText returns what String returns. It never fails.
func (id NodeID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is ParseNodeID into id, which it leaves alone on error.
func (id *NodeID) UnmarshalText(text []byte) error {
	parsed, err := ParseNodeID(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}
