package gossip_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/ring"
	"github.com/holdfastdb/holdfast/ring/gossip/gossiptest"
)

// keysOf returns a key for each letter.
func keysOf(letters string) (keys [][]byte) {
	for _, c := range []byte(letters) {
		keys = append(keys, bytes.Repeat([]byte{c}, 32))
	}
	return keys
}

// newKeyed starts n hosts with a key, and waits until they are a cluster.
func newKeyed(t *testing.T, net *gossiptest.Network, n int, letters string) []*host {
	t.Helper()
	hosts := make([]*host, n)
	for i := range hosts {
		hosts[i] = startTrusted(t, net, newcomer(i+1, n), ring.Note{}, letters, nil)
	}
	within(t, 10*time.Second, "all see all and agree", func() bool {
		return agreed(hosts) && every(hosts, func(h *host) bool { return h.sees(numbers(1, n)...) })
	})
	return hosts
}

// A rotation by the book, a key at one host after the other: nobody loses sight of anybody at any time.
func TestKeysAreRotatedUnseen(t *testing.T) {
	bubble(t, func(t *testing.T, net *gossiptest.Network) {
		hosts := newKeyed(t, net, 3, "o")
		defer killAll(hosts...)
		for _, step := range []string{"on", "no", "n", "nxy", "yn", "y"} {
			for _, h := range hosts {
				if err := h.g.SetKeys(keysOf(step)); err != nil {
					t.Fatal(err)
				}
				for range 20 {
					time.Sleep(100 * time.Millisecond)
					if !every(hosts, func(h *host) bool { return h.sees(1, 2, 3) }) {
						t.Fatalf("%s lost sight of somebody at step %s", h.self.Member.Name, step)
					}
				}
			}
		}
		for _, h := range hosts {
			if strings.Contains(h.log.String(), "WARN") {
				t.Errorf("the log of %s:\n%s", h.self.Member.Name, h.log)
			}
		}
	})
}

// After a rotation the old key is worth nothing.
func TestHostsWithOtherKeysAreRefusedAndToldOnceAMinute(t *testing.T) {
	for _, c := range []struct{ proves, cluster, stranger string }{
		{"another key", "k", "x"},
		{"no key", "k", ""},
		{"a key where the cluster has none", "", "k"},
		{"a key that was removed", "n", "o"},
	} {
		t.Run(c.proves, func(t *testing.T) {
			bubble(t, func(t *testing.T, net *gossiptest.Network) {
				hosts := newKeyed(t, net, 3, strings.ReplaceAll(c.cluster, "n", "o"))
				if c.cluster == "n" {
					for _, step := range []string{"on", "no", "n"} {
						for _, h := range hosts {
							if err := h.g.SetKeys(keysOf(step)); err != nil {
								t.Fatal(err)
							}
						}
						time.Sleep(time.Second)
					}
				}
				stranger := startTrusted(t, net, newcomer(4, 0), ring.Note{}, c.stranger, nil)
				defer killAll(append(hosts, stranger)...)
				for range 500 {
					time.Sleep(100 * time.Millisecond)
					if !every(hosts, func(h *host) bool { return h.sees(1, 2, 3) }) || !stranger.sees(4) {
						t.Fatal("somebody sees the stranger, or not its own")
					}
				}
				if !stranger.local().State.IsZero() {
					t.Error("the stranger has read the ring document")
				}
				lines := 0
				for _, h := range hosts {
					lines += toldOfKeys(t, h)
				}
				if own := toldOfKeys(t, stranger); own != 1 || lines == 0 {
					t.Errorf("%d lines at the stranger and %d at the others, want 1 and at least one", own, lines)
				}
				t.Log(stranger.log, hosts[0].log)
			})
		})
	}
}

// toldOfKeys returns how many lines a host's log has that speak of the key, and wants no more than one, and few others.
func toldOfKeys(t *testing.T, h *host) int {
	t.Helper()
	told, warned := strings.Count(h.log.String(), "another cluster key"), strings.Count(h.log.String(), "WARN")
	if told > 1 || warned > told+3 {
		t.Errorf("%s: %d lines of the key, %d warnings within a minute:\n%s", h.self.Member.Name, told, warned, h.log)
	}
	return told
}

func TestBadKeysAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T, net *gossiptest.Network) {
		hosts := newKeyed(t, net, 2, "k")
		defer killAll(hosts...)
		if err := hosts[0].g.SetKeys([][]byte{[]byte("short")}); err == nil {
			t.Error("a key of five bytes is accepted")
		}
		if err := hosts[0].g.SetKeys(nil); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		if !every(hosts, func(h *host) bool { return h.sees(1, 2) }) {
			t.Error("refused keys disturbed the gossip")
		}
	})
}
