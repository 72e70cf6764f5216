//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Ports of a node. Every node has a loopback address of its own, which nothing else uses.
const (
	respPort     = "20001"
	httpPort     = "20002"
	peerPort     = "20003"
	gossipPort   = "20004"
	memcachePort = "20005"
)

const (
	patience  = 60 * time.Second // for whatever must happen; a machine may be busy
	pollEvery = 20 * time.Millisecond
	logTail   = 6 << 10 // bytes of a node's log that a failed test shows
)

// member is one node: a data directory, an address, and, while it runs, a process.
type member struct {
	name, host, dir, log string // no dir: a proxy
	flags                []string
	attributes           *syscall.SysProcAttr // nil: only Pdeathsig
	program              string

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // of Wait; read after done
}

func (m *member) resp() string   { return m.host + ":" + respPort }
func (m *member) http() string   { return m.host + ":" + httpPort }
func (m *member) peer() string   { return m.host + ":" + peerPort }
func (m *member) gossip() string { return m.host + ":" + gossipPort }

// arguments returns the command line. Later flags decide, so that m.flags may set anything anew.
func (m *member) arguments() []string {
	keeps := []string{"--dir", m.dir}
	if m.dir == "" {
		keeps = []string{"--proxy"}
	}
	return append(append([]string{"server", "--name", m.name, "--resp", m.resp(), "--http", m.http(), "--peer", m.peer(),
		"--gossip", m.gossip(), "--memcache", m.host + ":" + memcachePort, "--memory", "32MiB"}, keeps...), m.flags...)
}

// start starts the process. Its log goes on where the former process's ended.
func (m *member) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	m.cmd = exec.Command(m.program, m.arguments()...)
	m.cmd.Stderr = log
	m.cmd.Env = []string{"HOME=/", "PATH=/usr/bin:/bin"} // no HOLDFAST_* of the outside
	m.cmd.SysProcAttr = m.attributes
	if m.attributes == nil {
		m.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	m.cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := start(m.cmd); err != nil {
		t.Fatal(err)
	}
	cmd, done := m.cmd, make(chan struct{})
	m.done = done
	go func() {
		m.err = cmd.Wait()
		close(done)
	}()
}

func (m *member) running() bool {
	if m.done == nil {
		return false
	}
	select {
	case <-m.done:
		return false
	default:
		return true
	}
}

// signal sends a signal to the process by its id.
func (m *member) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := m.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("%v to %s: %v", sig, m.name, err)
	}
}

// kill ends the process with SIGKILL and returns when it is gone.
func (m *member) kill(t *testing.T) {
	t.Helper()
	m.signal(t, syscall.SIGKILL)
	<-m.done
}

// terminate ends the process with SIGTERM and checks that it ended well.
func (m *member) terminate(t *testing.T) {
	t.Helper()
	m.signal(t, syscall.SIGTERM)
	select {
	case <-m.done:
		if m.err != nil {
			t.Errorf("%s on SIGTERM: %v", m.name, m.err)
		}
	case <-time.After(patience):
		t.Errorf("%s still runs %v after SIGTERM", m.name, patience)
	}
}

// end makes sure that the process is gone, whatever state it is in.
func (m *member) end() {
	if m.running() {
		_ = m.cmd.Process.Kill() // it may have ended just now
		<-m.done
	}
}

// tail returns the end of the node's log.
func (m *member) tail() string {
	text, err := os.ReadFile(m.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-logTail):])
}

// ready returns nil if /readyz says that the node serves.
func (m *member) ready() error {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + m.http() + "/readyz")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz: %s", bytes.TrimSpace(body))
	}
	return err
}

// metric returns a metric's value as the node exposes it, by its full name with labels.
func (m *member) metric(t *testing.T, name string) string {
	t.Helper()
	answer, err := http.Get("http://" + m.http() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("%s has no metric %s", m.name, name)
	return ""
}

// line is one node's line of HOLDFAST STATUS.
type line struct {
	Name, Status       string
	Alive              bool
	Keys, Hints, Bytes int64
}

// status asks the node for the status of all.
func (m *member) status() ([]line, error) {
	var answer struct{ Nodes []line }
	err := m.ask(&answer, "STATUS")
	return answer.Nodes, err
}

// ask asks the node a question of HOLDFAST that is answered in JSON.
func (m *member) ask(answer any, question ...any) error { return askAt(m.resp(), answer, question...) }

func askAt(addr string, answer any, question ...any) error {
	conn, err := dialAt(addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	text, err := redis.Bytes(conn.Do("HOLDFAST", question...))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, answer)
}

// own returns the node's own line of its status.
func (m *member) own() (line, error) {
	lines, err := m.status()
	if err != nil {
		return line{}, err
	}
	for _, l := range lines {
		if l.Name == m.name {
			return l, nil
		}
	}
	return line{}, errors.New("its status does not list itself")
}

// dial connects a client that waits longer for an answer than any node may take.
func (m *member) dial() (redis.Conn, error) { return dialAt(m.resp()) }

func dialAt(addr string) (redis.Conn, error) {
	return redis.Dial("tcp", addr, redis.DialConnectTimeout(5*time.Second), redis.DialReadTimeout(20*time.Second),
		redis.DialWriteTimeout(20*time.Second))
}

// client connects for the rest of the test.
func (m *member) client(t *testing.T) redis.Conn {
	t.Helper()
	conn, err := m.dial()
	if err != nil {
		t.Fatalf("%s: %v", m.name, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// await polls until check returns nil. It fails the test with what check said last.
func await(t *testing.T, what string, check func() error) time.Duration {
	t.Helper()
	return awaitWithin(t, patience, what, check)
}

// awaitWithin is await with a patience of its own.
func awaitWithin(t *testing.T, patience time.Duration, what string, check func() error) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			t.Fatalf("%s: not within %v: %v", what, patience, err)
		}
		<-tick.C
	}
}
