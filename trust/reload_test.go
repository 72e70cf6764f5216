package trust_test

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/trust"
	"github.com/holdfastdb/holdfast/trust/trusttest"
)

func logTo(b *bytes.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

func first(k *trust.Keyring) string { return string(k.Keys()[0][:1]) }

func TestKeysAreReadAnewAndBadOnesChangeNothing(t *testing.T) {
	var log bytes.Buffer
	path := trusttest.Keys(t, trusttest.Key('a'))
	k, err := trust.OpenKeyring(path, logTo(&log))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1, 0)
	look := func(after time.Duration) bool { now = now.Add(after); return k.Look(now) }
	if look(time.Second) || first(k) != "a" || log.Len() > 0 {
		t.Errorf("unchanged: %q, log %s", first(k), &log)
	}
	trusttest.Rekey(t, path, trusttest.Key('b'), trusttest.Key('a'))
	if !look(time.Second) || first(k) != "b" || len(k.Keys()) != 2 {
		t.Errorf("changed: %q of %d", first(k), len(k.Keys()))
	}
	trusttest.Write(t, path, []byte("half a k"))
	for range 90 {
		look(time.Second)
	}
	if n := strings.Count(log.String(), "cannot be used"); first(k) != "b" || n != 2 {
		t.Errorf("damaged for 90 s: %q, %d lines; want the last good key and a line a minute:\n%s", first(k), n, &log)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if look(time.Second) || first(k) != "b" || strings.Count(log.String(), "cannot be used") != 3 {
		t.Errorf("gone: %q:\n%s", first(k), &log)
	}
	trusttest.Rekey(t, path, trusttest.Key('c'))
	if !look(time.Second) || first(k) != "c" || len(k.Keys()) != 1 {
		t.Errorf("mended: %q of %d", first(k), len(k.Keys()))
	}
}

func TestFilesThatCannotBeUsedAreRefusedAtTheStart(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	large := trusttest.Keys(t, strings.Repeat("#\n", trust.FileBytesMax/2), trusttest.Key('a'))
	if _, err := trust.OpenKeyring(large, log); err == nil || !strings.Contains(err.Error(), large) {
		t.Errorf("a file over the cap: %v", err)
	}
	most := trusttest.Keys(t, trusttest.Key('a'), strings.Repeat("#", trust.FileBytesMax-len(trusttest.Key('a'))))
	if _, err := trust.OpenKeyring(most, log); err != nil {
		t.Errorf("a file at the cap: %v", err)
	}
	if _, err := trust.OpenKeyring("nowhere", log); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("no file: %v", err)
	}
	one := trusttest.NewAuthority(t, "one").Issue("node", time.Now().Add(time.Hour))
	other := trusttest.NewAuthority(t, "other").Issue("node", time.Now().Add(time.Hour))
	for _, c := range []struct{ proves, cert, key, ca string }{
		{"another's key", one.Cert, other.Key, one.CA},
		{"a key for a certificate", one.Key, one.Key, one.CA},
		{"no authority", one.Cert, one.Key, one.Key},
		{"no file", one.Cert, one.Key, "nowhere"},
	} {
		if _, err := trust.OpenCertificates(c.cert, c.key, c.ca, time.Now, log); err == nil {
			t.Errorf("%s: accepted", c.proves)
		}
	}
}

func TestKeyThatEverybodyMayReadIsToldOf(t *testing.T) {
	var log bytes.Buffer
	path := trusttest.Keys(t, trusttest.Key('a'))
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := trust.OpenKeyring(path, logTo(&log)); err != nil || !strings.Contains(log.String(), "everybody") {
		t.Errorf("%v, log %q", err, log.String())
	}
}

func TestCertificateThatEndsSoonIsToldOfOnceADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		authority := trusttest.NewAuthority(t, "one")
		f := authority.Issue("node", time.Now().AddDate(0, 0, 10))
		c, err := trust.OpenCertificates(f.Cert, f.Key, f.CA, time.Now, logTo(&log))
		if err != nil {
			t.Fatal(err)
		}
		lines := func() int { return strings.Count(log.String(), "ends soon") }
		days := func(n int) {
			for range n * 24 {
				time.Sleep(time.Hour)
				c.Look(time.Now())
			}
		}
		days(2)
		if lines() != 0 {
			t.Errorf("told eight days before the end:\n%s", &log)
		}
		days(3)
		if n := lines(); n != 3 {
			t.Errorf("%d lines in three days, want 3:\n%s", n, &log)
		}
		authority.Renew(f, "node", time.Now().AddDate(1, 0, 0))
		if before := lines(); !c.Look(time.Now()) || lines() != before {
			t.Errorf("renewed, and still told:\n%s", &log)
		}
	})
}
