//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/holdfastdb/holdfast/protocol"
)

// Ports of a node. Each has a network of its own, so that they are all the same.
const (
	respPort   = "7001"
	httpPort   = "7002"
	peerPort   = "7003"
	gossipPort = "7004"
)

// server is one node: a disk, an address, and, while it runs, a process. One goroutine starts and ends it.
type server struct {
	index  int
	args   []string
	plant  string // a bug
	disk   disk
	cmd    *exec.Cmd
	done   chan struct{} // closed when the process has ended
	err    error         // of its end; read after done
	wanted bool          // to run: an end is the node's own doing
	since  time.Time     // of its start
}

func (s *server) name() string   { return netOf(s.index) }
func (s *server) resp() string   { return hostOf(s.index) + ":" + respPort }
func (s *server) gossip() string { return hostOf(s.index) + ":" + gossipPort }
func (s *server) log() string    { return filepath.Join(work, s.name()+".log") }
func (s *server) wrote() string  { return filepath.Join(work, s.name()+".journal") }

// newServer returns a node that has not been started.
func newServer(index int, o options, seeds []string) (*server, error) {
	s := &server{index: index, plant: o.plant}
	host := hostOf(index) + ":"
	s.args = []string{o.program, "server", "--name", s.name(), "--insecure", "--resp", s.resp(), "--http", host + httpPort,
		"--peer", host + peerPort, "--gossip", s.gossip(), "--memcache", "127.0.0.1:7005", "--memory", fmt.Sprint(memoryMax),
		"--join", strings.Join(seeds, ","), "--expect", fmt.Sprint(o.nodes)}
	var err error
	s.disk, err = newDisk(s.name())
	s.args = append(s.args, "--dir", s.disk.data())
	return s, err
}

// start starts the process with its clock off by so much. The process ends with the sandbox.
func (s *server) start(clock time.Duration) error {
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := inside(s.index, s.args[0], s.args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = []string{"HOME=/", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOLDFAST_CLOCK_OFFSET=" + clock.String(), "HOLDFAST_FAULT=" + s.plant,
		"HOLDFAST_JOURNAL=" + s.wrote()}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	s.cmd, s.done, s.wanted, s.since = cmd, done, true, time.Now()
	go func() { // ends with the process
		s.err = cmd.Wait()
		close(done)
	}()
	return nil
}

func (s *server) running() bool {
	if s.done == nil {
		return false
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// kill ends the process at once, whatever state it is in.
func (s *server) kill() error {
	s.wanted = false
	if !s.running() {
		return nil
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.done
	return nil
}

// terminate ends the process in order.
func (s *server) terminate() error {
	s.wanted = false
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.done:
	case <-time.After(drainMax):
		return errors.Join(fmt.Errorf("%s still runs %v after SIGTERM", s.name(), drainMax), s.kill())
	}
	if s.err == nil || s.unborn() {
		return nil
	}
	return fmt.Errorf("%s on SIGTERM: %w", s.name(), s.err)
}

// unborn reports whether SIGTERM met the process before it listened to signals: then the kernel ended it.
func (s *server) unborn() bool {
	status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signal() == syscall.SIGTERM && time.Since(s.since) < birthMax
}

// restart ends the process in order and starts it again.
func (s *server) restart(clock time.Duration) error {
	return errors.Join(s.terminate(), s.start(clock))
}

// dial connects a client.
func (s *server) dial() (redis.Conn, error) {
	return redis.Dial("tcp", s.resp(), redis.DialConnectTimeout(dialMax), redis.DialReadTimeout(replyMax), redis.DialWriteTimeout(replyMax))
}

// status asks the node how all are.
func (s *server) status() (protocol.Status, error) {
	var answer protocol.Status
	conn, err := s.dial()
	if err != nil {
		return answer, err
	}
	defer conn.Close()
	text, err := redis.Bytes(conn.Do("HOLDFAST", "STATUS"))
	if err != nil {
		return answer, err
	}
	return answer, json.Unmarshal(text, &answer)
}

// quiet returns nil if the node sees all nodes alive and nobody keeps a hint.
func (s *server) quiet(nodes int) error {
	status, err := s.status()
	if err != nil {
		return err
	}
	if len(status.Nodes) != nodes {
		return fmt.Errorf("%s knows %d nodes", s.name(), len(status.Nodes))
	}
	for _, n := range status.Nodes {
		if !n.Alive || n.Hints > 0 {
			return fmt.Errorf("%s sees %s alive: %v, with %d hints", s.name(), n.Name, n.Alive, n.Hints)
		}
	}
	return nil
}
