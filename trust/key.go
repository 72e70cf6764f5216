package trust

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Errors of ParseKeys.
var (
	ErrNoKey       = errors.New("there is no key in it; `openssl rand -base64 32` makes one")
	ErrTooManyKeys = fmt.Errorf("more than %d keys", KeysMax)
	ErrKeyBytes    = errors.New("want 16, 24 or 32 bytes in base64")
)

// ParseKeys reads cluster keys: base64, one a line, where empty lines and those that begin with # do not count; or, as Serf
// keeps its keyring, a JSON list of strings. Keys are of 16, 24 or 32 bytes; the first is the one to use, all are to be
// understood. One given twice counts once. Errors name the key by its place and never show it.
func ParseKeys(text []byte) ([][]byte, error) {
	entries, err := entries(bytes.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	for i, entry := range entries {
		key, err := base64.StdEncoding.DecodeString(entry)
		if err != nil || len(key) != 16 && len(key) != 24 && len(key) != 32 {
			return nil, fmt.Errorf("key %d: %w", i+1, ErrKeyBytes)
		}
		if !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) }) {
			keys = append(keys, key)
		}
	}
	switch {
	case len(keys) == 0:
		return nil, ErrNoKey
	case len(keys) > KeysMax:
		return nil, ErrTooManyKeys
	}
	return keys, nil
}

func entries(text []byte) (list []string, err error) {
	if bytes.HasPrefix(text, []byte("[")) {
		if json.Unmarshal(text, &list) != nil {
			return nil, errors.New("it begins like a JSON list and is none of strings")
		}
		return list, nil
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	return list, nil
}
