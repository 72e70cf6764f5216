package gossip_test

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/ring"
	"github.com/holdfastdb/holdfast/ring/gossip"
	"github.com/holdfastdb/holdfast/ring/gossip/gossiptest"
	"github.com/holdfastdb/holdfast/trust"
	"github.com/holdfastdb/holdfast/trust/trusttest"
)

// guardOf returns a guard with a certificate that an authority gives until then.
func guardOf(t *testing.T, a *trusttest.Authority, until time.Time) gossip.Guard {
	t.Helper()
	f := a.Issue("node", until)
	c, err := trust.OpenCertificates(f.Cert, f.Key, f.CA, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Who has the cluster key and no good certificate does not join, does not read the ring document, and makes nobody look dead.
func TestHostsWithoutAGoodCertificateAreRefusedAndToldOnceAMinute(t *testing.T) {
	for _, c := range []struct {
		proves   string
		stranger func(ours, theirs *trusttest.Authority) gossip.Guard
		plain    bool // the cluster is not under TLS, and the stranger is
	}{
		{"no TLS", func(_, _ *trusttest.Authority) gossip.Guard { return nil }, false},
		{"another authority's", func(_, theirs *trusttest.Authority) gossip.Guard {
			return guardOf(t, theirs, time.Now().Add(time.Hour))
		}, false},
		{"an expired one", func(ours, _ *trusttest.Authority) gossip.Guard { return guardOf(t, ours, time.Now().Add(-time.Hour)) }, false},
		{"TLS where the cluster has none", func(ours, _ *trusttest.Authority) gossip.Guard { return guardOf(t, ours, time.Now().Add(time.Hour)) }, true},
	} {
		t.Run(c.proves, func(t *testing.T) {
			bubble(t, func(t *testing.T, net *gossiptest.Network) {
				ours, theirs := trusttest.NewAuthority(t, "ours"), trusttest.NewAuthority(t, "theirs")
				var hosts []*host
				for i := range 3 {
					var guard gossip.Guard
					if !c.plain {
						guard = guardOf(t, ours, time.Now().Add(time.Hour))
					}
					hosts = append(hosts, startTrusted(t, net, newcomer(i+1, 3), ring.Note{}, "k", guard))
				}
				within(t, 10*time.Second, "all see all and agree", func() bool {
					return agreed(hosts) && every(hosts, func(h *host) bool { return h.sees(1, 2, 3) })
				})
				stranger := startTrusted(t, net, newcomer(4, 0), ring.Note{}, "k", c.stranger(ours, theirs))
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
				lines := toldOfTLS(t, stranger)
				for _, h := range hosts {
					lines += toldOfTLS(t, h)
				}
				if lines == 0 {
					t.Errorf("nobody is told; the stranger:\n%s\nnode 1:\n%s", stranger.log, hosts[0].log)
				}
			})
		})
	}
}

// toldOfTLS returns how many lines a host's log has that speak of certificates, and wants no more than one, and few others: a
// pipe in memory holds nothing, so that two sides that turn each other away at once wait for their deadlines, and say so.
func toldOfTLS(t *testing.T, h *host) int {
	t.Helper()
	told, warned := strings.Count(h.log.String(), "another authority's"), strings.Count(h.log.String(), "WARN")
	if told > 1 || warned > told+10 {
		t.Errorf("%s: %d lines of certificates, %d warnings within a minute:\n%s", h.self.Member.Name, told, warned, h.log)
	}
	return told
}

// Over real sockets: a name is listened at and not taken for all addresses, and port 0 takes a free one, under TLS and not.
func TestANameIsNotTakenForAllAddresses(t *testing.T) {
	for name, guard := range map[string]gossip.Guard{"plain": nil, "under TLS": guardOf(t, trusttest.NewAuthority(t, "ours"), time.Now().Add(time.Hour))} {
		t.Run(name, func(t *testing.T) {
			note := ring.Note{Newcomers: []ring.Newcomer{newcomer(1, 1)}}
			g, err := gossip.Open(gossip.Config{Self: newcomer(1, 1).Member, Bind: "localhost:0", Guard: guard, Local: func() ring.Note { return note },
				Merge: func(ring.Note) {}, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			host, port, err := net.SplitHostPort(g.Address())
			if err != nil || !net.ParseIP(host).IsLoopback() || port == "0" {
				t.Errorf("gossips at %s, %v", g.Address(), err)
			}
			free, err := net.Listen("tcp", net.JoinHostPort("127.0.0.77", port))
			if err != nil {
				t.Fatalf("another address with the port is taken too: %v", err)
			}
			free.Close()
		})
	}
}
