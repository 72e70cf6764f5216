//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/holdfastdb/holdfast/protocol"
)

// laptop is a cluster as `holdfast dev` runs it.
type laptop struct {
	cmd   *exec.Cmd
	dir   string
	lines chan string // that dev prints; closed at its end
	log   string
}

// devNode is one of its nodes, as dev's line describes it.
type devNode struct {
	name, resp, dir string
	pid             int
}

// dev starts three nodes on free ports, and returns them once they serve.
func dev(t *testing.T) (*laptop, []devNode) {
	t.Helper()
	d := &laptop{dir: filepath.Join(t.TempDir(), "dev"), lines: make(chan string, 256), log: filepath.Join(t.TempDir(), "dev.log")}
	d.cmd = exec.Command(program("holdfast"), "dev", "--dir", d.dir, "--resp-port", "0", "--memcache-port", "0", "--http-port", "0",
		"--peer-port", "0", "--gossip-port", "0")
	d.cmd.Env = []string{"HOME=/", "PATH=/usr/bin:/bin"}
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(d.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	d.cmd.Stderr = log
	out, err := d.cmd.StdoutPipe()
	if err == nil {
		err = start(d.cmd)
	}
	if err != nil {
		t.Fatal(err)
	}
	go d.read(out) // it ends with dev
	t.Cleanup(func() { d.end(t) })
	return d, d.untilReady(t)
}

func (d *laptop) read(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		d.lines <- lines.Text()
	}
	_ = d.cmd.Wait()
	close(d.lines)
}

// end stops dev and its nodes, and returns when it is gone.
func (d *laptop) end(t *testing.T) {
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	for line := range d.lines {
		t.Logf("dev at its end: %s", line)
	}
	if text, err := os.ReadFile(d.log); t.Failed() {
		t.Logf("log of dev: %s, %v", text[max(0, len(text)-logTail):], err)
	}
}

// next returns dev's next line that begins so.
func (d *laptop) next(t *testing.T, prefix string) (line string, passed []string) {
	t.Helper()
	for line := range d.lines {
		if strings.HasPrefix(line, prefix) {
			return line, passed
		}
		passed = append(passed, line)
	}
	t.Fatalf("dev ended without a line that begins with %q", prefix)
	return "", nil
}

// untilReady returns the nodes that dev says it has started, when it says that all serve.
func (d *laptop) untilReady(t *testing.T) (started []devNode) {
	t.Helper()
	_, lines := d.next(t, "ready")
	for _, line := range lines {
		var n devNode
		var memcache, http string
		if _, err := fmt.Sscanf(line, "%s pid=%d resp=%s memcache=%s http=%s dir=%s", &n.name, &n.pid, &n.resp, &memcache, &http, &n.dir); err == nil {
			started = append(started, n)
		}
	}
	return started
}

// kill ends a node with SIGKILL, and returns when dev has noticed.
func (d *laptop) kill(t *testing.T, n devNode) {
	t.Helper()
	if err := syscall.Kill(n.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.next(t, fmt.Sprintf("%s (pid %d) ended", n.name, n.pid))
}

// client connects for the rest of the test.
func (n devNode) client(t *testing.T) redis.Conn {
	t.Helper()
	conn, err := dialAt(n.resp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestANodeWhoseDirectoryIsDeletedIsFilledByTransferAlone deletes the data of one of three nodes; dev brings it back, and before anybody
// has read anything it holds all again. Then it is the only one alive, so that a read shows nothing but its own copies.
func TestANodeWhoseDirectoryIsDeletedIsFilledByTransferAlone(t *testing.T) {
	d, nodes := dev(t)
	want := concurrent(t, nodes, sized(500, 10_000))
	victim := nodes[2]
	d.kill(t, victim)
	if err := os.RemoveAll(victim.dir); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	d.untilReady(t)
	took := awaitWithin(t, sized(patience, restMax), "its replacement holds everything", func() error { return filled(nodes[0], victim.name, len(want)) })
	t.Logf("%d keys on it again %v after it served", len(want), took)
	for _, other := range nodes[:2] {
		d.kill(t, other)
	}
	conn := victim.client(t)
	must(t, conn, "HOLDFAST", "QUORUM", "R", 1)
	wrong := 0
	for key, reply := range fetch(t, conn, "GETV", keysOf(want)) {
		_, values := contextOf(reply)
		if slices.Sort(values); !slices.Equal(values, want[key]) {
			t.Logf("%s: %q, want %q", key, values, want[key])
			wrong++
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d keys are not as they were", wrong, len(want))
	}
}

// concurrent writes keys with one to three values that know nothing of each other, put through a node each, and returns them.
func concurrent(t *testing.T, nodes []devNode, keys int) map[string][]string {
	t.Helper()
	want := map[string][]string{}
	var conns []redis.Conn
	for _, n := range nodes {
		conns = append(conns, n.client(t))
	}
	for i := range keys {
		key := fmt.Sprint("key:", i)
		for j := range 1 + i%len(conns) {
			value := fmt.Sprint("value ", j, " of ", key)
			must(t, conns[j], "PUTCTX", key, "", value)
			want[key] = append(want[key], value)
		}
	}
	return want
}

// filled returns nil if a node says that nothing changes, and that all members, among them the one of this name, are active and hold so many keys.
func filled(asked devNode, name string, keys int) error {
	var s protocol.Status
	if err := askAt(asked.resp, &s, "STATUS"); err != nil {
		return err
	}
	if s.Change != nil {
		return fmt.Errorf("the ring changes: %+v", *s.Change)
	}
	siblings := s.Nodes[0].Siblings
	for _, n := range s.Nodes {
		if n.Status != "active" || n.Keys != int64(keys) || n.Siblings != siblings || siblings == 0 {
			return fmt.Errorf("%s is %s with %d keys of %d, %d siblings", n.Name, n.Status, n.Keys, keys, n.Siblings)
		}
	}
	if len(s.Nodes) != 3 || s.Nodes[2].Name != name {
		return fmt.Errorf("%d members", len(s.Nodes))
	}
	return nil
}
