package causal

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
)

// ErrBadToken says that a token is damaged, forged, too long, of another version, or of another key or keyspace.
var ErrBadToken = errors.New("causal: bad context token")

const (
	tokenVersion  = 1
	tokenMACBytes = 16 // HMAC-SHA256 cut to 128 bits: RFC 2104, section 5
)

// Strict alone still skips line breaks; DecodeToken refuses them itself.
var tokenText = base64.RawURLEncoding.Strict()

// EncodeToken returns the context as text of A-Z, a-z, 0-9, - and _, for a client to hand back with its next write of
// the same key. It is authenticated, not encrypted. The empty context's token is empty.
//
// Layout before base64url: version byte, context, MAC over version, keyspace, key and context.
func EncodeToken(secret *[32]byte, space uint8, key []byte, c Context) []byte {
	if c.IsZero() {
		return []byte{}
	}
	raw := c.Append([]byte{tokenVersion})
	raw = append(raw, tokenMAC(secret, space, key, raw)...)
	return tokenText.AppendEncode(make([]byte, 0, tokenText.EncodedLen(len(raw))), raw)
}

// DecodeToken returns the context of a token that EncodeToken made with the same secret, keyspace and key; else
// ErrBadToken. Nothing is decoded before it is authenticated. The empty token is the empty context.
func DecodeToken(secret *[32]byte, space uint8, key, token []byte) (Context, error) {
	if len(token) == 0 {
		return Context{}, nil
	}
	if len(token) > TokenBytesMax || bytes.ContainsAny(token, "\r\n") {
		return Context{}, ErrBadToken
	}
	raw, err := tokenText.AppendDecode(nil, token)
	if err != nil || len(raw) <= 1+tokenMACBytes || raw[0] != tokenVersion {
		return Context{}, ErrBadToken
	}
	body, mac := raw[:len(raw)-tokenMACBytes], raw[len(raw)-tokenMACBytes:]
	if !hmac.Equal(mac, tokenMAC(secret, space, key, body)) {
		return Context{}, ErrBadToken
	}
	c, rest, err := DecodeContext(body[1:])
	if err != nil || len(rest) > 0 || c.IsZero() {
		return Context{}, ErrBadToken
	}
	return c, nil
}

// tokenMAC authenticates body, which begins with the version. The key's length goes in so that no key and body can
// pass for another key and body.
func tokenMAC(secret *[32]byte, space uint8, key, body []byte) []byte {
	head := binary.BigEndian.AppendUint32(make([]byte, 0, 5), uint32(len(key)))
	h := hmac.New(sha256.New, secret[:])
	h.Write(append(head, space))
	h.Write(key)
	h.Write(body)
	return h.Sum(nil)[:tokenMACBytes]
}
