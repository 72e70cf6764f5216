package trust_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/trust"
	"github.com/holdfastdb/holdfast/trust/trusttest"
)

func TestKeysAreReadInTheFormsThatOperatorsHave(t *testing.T) {
	a, b := trusttest.Key('a'), trusttest.Key('b')
	for _, c := range []struct{ proves, text, want string }{
		{"one line", a, "a"},
		{"no newline at the end", strings.TrimSpace(a), "a"},
		{"the first is the first", b + a, "ba"},
		{"comments and empty lines do not count", "# the key since spring\n\n  " + a + "\n#" + b, "a"},
		{"one given twice counts once", a + b + a, "ab"},
		{"Windows' line ends", strings.ReplaceAll(a+b, "\n", "\r\n"), "ab"},
		{"Serf's keyring file", `["` + strings.TrimSpace(a) + "\",\n \"" + strings.TrimSpace(b) + "\"]\n", "ab"},
	} {
		keys, err := trust.ParseKeys([]byte(c.text))
		got := ""
		for _, k := range keys {
			got += string(k[:1])
		}
		if got != c.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", c.proves, got, err, c.want)
		}
	}
}

func TestKeysThatCannotBeUsedAreRefusedUnshown(t *testing.T) {
	of := func(bytes int) string { return base64.StdEncoding.EncodeToString(make([]byte, bytes)) + "\n" }
	var most strings.Builder
	for i := range trust.KeysMax {
		most.WriteString(trusttest.Key(byte(i)))
	}
	for _, c := range []struct {
		proves, text string
		err          error
	}{
		{"16, 24 and 32 bytes", of(16) + of(24) + of(32), nil},
		{"15 bytes", of(15), trust.ErrKeyBytes},
		{"33 bytes", of(33), trust.ErrKeyBytes},
		{"no base64", "correct horse battery staple", trust.ErrKeyBytes},
		{"half a key", trusttest.Key('a')[:20], trust.ErrKeyBytes},
		{"one good, one bad", trusttest.Key('a') + "bad\n", trust.ErrKeyBytes},
		{"nothing", "", trust.ErrNoKey},
		{"comments alone", "# nothing\n", trust.ErrNoKey},
		{"an empty list", "[]", trust.ErrNoKey},
		{"as many as may be", most.String(), nil},
		{"one more", most.String() + trusttest.Key('z'), trust.ErrTooManyKeys},
	} {
		_, err := trust.ParseKeys([]byte(c.text))
		if !errors.Is(err, c.err) || c.err == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.proves, err, c.err)
		}
		if err != nil && (strings.Contains(err.Error(), "horse") || strings.Contains(err.Error(), trusttest.Key('a')[:8])) {
			t.Errorf("%s: the error shows the key: %v", c.proves, err)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(trusttest.Key('a') + "#\n" + trusttest.Key('b')))
	f.Add([]byte(`["` + strings.TrimSpace(trusttest.Key('a')) + `"]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := trust.ParseKeys(text)
		if (err == nil) == (len(keys) == 0) || len(keys) > trust.KeysMax {
			t.Errorf("%d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if len(k) != 16 && len(k) != 24 && len(k) != 32 {
				t.Errorf("a key of %d bytes", len(k))
			}
		}
	})
}
