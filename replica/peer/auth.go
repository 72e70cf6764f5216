package peer

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net"
)

// Where the cluster has a key, both sides prove that they know it before either says anything of itself:
//
//	dialer    challenge   its nonce
//	accepter  challenge   its nonce, and a proof over both
//	dialer    hello       with a proof over both nonces and the hello
//	accepter  hello       with a proof over both nonces and the hello
//
// A proof is an HMAC-SHA256 under a key drawn from the cluster key, and names its role, so that none serves for another.
// It is made with the first key and accepted under any: while keys are changed the two sides may differ in which is first.
// What follows the hello is neither encrypted nor authenticated by this; against those who sit on the wire there is TLS.
const (
	kindChallenge = 0x40 // only ever before the hello, and so out of the row of the others
	nonceBytes    = 32
	proofBytes    = sha256.Size
)

// The roles of a proof.
const (
	roleChallenged = "holdfast accepter's challenge"
	roleDialer     = "holdfast dialer's hello"
	roleAccepter   = "holdfast accepter's hello"
)

// secret is what two sides that know the cluster key have between them; the zero value is that of a cluster without a key.
type secret struct {
	keys   [][]byte // at least one; the first is the one to use
	nonces [2 * nonceBytes]byte
}

// proof returns the proof of a role under a cluster key.
func (s *secret) proof(key []byte, role string, said []byte) []byte {
	derived, err := hkdf.Key(sha256.New, key, nil, role, sha256.Size) // gossip encrypts with the key itself
	if err != nil {
		panic("peer: " + err.Error()) // sizes are constant
	}
	mac := hmac.New(sha256.New, derived)
	mac.Write(s.nonces[:])
	mac.Write(said)
	return mac.Sum(nil)
}

// holds reports whether a proof was made under one of our keys. Its time tells nothing of the keys.
func (s *secret) holds(proof []byte, role string, said []byte) bool {
	held := false
	for _, key := range s.keys {
		held = hmac.Equal(proof, s.proof(key, role, said)) || held
	}
	return held
}

// sign adds the proof to a hello.
func (s *secret) sign(role string, h hello) hello {
	h.auth = nil
	if len(s.keys) > 0 {
		h.auth = s.proof(s.keys[0], role, h.appendPayload(nil))
	}
	return h
}

// signed reports whether a hello bears a proof, where there is a key.
func (s *secret) signed(role string, h hello) bool {
	proof := h.auth
	h.auth = nil
	return len(s.keys) == 0 || s.holds(proof, role, h.appendPayload(nil))
}

// challenge is the dialer's part before its hello: it returns when the accepter has proved itself. Without keys there is
// nothing to prove.
func challenge(conn net.Conn, keys [][]byte) (*secret, error) {
	s := &secret{keys: keys}
	if len(keys) == 0 {
		return s, nil
	}
	ours := s.nonces[:nonceBytes]
	_, _ = io.ReadFull(rand.Reader, ours) // never fails
	if err := sendHello(conn, frame{kind: kindChallenge}, raw(ours)); err != nil {
		return nil, err
	}
	f, err := readHello(conn)
	switch {
	case err != nil:
		return nil, err
	case f.kind == kindRefusal|answerOf:
		return nil, parseRefusal(f.payload)
	case f.kind != kindChallenge|answerOf || len(f.payload) < nonceBytes+proofBytes:
		return nil, errProtocol
	}
	copy(s.nonces[nonceBytes:], f.payload)
	if !s.holds(f.payload[nonceBytes:nonceBytes+proofBytes], roleChallenged, nil) {
		return nil, refuse(conn, refusedKey)
	}
	return s, nil
}

// challenged is the accepter's part: first is the first frame of the connection. It returns the dialer's hello, not looked at,
// or a refusal, having said why and nothing else.
func challenged(conn net.Conn, first frame, keys [][]byte) (*secret, frame, error) {
	s := &secret{keys: keys}
	switch asked := first.kind == kindChallenge; {
	case asked != (len(keys) > 0):
		return nil, frame{}, refuse(conn, refusedKeyless)
	case !asked:
		return s, first, nil
	case len(first.payload) < nonceBytes:
		return nil, frame{}, errProtocol
	}
	copy(s.nonces[:], first.payload[:nonceBytes])
	_, _ = io.ReadFull(rand.Reader, s.nonces[nonceBytes:]) // never fails
	answer := append(raw(s.nonces[nonceBytes:]), s.proof(keys[0], roleChallenged, nil)...)
	if err := sendHello(conn, frame{kind: kindChallenge | answerOf}, answer); err != nil {
		return nil, frame{}, err
	}
	second, err := readHello(conn)
	if err == nil && second.kind == kindRefusal|answerOf {
		err = parseRefusal(second.payload)
	}
	return s, second, err
}
