//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// manual is a page's blocks of commands, by the first line of each, which says where it is to be run; and who carries them out.
type manual struct {
	t       *testing.T
	blocks  map[string]string
	unread  map[string]bool
	c       *cluster
	desk    string // the machine of the operator's own
	dead    string // the node that is given up or replaced
	network string // the front of the nodes' addresses
}

// openManual reads sections of docs/operations.md for the nodes of a cluster.
func openManual(t *testing.T, c *cluster, sections ...string) *manual {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		lacking(t, "bash is not installed")
	}
	b, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	m := &manual{t: t, c: c, desk: t.TempDir(), blocks: map[string]string{}, unread: map[string]bool{}}
	for _, section := range sections {
		_, text, found := strings.Cut(string(b), "\n## "+section+"\n")
		if !found {
			t.Fatalf("docs/operations.md has no section %q", section)
		}
		text, _, _ = strings.Cut(text, "\n## ")
		m.open(text)
	}
	host := c.nodes[0].host
	m.network = host[:strings.LastIndex(host, ".")+1]
	return m
}

// open adds a section's blocks.
func (m *manual) open(text string) {
	m.t.Helper()
	for i, block := range strings.Split(text, "```") {
		if i%2 == 0 {
			continue
		}
		code, ok := strings.CutPrefix(block, "sh\n# ")
		title, commands, _ := strings.Cut(code, "\n")
		if !ok || m.blocks[title] != "" {
			m.t.Fatalf("a block of docs/operations.md does not say where it is to be run, or says what another says: %s", block)
		}
		m.blocks[title], m.unread[title] = commands, true
	}
}

// block returns the commands whose first line begins like that.
func (m *manual) block(title string) string {
	m.t.Helper()
	for full, commands := range m.blocks {
		if strings.HasPrefix(full, title) {
			delete(m.unread, full)
			return commands
		}
	}
	m.t.Fatalf("docs/operations.md has no commands under %q", title)
	return ""
}

// etc returns the directory that a node's /etc/holdfast is.
func (m *manual) etc(n *member) string { return filepath.Join(m.desk, "etc-"+n.name) }

// here puts the test's paths, addresses and ports in the place of the page's.
func (m *manual) here(commands string, n *member) string {
	return strings.NewReplacer("/etc/holdfast", m.etc(n), "/var/lib/holdfast", n.dir, "10.0.0.1", m.network+"10", "10.0.0.2", m.network+"11",
		"10.0.0.3", m.network+"12", ":7379", ":"+peerPort, ":7946", ":"+gossipPort).Replace(commands)
}

// run runs commands for a node, in a directory of the desk, and returns what they print.
func (m *manual) run(dir, commands string, n *member) string {
	m.t.Helper()
	out, err := m.command(dir, commands, n).Output()
	if err != nil {
		m.t.Fatalf("%s: %v: %s", commands, err, err.(*exec.ExitError).Stderr)
	}
	return string(out)
}

// command returns commands for a node, not started. The node's own program comes first on the path.
func (m *manual) command(dir, commands string, n *member) *exec.Cmd {
	cmd := exec.Command("bash", "-ec", m.here(commands, n))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "NAME="+n.name, "HOST="+n.host, "DEAD="+m.dead, "HOLDFAST_ADDR="+n.resp(),
		"PATH="+filepath.Dir(n.program)+":"+os.Getenv("PATH"))
	if n.running() {
		cmd.Env = append(cmd.Env, fmt.Sprint("PID=", n.cmd.Process.Pid))
	}
	return cmd
}

// on runs the commands under a title at a node, and returns what they print.
func (m *manual) on(n *member, title string) string {
	m.t.Helper()
	return m.run(m.desk, m.block(title), n)
}

// start starts a node as the commands under a title do.
func (m *manual) start(n *member, title string) {
	m.t.Helper()
	args := m.run(m.desk, `holdfast() { shift; printf '%s\n' "$@"; }`+"\n"+m.block(title), n)
	n.flags = strings.Split(strings.TrimSpace(args), "\n")
	n.start(m.t)
}

// complete fails the test if some commands were not run.
func (m *manual) complete() {
	m.t.Helper()
	for title := range m.unread {
		m.t.Errorf("nobody runs what stands under %q", title)
	}
}

// onEvery runs commands on every node in turn, and waits until the node says that it has taken the change.
func (m *manual) onEvery(title, says string) {
	m.t.Helper()
	commands := m.block("On every node" + title)
	for _, n := range m.c.nodes {
		before := n.said(says)
		m.run(m.etc(n), commands, n)
		await(m.t, n.name+" says "+says, func() error {
			if n.said(says) == before {
				return fmt.Errorf("not yet")
			}
			return nil
		})
	}
}

// said returns how many lines of the node's log contain a text.
func (m *member) said(text string) int {
	b, _ := os.ReadFile(m.log) // there is none before the first start
	return strings.Count(string(b), text)
}

// bring copies a file from the desk into a node's /etc/holdfast.
func (m *manual) bring(from string, n *member, as string) {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.desk, from))
	if err == nil {
		err = os.MkdirAll(m.etc(n), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(m.etc(n), as), b, 0o600)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// issue makes a node's certificate and brings it there.
func (m *manual) issue(n *member, as string) {
	m.t.Helper()
	m.run(m.desk, m.block("Once for each node"), n)
	m.bring(n.name+".pem", n, as+".pem")
	m.bring(n.name+".key", n, as+".key")
}

// TestKeysAndCertificatesByTheBook does all that docs/operations.md says of them, under load: no command fails, none is
// unsure, and nobody refuses anybody.
func TestKeysAndCertificatesByTheBook(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		lacking(t, "openssl is not installed")
	}
	c := plan(t, 3, t.TempDir())
	m := openManual(t, c, "Keys and certificates")
	m.run(m.desk, m.block("Once, on a machine of your own"), c.nodes[0])
	for _, n := range c.nodes {
		m.bring("cluster.key", n, "cluster.key")
		m.bring("ca.pem", n, "ca.pem")
		m.issue(n, "node")
		m.start(n, "On every node, with its name")
	}
	c.awaitAlive(t)
	l := load(t, connections, pause(), c.nodes...)
	m.run(m.desk, m.block("Once: the new key"), c.nodes[0])
	for _, n := range c.nodes {
		m.bring("next.key", n, "next.key")
		m.issue(n, "renewed")
		m.bring("ca.pem", n, "next-ca.pem")
	}
	const keys, certificates = "cluster keys read anew", "certificates read anew"
	m.onEvery(": it is understood", keys)
	m.onEvery(": it is used", keys)
	m.onEvery(": the old one is worth nothing", keys)
	m.onEvery(", as soon as it is due", certificates)
	m.onEvery(": certificates of either authority", certificates)
	r := l.stop()
	r.report(t, 0, time.Minute)
	r.answered(t)
	if r.unsure > 0 {
		t.Errorf("%d answers were MAYBE", r.unsure)
	}
	r.verify(t, l, 2, c.nodes...)
	for _, n := range c.nodes {
		if n.said("refused") > 0 {
			t.Errorf("%s refused somebody", n.name)
		}
	}
	c.nodes[1].terminate(t) // and what was changed last is good for a new connection
	c.nodes[1].start(t)
	c.awaitAlive(t)
	m.complete()
}
