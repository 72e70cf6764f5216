package causal

import (
	"bytes"
	"errors"
	"regexp"
	"testing"
)

func testSecret() *[32]byte { return &[32]byte{1, 2, 3} }

func TestTokenComesBackOnlyToItsOwnKey(t *testing.T) {
	c := contextOf(3, 2, 2)
	token := EncodeToken(testSecret(), 4, []byte("key"), c)
	if !regexp.MustCompile(`^[A-Za-z0-9_-]+$`).Match(token) {
		t.Fatalf("token %q leaves its alphabet", token)
	}
	if got, err := DecodeToken(testSecret(), 4, []byte("key"), token); err != nil || !got.Equal(c) {
		t.Fatalf("got %+v, %v", got, err)
	}
	other := *testSecret()
	other[31] = 1
	for name, err := range map[string]error{
		"another key":      second(DecodeToken(testSecret(), 4, []byte("kez"), token)),
		"a shorter key":    second(DecodeToken(testSecret(), 4, []byte("ke"), token)),
		"another keyspace": second(DecodeToken(testSecret(), 5, []byte("key"), token)),
		"another secret":   second(DecodeToken(&other, 4, []byte("key"), token)),
		"a line break":     second(DecodeToken(testSecret(), 4, []byte("key"), append(bytes.Clone(token), '\n'))),
		"padding":          second(DecodeToken(testSecret(), 4, []byte("key"), append(bytes.Clone(token), '='))),
	} {
		if !errors.Is(err, ErrBadToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second(_ Context, err error) error { return err }

func TestTokenWithAnyCharacterChangedOrCutIsRefused(t *testing.T) {
	token := EncodeToken(testSecret(), 0, nil, contextOf(1, 0, 1))
	for i := range token {
		for _, c := range []byte("AZaz09-_ +/=\n\x00\xff") {
			bad := bytes.Clone(token)
			if bad[i] == c {
				continue
			}
			bad[i] = c
			if _, err := DecodeToken(testSecret(), 0, nil, bad); !errors.Is(err, ErrBadToken) {
				t.Fatalf("%q at %d: %v", c, i, err)
			}
		}
		if _, err := DecodeToken(testSecret(), 0, nil, token[:i]); (i > 0) != errors.Is(err, ErrBadToken) {
			t.Fatalf("cut to %d: %v", i, err)
		}
	}
}

func TestEmptyTokenIsTheEmptyContext(t *testing.T) {
	if token := EncodeToken(testSecret(), 0, []byte("k"), Context{}); len(token) != 0 {
		t.Errorf("empty context gives %q", token)
	}
	if c, err := DecodeToken(testSecret(), 0, []byte("k"), nil); err != nil || !c.IsZero() {
		t.Errorf("empty token gives %+v, %v", c, err)
	}
	raw := append([]byte{tokenVersion}, 0, 0)
	raw = append(raw, tokenMAC(testSecret(), 0, []byte("k"), raw)...)
	if _, err := DecodeToken(testSecret(), 0, []byte("k"), tokenText.AppendEncode(nil, raw)); !errors.Is(err, ErrBadToken) {
		t.Errorf("a second token of the empty context: %v", err)
	}
}

func TestTokenOfAnotherVersionIsRefused(t *testing.T) {
	raw := contextOf(1, 0, 0).Append([]byte{tokenVersion + 1})
	raw = append(raw, tokenMAC(testSecret(), 0, nil, raw)...)
	if _, err := DecodeToken(testSecret(), 0, nil, tokenText.AppendEncode(nil, raw)); !errors.Is(err, ErrBadToken) {
		t.Error(err)
	}
}

// The widest context within the caps must come back, and its token must leave the cap on tokens.
func TestTokenOfTheLargestContextIsWithinItsCap(t *testing.T) {
	c := contextOf(ActorsMax, GapsMax, StampsMax)
	for i := range c.entries {
		c.entries[i].actor = Actor{^uint64(0), ^uint64(0) - ActorsMax + uint64(i)}
		c.entries[i].base = CounterMax - 3*GapsMax
	}
	for i := range c.entries[0].extra {
		c.entries[0].extra[i] = c.entries[0].base + uint64(2*i+2)
	}
	token := EncodeToken(testSecret(), 0, nil, c)
	if got, err := DecodeToken(testSecret(), 0, nil, token); err != nil || !got.Equal(c) {
		t.Fatalf("token of %d bytes: %v", len(token), err)
	}
	if tokenText.EncodedLen(1+tokenMACBytes+ActorsMax*entryBytesMax+GapsMax*counterBytesMax+StampsMax*stampBytes+9) > TokenBytesMax {
		t.Error("TokenBytesMax does not hold every context within the caps")
	}
	if _, err := DecodeToken(testSecret(), 0, nil, bytes.Repeat([]byte("A"), TokenBytesMax+1)); !errors.Is(err, ErrBadToken) {
		t.Error(err)
	}
}

func FuzzDecodeToken(f *testing.F) {
	for _, s := range sampleStates() {
		f.Add(EncodeToken(testSecret(), 1, []byte("k"), s.Seen), s.Seen.Append(nil))
	}
	f.Add([]byte("AQ\r\n"), []byte{})
	f.Fuzz(func(t *testing.T, token, context []byte) {
		if c, err := DecodeToken(testSecret(), 1, []byte("k"), token); err == nil && !bytes.Equal(EncodeToken(testSecret(), 1, []byte("k"), c), token) {
			t.Fatalf("accepted %q, encodes otherwise", token)
		}
		c, _, err := DecodeContext(context)
		if err != nil {
			return
		}
		if got, err := DecodeToken(testSecret(), 1, []byte("k"), EncodeToken(testSecret(), 1, []byte("k"), c)); err != nil || !got.Equal(c) {
			t.Fatalf("token of %+v gives %+v, %v", c, got, err)
		}
	})
}
