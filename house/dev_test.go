package house

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// dev is a `holdfast dev` of three nodes, as the README starts it but for the ports.
type dev struct {
	resp [3]string // ports
	http string    // address of node-1
}

// startDev builds the program and starts it. It ends with the test.
func startDev(t *testing.T) *dev {
	t.Helper()
	program := filepath.Join(t.TempDir(), "holdfast")
	if out, err := exec.Command("go", "build", "-o", program, module+"/cmd/holdfast").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command(program, "dev", "--resp-port", "0", "--memcache-port", "0", "--http-port", "0", "--peer-port", "0", "--gossip-port", "0")
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 64) // more than dev prints in this test
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	return awaitReady(t, lines, ended)
}

// awaitReady reads the nodes' lines up to the one that says ready.
func awaitReady(t *testing.T, lines <-chan string, ended <-chan struct{}) *dev {
	t.Helper()
	d := new(dev)
	node := regexp.MustCompile(`^node-([123]) pid=\d+ resp=127\.0\.0\.1:(\d+) .*http=(\S+)`)
	deadline := time.After(30 * time.Second)
	for {
		select {
		case line := <-lines:
			if m := node.FindStringSubmatch(line); m != nil {
				d.resp[m[1][0]-'1'] = m[2]
				if m[1] == "1" {
					d.http = m[3]
				}
			}
			if regexp.MustCompile("^ready").MatchString(line) {
				return d
			}
		case <-ended:
			t.Fatal("dev ended before it was ready")
		case <-deadline:
			t.Fatal("dev is not ready")
		}
	}
}

// needs skips the test where a program is missing, except where CI=true promises that it is there.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("written for the tools of Linux")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed", p)
		}
		t.Skipf("%s is not installed", p)
	}
}
