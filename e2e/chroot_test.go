//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/gomodule/redigo/redis"
)

// nobody is the user that the container runs as, too.
const nobody = 65534

// TestStaticBinaryRunsInAnEmptyRootUnprivileged is what the container image promises: nothing but the program, a user without
// rights, and one directory that it may write to.
func TestStaticBinaryRunsInAnEmptyRootUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		lacking(t, "only root may change the root directory")
	}
	root := t.TempDir()
	if err := goBuild(filepath.Join(root, "holdfast"), []string{"CGO_ENABLED=0"}, "./cmd/holdfast"); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(root, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	c := plan(t, 1, root)
	m := c.nodes[0]
	m.program, m.dir = "/holdfast", "/data"
	m.attributes = confined(root)
	m.start(t)
	c.awaitAlive(t)
	conn := m.client(t)
	must(t, conn, "SET", "k", "v")
	inside(t, root, "ready", "--addr", m.resp())
	inside(t, root, "ready", "--http", m.http())
	inside(t, root, "status", "--addr", m.resp())
	m.terminate(t)
	if entries, err := os.ReadDir(root); len(entries) != 2 || err != nil {
		t.Errorf("it left more than its data: %v, %v", entries, err)
	}
	m.start(t)
	c.awaitAlive(t)
	if got, err := redis.String(m.client(t).Do("GET", "k")); got != "v" || err != nil {
		t.Errorf("after a restart: %q, %v", got, err)
	}
	m.terminate(t)
}

// confined starts a process in a root of its own, as nobody.
func confined(root string) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

// inside runs the program in the root and wants it to succeed.
func inside(t *testing.T, root string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/holdfast", args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = "/", []string{}, confined(root)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("holdfast %q: %v: %s", args, err, out)
	}
}
