package node_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/nodetest"
	"github.com/holdfastdb/holdfast/trust/trusttest"
)

// secure gives a machine a file of keys and a certificate.
func secure(t *testing.T, cfg *node.Config, a *trusttest.Authority, keys ...string) {
	cfg.ClusterKey = trusttest.Keys(t, keys...)
	f := a.Issue("node", time.Now().AddDate(0, 1, 0))
	cfg.TLSCert, cfg.TLSKey, cfg.TLSCA = f.Cert, f.Key, f.CA
}

// inSecureBubble runs f with a started cluster of three machines under the key k and an authority.
func inSecureBubble(t *testing.T, f func(t *testing.T, c *nodetest.Cluster, a *trusttest.Authority)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := trusttest.NewAuthority(t, "ours")
		c := nodetest.New(t, 3, func(_ int, cfg *node.Config) { secure(t, cfg, a, trusttest.Key('k')) })
		defer c.Close()
		c.Start()
		f(t, c, a)
	})
}

// The new key added at one node after the other, put first at one after the other, the old one taken away; certificates
// renewed along the way. No command fails, and then the old key is worth nothing.
func TestKeysAndCertificatesAreChangedUnderLoad(t *testing.T) {
	inSecureBubble(t, func(t *testing.T, c *nodetest.Cluster, a *trusttest.Authority) {
		load := startTraffic(t, true, c.Machines...)
		old, next := trusttest.Key('k'), trusttest.Key('n')
		for _, keys := range [][]string{{old, next}, {next, old}, {next}} {
			for _, m := range c.Machines {
				trusttest.Rekey(t, m.Config.ClusterKey, keys...)
				a.Renew(trusttest.Files{Cert: m.Config.TLSCert, Key: m.Config.TLSKey, CA: m.Config.TLSCA}, "renewed", time.Now().AddDate(0, 1, 0))
				time.Sleep(3 * time.Second)
			}
		}
		asked := load.stop()
		for _, m := range c.Machines {
			if read := len(m.Log.Lines("keys read anew")); read != 3 || len(m.Log.Lines("level=WARN"))+len(m.Log.Lines("level=ERROR")) != 0 {
				t.Errorf("%s has read its keys anew %d times, want 3; its log:\n%s", m.Config.Name, read, m.Log)
			}
		}
		m := c.Machines[2]
		m.Stop()
		m.MustStart()
		c.AwaitReady(c.Machines...)
		m.Stop()
		trusttest.Rekey(t, m.Config.ClusterKey, old)
		m.MustStart()
		time.Sleep(20 * time.Second)
		if c.Machines[0].Sees(m) || m.Sees(c.Machines[0]) {
			t.Error("a node with the old key alone is in reach")
		}
		t.Logf("%d commands", asked)
	})
}

// A node that may not join, beside a cluster under load: no command fails, and those that refuse it say so once a minute.
func TestNodesThatMayNotJoinDisturbNothing(t *testing.T) {
	for _, tt := range []struct {
		proves string
		change func(cfg *node.Config, theirs *trusttest.Authority)
	}{
		{"a wrong key", func(cfg *node.Config, _ *trusttest.Authority) { cfg.ClusterKey = trusttest.Keys(t, trusttest.Key('x')) }},
		{"no key", func(cfg *node.Config, _ *trusttest.Authority) { cfg.ClusterKey = "" }},
		{"no TLS", func(cfg *node.Config, _ *trusttest.Authority) { cfg.TLSCert, cfg.TLSKey, cfg.TLSCA = "", "", "" }},
		{"a foreign certificate", func(cfg *node.Config, theirs *trusttest.Authority) { secure(t, cfg, theirs, trusttest.Key('k')) }},
		{"neither", func(cfg *node.Config, _ *trusttest.Authority) {
			cfg.ClusterKey, cfg.TLSCert, cfg.TLSKey, cfg.TLSCA = "", "", "", ""
		}},
		{"another cluster's name", func(cfg *node.Config, _ *trusttest.Authority) { cfg.Cluster = "other" }},
	} {
		t.Run(tt.proves, func(t *testing.T) {
			inSecureBubble(t, func(t *testing.T, c *nodetest.Cluster, a *trusttest.Authority) {
				ours := c.Machines
				load := startTraffic(t, true, ours...)
				stranger := c.Add(node.Config{Join: ours[0].Config.Join})
				secure(t, &stranger.Config, a, trusttest.Key('k'))
				tt.change(&stranger.Config, trusttest.NewAuthority(t, "theirs"))
				stranger.MustStart()
				time.Sleep(50 * time.Second)
				asked := load.stop()
				if stranger.Node.Ready() && len(stranger.Ring().Nodes) > 0 || stranger.Node.Waiting() == "" {
					t.Error("the stranger has a cluster")
				}
				for _, m := range ours {
					if nodes := m.Ring().Nodes; len(nodes) != 3 {
						t.Errorf("%s has %d nodes in its ring", m.Config.Name, len(nodes))
					}
				}
				told(t, ours, stranger)
				t.Logf("%d commands", asked)
			})
		})
	}
}

// told wants at most one line a minute of each matter at each node, and one at all somewhere.
func told(t *testing.T, ours []*nodetest.Machine, stranger *nodetest.Machine) {
	t.Helper()
	total := 0
	for _, m := range append([]*nodetest.Machine{stranger}, ours...) {
		lines := m.Log.Lines("refused")
		total += len(lines) + len(m.Log.Lines("unacceptable label"))
		if len(lines) > 2 {
			t.Errorf("%s: %d lines within a minute:\n%s", m.Config.Name, len(lines), strings.Join(lines, ""))
		}
	}
	if total == 0 {
		t.Error("nobody is told")
	}
}

// A member that comes back with a wrong key is as good as dead; with the right one it is back.
func TestMemberWithAWrongKeyIsOutUntilItHasTheRightOne(t *testing.T) {
	inSecureBubble(t, func(t *testing.T, c *nodetest.Cluster, _ *trusttest.Authority) {
		lost, rest := c.Machines[2], c.Machines[:2]
		lost.Stop()
		trusttest.Rekey(t, lost.Config.ClusterKey, trusttest.Key('x'))
		lost.MustStart()
		load := startTraffic(t, true, rest...)
		time.Sleep(30 * time.Second)
		if rest[0].Sees(lost) || lost.Sees(rest[0]) {
			t.Error("a node with a wrong key is in reach")
		}
		asked := load.stop()
		trusttest.Rekey(t, lost.Config.ClusterKey, trusttest.Key('k')) // and no restart
		c.AwaitReady(c.Machines...)
		c.AwaitQuiet()
		t.Logf("%d commands", asked)
	})
}

func TestFilesThatCannotBeUsedAreRefused(t *testing.T) {
	inSecureBubble(t, func(t *testing.T, c *nodetest.Cluster, a *trusttest.Authority) {
		m := c.Machines[0]
		m.Stop()
		good := m.Config
		for _, bad := range []struct {
			flag   string
			change func(cfg *node.Config)
		}{
			{"--cluster-key", func(cfg *node.Config) { cfg.ClusterKey = trusttest.Keys(t, "bad\n") }},
			{"--tls-cert", func(cfg *node.Config) { cfg.TLSKey = a.Issue("another", time.Now().AddDate(0, 1, 0)).Key }},
			{"--tls-ca", func(cfg *node.Config) { cfg.TLSCA = "" }},
		} {
			m.Config = good
			bad.change(&m.Config)
			if err := m.Start(); err == nil || !strings.Contains(err.Error(), bad.flag) {
				t.Errorf("%s: %v", bad.flag, err)
			} else {
				t.Log(err)
			}
		}
		m.Config = good
		m.MustStart()
		c.AwaitReady(c.Machines...)
	})
}
