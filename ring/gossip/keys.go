package gossip

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/memberlist"
)

// SetKeys changes the keys that gossip is encrypted with while it runs: it is sent under the first, and all are understood. A
// node that was opened without keys goes on without; one that was opened with keys goes on with at least one. Not to be called
// concurrently with itself.
func (g *Gossip) SetKeys(keys [][]byte) error {
	if g.keys == nil || len(keys) == 0 {
		return nil
	}
	if err := install(g.keys, keys); err != nil {
		return fmt.Errorf("gossip: keys: %w", err)
	}
	return nil
}

// newKeyring returns memberlist's keyring, or nil for no keys.
func newKeyring(keys [][]byte) (*memberlist.Keyring, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	ring, err := memberlist.NewKeyring(keys, keys[0])
	if err != nil {
		return nil, fmt.Errorf("gossip: keys: %w", err)
	}
	return ring, nil
}

// install makes a keyring hold these keys, the first of them first. Keys that go are taken from the end, those behind them
// being put back: memberlist removes one from the middle by moving the others within memory that whoever is decrypting
// just then reads.
func install(ring *memberlist.Keyring, keys [][]byte) error {
	for _, key := range keys {
		if err := ring.AddKey(key); err != nil {
			return err
		}
	}
	if err := ring.UseKey(keys[0]); err != nil {
		return err
	}
	stays := func(key []byte) bool {
		return slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
	}
	for have := ring.GetKeys(); slices.ContainsFunc(have, func(key []byte) bool { return !stays(key) }); have = ring.GetKeys() {
		if err := ring.RemoveKey(have[len(have)-1]); err != nil {
			return err
		}
	}
	for _, key := range keys {
		if err := ring.AddKey(key); err != nil {
			return err
		}
	}
	return nil
}

// aboutKeys reports whether what memberlist says means that the other side has other keys than this node, or that only one of the
// two has any.
func aboutKeys(text string) bool {
	for _, sign := range []string{"no installed keys could decrypt", "remote state is encrypted and encryption is not configured",
		"encryption is configured but remote state is not encrypted", "Decrypt packet failed"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// keyMessage is logged of a node that is not understood.
const keyMessage = "gossip refused: the other side has another cluster key, or only one of the two has one; give both the same --cluster-key"
