//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
)

// bookKeys are written before all that docs/operations.md does to a cluster, and read after it.
const bookKeys = 2000

// keyed gives a node's /etc/holdfast the cluster's key, and the node's place in the cluster's network.
func (m *manual) keyed(n *member) *member {
	m.t.Helper()
	const key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	err := os.MkdirAll(m.etc(n), 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(m.etc(n), "cluster.key"), []byte(key+"\n"), 0o600)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

// more returns a node that is not of the cluster yet. It ends with the cluster.
func (m *manual) more(name string, last int) *member {
	m.t.Helper()
	n := &member{name: name, host: fmt.Sprint(m.network, last), dir: filepath.Join(m.t.TempDir(), name), program: m.c.nodes[0].program,
		log: filepath.Join(m.t.TempDir(), name+".log")}
	m.c.nodes = append(m.c.nodes, n)
	return m.keyed(n)
}

// rests waits by the page's own commands until the ring does not change, and wants these nodes to be what it is made of.
func (m *manual) rests(asked *member, nodes int) {
	m.t.Helper()
	await(m.t, asked.name+" serves", asked.ready)
	m.on(asked, "There, too: returns when the change is complete")
	if status, want := m.on(asked, "On any node."), fmt.Sprintf("\nall %d nodes alive\n", nodes); !strings.Contains(status, want) {
		m.t.Fatalf("status of %s, want %q:\n%s", asked.name, want, status)
	}
}

// watched returns what the page's command that goes on until ctrl-C shows in the meantime.
func (m *manual) watched(n *member, act func()) string {
	m.t.Helper()
	var shown strings.Builder
	cmd := m.command(m.desk, "exec "+strings.TrimSpace(m.block("On any node, until ctrl-C")), n)
	cmd.Stdout = &shown
	if err := start(cmd); err != nil {
		m.t.Fatal(err)
	}
	act()
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait() // which says that it was interrupted
	return shown.String()
}

// TestTheRingByTheBook does all that docs/operations.md says of changing, repairing and looking at a cluster, in turn, and wants
// every key to be there at the end.
func TestTheRingByTheBook(t *testing.T) {
	c := plan(t, 3, t.TempDir(), "--partitions", "16")
	m := openManual(t, c, "Look", "Change the cluster", "Repair", "Proxies")
	for _, n := range c.nodes {
		n.flags = append(n.flags, "--cluster-key", filepath.Join(m.etc(m.keyed(n)), "cluster.key"))
		n.start(t)
	}
	c.awaitAlive(t)
	one, two, three := c.nodes[0], c.nodes[1], c.nodes[2]
	names := fill(t, c.nodes, bookKeys)

	four := m.more("node-4", 13)
	shown := m.watched(one, func() {
		m.start(four, "On the new node, with its name in NAME and its address in HOST")
		m.rests(four, 4)
	})
	if !strings.Contains(shown, "NODE ") || !strings.Contains(shown, "all 3 nodes alive") {
		t.Errorf("status --watch showed:\n%s", shown)
	}
	for _, title := range []string{"On any node: all partitions", "On any node: the stored rows", "On any node: one partition"} {
		if found := m.on(one, title); !strings.Contains(found, " partitions compared, 0 rows taken, ") {
			t.Errorf("%s:\n%s", title, found)
		}
	}
	m.proxied(names)
	m.shrunk(four)
	m.rests(one, 3)
	m.otherDisk(two)
	m.rests(two, 3)

	three.kill(t)
	m.dead = three.name
	c.part(t, three)
	five := m.more("node-5", 14)
	m.start(five, "On the new node, with its name in NAME, its address in HOST, and the dead one's name in DEAD")
	m.rests(five, 3)
	five.kill(t)
	m.struckOff(one, five)
	m.rests(one, 2)
	holdsAlone(t, one, names)
	holdsAlone(t, two, names)
	m.complete()
}

// struckOff gives a node up that was just killed: the page says that it may have to be asked for again.
func (m *manual) struckOff(asked, gone *member) {
	m.t.Helper()
	m.dead = gone.name
	m.c.part(m.t, gone)
	commands := m.block("On any node, with the dead one's name in DEAD")
	await(m.t, gone.name+" is given up", func() error {
		if text, err := m.command(m.desk, commands, asked).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, text)
		}
		return nil
	})
}

// proxied starts a proxy, reads through it and stops it.
func (m *manual) proxied(names []string) {
	m.t.Helper()
	p := m.more("proxy-1", 30)
	p.dir = ""
	m.start(p, "Beside the clients")
	await(m.t, "the proxy serves", p.ready)
	if got, err := redis.String(p.client(m.t).Do("GET", names[0])); got != names[0] || err != nil {
		m.t.Errorf("GET through the proxy: %q, %v", got, err)
	}
	p.terminate(m.t)
	m.c.part(m.t, p)
}

// shrunk has a node leave, and waits until it has ended by itself.
func (m *manual) shrunk(n *member) {
	m.t.Helper()
	m.on(n, "On the node that is to go")
	<-n.done
	if n.err != nil || n.said("left the cluster") == 0 {
		m.t.Errorf("%s ended: %v", n.name, n.err)
	}
	m.c.part(m.t, n)
}

// otherDisk replaces a node's disk.
func (m *manual) otherDisk(n *member) {
	m.t.Helper()
	m.on(n, "On the node, with its process id in PID")
	<-n.done
	m.on(n, "There, when it has ended")
	m.start(n, "There, with its name in NAME")
}
