//go:build linux

package e2e

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// The small disk. A node keeps 64 MiB for deletes and handoff at least, whatever the disk's size.
const (
	diskBytes     = 192 << 20
	diskFreeMin   = 16 << 20 // of the disk when writes are refused: it must not be full by then
	diskValue     = 512 << 10
	diskDeletions = 50
)

// smallDisk mounts a file system of diskBytes, for root only.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		lacking(t, "only root may mount a small file system")
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprint("size=", diskBytes)); err != nil {
		lacking(t, fmt.Sprintf("cannot mount a tmpfs: %v", err))
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// free returns the free bytes of the file system.
func free(t *testing.T, dir string) uint64 {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st.Bavail * uint64(st.Bsize)
}

// TestANearlyFullDiskRefusesWritesAndLosesNothing writes until writes are refused, and wants reads and deletes to go on, and all
// to be there after a kill.
func TestANearlyFullDiskRefusesWritesAndLosesNothing(t *testing.T) {
	disk := smallDisk(t)
	c := plan(t, 1, disk)
	m := c.nodes[0]
	m.start(t)
	c.awaitAlive(t)
	conn := m.client(t)
	keys, refused := fillDisk(t, conn)
	t.Logf("%d values of %d bytes fit into %d; then, with %d bytes free: %v", len(keys), diskValue, diskBytes, free(t, disk), refused)
	if !strings.HasPrefix(refused.Error(), "TRYAGAIN ") || !strings.Contains(refused.Error(), "disk") {
		t.Errorf("the refusal does not say what is the matter: %v", refused)
	}
	if left := free(t, disk); left < diskFreeMin {
		t.Errorf("only %d bytes were free when writes were refused, want %d", left, diskFreeMin)
	}
	whole(t, conn, keys)
	for _, key := range keys[:diskDeletions] {
		if n, err := redis.Int(conn.Do("DEL", key)); n != 1 || err != nil {
			t.Fatalf("DEL on a full disk: %d, %v", n, err)
		}
	}
	m.kill(t)
	m.start(t)
	c.awaitAlive(t)
	conn = m.client(t)
	whole(t, conn, keys[diskDeletions:])
	if n, err := redis.Int(conn.Do("EXISTS", redis.Args{}.AddFlat(keys[:diskDeletions])...)); n != 0 || err != nil {
		t.Errorf("%d of the deleted keys are back, %v", n, err)
	}
	c.allRun(t)
}

// TestAFullDiskOnOneOfThreeFailsNoWrite wants writes to go on through the other two.
func TestAFullDiskOnOneOfThreeFailsNoWrite(t *testing.T) {
	disk := smallDisk(t)
	c := plan(t, 3, t.TempDir())
	c.nodes[2].dir = disk + "/node-3"
	for _, m := range c.nodes {
		m.start(t)
	}
	c.awaitAlive(t)
	fillUp(t, disk)
	await(t, "the node notices that its disk is nearly full", func() error {
		if low := c.nodes[2].metric(t, "holdfast_disk_low"); low != "1" {
			return fmt.Errorf("holdfast_disk_low is %s", low)
		}
		return nil
	})
	l := load(t, connections, pause(), c.nodes...)
	l.during(sized(2*time.Second, 10*time.Second))
	r := l.stop()
	r.report(t, 0, faultWindow)
	r.answered(t)
	if err := os.Remove(disk + "/filler"); err != nil {
		t.Fatal(err)
	}
	c.awaitNoHints(t)
	r.verify(t, l, 1, c.nodes...)
	c.allRun(t)
}

// fillUp takes the disk's space up with a file, up to what a node keeps for deletes and handoff.
func fillUp(t *testing.T, disk string) {
	t.Helper()
	const keep = 40 << 20
	if err := os.WriteFile(disk+"/filler", make([]byte, free(t, disk)-keep), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fillDisk writes values that do not compress until one is refused.
func fillDisk(t *testing.T, conn redis.Conn) (keys []string, refused error) {
	t.Helper()
	value := make([]byte, diskValue)
	for len(keys) < 2*diskBytes/diskValue {
		_, _ = rand.Read(value)
		key := fmt.Sprint("big:", len(keys))
		_, err := conn.Do("SET", key, slices.Concat([]byte(key), value))
		var answer redis.Error
		switch {
		case err == nil:
			keys = append(keys, key)
		case errors.As(err, &answer):
			return keys, answer
		default:
			t.Fatalf("SET %s: %v", key, err)
		}
	}
	t.Fatalf("%d values were taken: more than the disk can hold", len(keys))
	return nil, nil
}

// whole wants every key to hold what fillDisk wrote.
func whole(t *testing.T, conn redis.Conn, keys []string) {
	t.Helper()
	for _, key := range keys {
		got, err := redis.String(conn.Do("GET", key))
		if err != nil || len(got) != len(key)+diskValue || !strings.HasPrefix(got, key) {
			t.Fatalf("%s: %.20q of %d bytes, %v", key, got, len(got), err)
		}
	}
}
