package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/protocol"
)

// The test binary plays other programs too. Which one, a variable says that dev hands on to its nodes.
const (
	roleVariable  = "HFTEST_ROLE"  // "holdfast": this program over fake nodes; "go": what `go run` is to it
	watchVariable = "HFTEST_WATCH" // every fake node connects here and stays connected while it lives
	stuckVariable = "HFTEST_STUCK" // fake nodes do not end in order
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "holdfast":
		p := &process{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), open: openFake}
		os.Exit(p.run(context.Background(), os.Args[1:]))
	case "go":
		os.Exit(playGo(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// playGo runs the program and waits, and passes nothing on, as `go run` does.
func playGo(args []string) int {
	program, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), roleVariable+"=holdfast")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return exitFailed
	}
	return exitDone
}

// fakeNode listens where a node would, answers what dev and the other commands ask, and keeps nothing.
type fakeNode struct {
	cfg               node.Config
	resp, web, gossip net.Listener
	watch             net.Conn
	wait              chan struct{}
	err               error
	release           chan struct{} // Shutdown returns when it is closed
}

func openFake(cfg node.Config) (server, error) {
	n := &fakeNode{cfg: cfg, wait: make(chan struct{}), release: make(chan struct{})}
	if os.Getenv(stuckVariable) == "" {
		close(n.release)
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, "foreign")); err == nil {
		return nil, &node.DirError{Dir: cfg.Dir, Problem: "belongs to another cluster"}
	}
	for _, l := range []struct {
		flag, addr string
		to         *net.Listener
	}{{"resp", cfg.RESP, &n.resp}, {"http", cfg.HTTP, &n.web}, {"gossip", cfg.Gossip, &n.gossip}} {
		listener, err := net.Listen("tcp", l.addr)
		if err != nil {
			return nil, &node.PortError{Flag: l.flag, Addr: l.addr, Err: err}
		}
		*l.to = listener
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if addr := os.Getenv(watchVariable); addr != "" {
		watch, err := net.Dial("tcp", addr)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(watch, "%s %d\n", cfg.Name, os.Getpid())
		n.watch = watch
	}
	cfg.Logger.Warn("a warning of the fake node")
	go n.serveRESP()
	go func() { _ = http.Serve(n.web, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) }()
	return n, nil
}

func (n *fakeNode) serveRESP() {
	for {
		conn, err := n.resp.Accept()
		if err != nil {
			return
		}
		go serveScript(conn, func(command string) string {
			switch command {
			case "PING":
				return "+PONG\r\n"
			case "HOLDFAST STATUS":
				return bulk(n.status())
			}
			return "-ERR unknown command\r\n"
		})
	}
}

// status shows as alive whoever listens on the gossip addresses, of which --join names node-1's first.
func (n *fakeNode) status() string {
	var s protocol.Status
	for i, addr := range n.cfg.Join {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		s.Nodes = append(s.Nodes, protocol.NodeStatus{Name: "node-" + strconv.Itoa(i+1), Status: "active", Alive: err == nil})
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (n *fakeNode) Wait() <-chan struct{} { return n.wait }
func (n *fakeNode) Err() error            { return n.err }
func (n *fakeNode) Addrs() (resp, memcache, http, peer, gossip string) {
	return n.cfg.RESP, n.cfg.Memcache, n.cfg.HTTP, n.cfg.Peer, n.cfg.Gossip
}
func (n *fakeNode) Shutdown(ctx context.Context) error {
	<-n.release
	return nil
}

func bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

// serveScript reads commands from conn and writes what answer says, until either side has had enough.
func serveScript(conn net.Conn, answer func(command string) string) {
	defer conn.Close()
	for r := bufio.NewReader(conn); ; {
		command, err := readCommand(r)
		if err != nil {
			return
		}
		if _, err := conn.Write([]byte(answer(command))); err != nil {
			return
		}
	}
}

func readCommand(r *bufio.Reader) (string, error) {
	var words []string
	for left := 1; left > 0; left-- {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		line = strings.TrimSpace(line)
		if n, ok := strings.CutPrefix(line, "*"); ok {
			count, err := strconv.Atoi(n)
			if err != nil {
				return "", err
			}
			left += 2 * count
		} else if !strings.HasPrefix(line, "$") {
			words = append(words, line)
		}
	}
	return strings.Join(words, " "), nil
}

// scripted listens and answers every command with answer. It returns the address.
func scripted(t *testing.T, answer func(command string) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveScript(conn, answer)
		}
	}()
	return l.Addr().String()
}

// outcome is what one run of the program left behind.
type outcome struct {
	code           int
	stdout, stderr string
}

// runHere runs the program in this process.
func runHere(t *testing.T, open opener, args ...string) outcome {
	t.Helper()
	var stdout, stderr strings.Builder
	p := &process{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, open: open}
	code := p.run(t.Context(), args)
	return outcome{code, stdout.String(), stderr.String()}
}

// golden compares text with a file of testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, text, cmp.Or(string(want), "no such file"))
	}
}
