package replica

import (
	"encoding/binary"
	"fmt"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

const rowFormat = 1 // the first byte of every row and hint

const actorSize = 16

// row is what the store holds for a key.
type row struct {
	// actor is the one under which this node minted last for the key, since it holds the row without interruption; zero:
	// none. It is this node's alone and no part of the state.
	actor causal.Actor
	state causal.State
}

// appendRow appends the format byte, the local actor (a flag, and 16 bytes if there is one) and the state.
func appendRow(dst []byte, r row) []byte {
	return r.state.Append(appendRowHead(dst, r.actor))
}

// rowHead is how many bytes stand before the state at most.
const rowHead = 1 + 1 + actorSize

func appendRowHead(dst []byte, local causal.Actor) []byte {
	return appendActor(append(dst, rowFormat), local)
}

func decodeRow(b []byte) (r row, err error) {
	actor, rest, err := splitRow(b)
	if err != nil {
		return r, err
	}
	state, err := decodeState(rest)
	return row{actor, state}, err
}

// splitRow returns the local actor and the encoded state, without decoding it.
func splitRow(b []byte) (actor causal.Actor, state []byte, err error) {
	if len(b) < 1 || b[0] != rowFormat {
		return actor, nil, fmt.Errorf("replica: row of unknown format: %w", request.ErrCorrupt)
	}
	return splitActor(b[1:])
}

func decodeState(b []byte) (causal.State, error) { return decodeStateIn(new(causal.Slab), b) }

func decodeStateIn(m *causal.Slab, b []byte) (causal.State, error) {
	state, rest, err := m.DecodeState(b)
	if err != nil || len(rest) > 0 {
		return causal.State{}, fmt.Errorf("replica: decode state (%d bytes left, %v): %w", len(rest), err, request.ErrCorrupt)
	}
	return state, nil
}

func appendActor(dst []byte, a causal.Actor) []byte {
	if a.IsZero() {
		return append(dst, 0)
	}
	dst = binary.BigEndian.AppendUint64(append(dst, 1), a.Boot)
	return binary.BigEndian.AppendUint64(dst, a.Seq)
}

func splitActor(b []byte) (a causal.Actor, rest []byte, err error) {
	switch {
	case len(b) >= 1 && b[0] == 0:
		return a, b[1:], nil
	case len(b) >= 1+actorSize && b[0] == 1:
		a = causal.Actor{Boot: binary.BigEndian.Uint64(b[1:]), Seq: binary.BigEndian.Uint64(b[9:])}
		if !a.IsZero() {
			return a, b[1+actorSize:], nil
		}
	}
	return a, nil, fmt.Errorf("replica: damaged local actor: %w", request.ErrCorrupt)
}

// hintKind says what a hint holds.
type hintKind uint8

const (
	hintMarker hintKind = 1 // the dots that the target misses; the value is in the key's own row
	hintData   hintKind = 2 // the state itself: this node is a fallback
)

// hint is what the store keeps for a target that misses a write of a key. One per target and key.
type hint struct {
	kind  hintKind
	since int64          // Unix milliseconds when it was first owed; the queue row bears it
	owed  causal.Context // of a marker
	again uint64         // of a marker: how often it was owed for what no new dot tells of, as a delete
	row                  // of data
}

func appendHint(dst []byte, h hint) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, rowFormat, byte(h.kind)), uint64(h.since))
	if h.kind == hintMarker {
		return h.owed.Append(binary.AppendUvarint(dst, h.again))
	}
	return h.state.Append(appendActor(dst, h.actor))
}

func decodeHint(b []byte) (h hint, err error) {
	const head = 10
	if len(b) < head || b[0] != rowFormat {
		return h, fmt.Errorf("replica: hint of unknown format: %w", request.ErrCorrupt)
	}
	h.kind, h.since = hintKind(b[1]), int64(binary.BigEndian.Uint64(b[2:]))
	switch h.kind {
	case hintMarker:
		again, n := binary.Uvarint(b[head:])
		if n <= 0 || n > 1 && b[head+n-1] == 0 { // none, or longer than it need be: a hint has one encoding
			return h, fmt.Errorf("replica: damaged marker: %w", request.ErrCorrupt)
		}
		h.again = again
		h.owed, err = decodeContext(b[head+n:])
	case hintData:
		var rest []byte
		if h.actor, rest, err = splitActor(b[head:]); err == nil {
			h.state, err = decodeState(rest)
		}
	default:
		err = fmt.Errorf("replica: hint of unknown kind %d: %w", h.kind, request.ErrCorrupt)
	}
	return h, err
}

func decodeContext(b []byte) (causal.Context, error) {
	seen, rest, err := causal.DecodeContext(b)
	if err != nil || len(rest) > 0 {
		return causal.Context{}, fmt.Errorf("replica: decode context (%d bytes left, %v): %w", len(rest), err, request.ErrCorrupt)
	}
	return seen, nil
}
