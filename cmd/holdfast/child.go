package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// child is one process of a node.
type child struct {
	node    int // index
	pid     int
	started time.Time
	cmd     *exec.Cmd
	life    io.Closer // the write end of the child's stdin, whose end tells it that dev is gone
	log     *nodeLog
	revive  bool // to be started again when it has ended: it was killed just before SIGUSR1
}

// startChild starts a process of the node whose every output goes to its log.
func (s *supervisor) startChild(i int) (*child, error) {
	n := s.nodes[i]
	log, err := openNodeLog(n.name, n.dir+".log", LogFileBytes, s.p.stderr)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(s.program, s.arguments(i)...)
	cmd.Env = nodeEnviron(s.p.environ, len(s.nodes), runtime.GOMAXPROCS(0))
	cmd.SysProcAttr = childAttributes()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = askTimeout // a grandchild that holds the log open must not hold the news of the death
	life, err := cmd.StdinPipe()
	if err == nil {
		err = s.spawner.start(cmd)
	}
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return &child{node: i, pid: cmd.Process.Pid, started: time.Now(), cmd: cmd, life: life, log: log}, nil
}

// arguments returns a node's. One whose directory is gone while others have theirs comes back as its own replacement.
func (s *supervisor) arguments(i int) []string {
	n := s.nodes[i]
	if !blank(n.dir) || !slices.ContainsFunc(s.nodes, func(other devNode) bool { return !blank(other.dir) }) {
		return n.args
	}
	return append(slices.Clone(n.args), "--replace", n.name)
}

// blank reports whether a directory is not there, or empty.
func blank(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err != nil || len(entries) == 0
}

// nodeEnviron returns a node's environment, from dev's own. The variables that are flags stay behind, since they were meant
// for dev. The nodes share the cores: a runtime that took all of them for its own would wake threads that only look for
// work, at a quarter of the CPU of a replicated command on two cores. Who sets GOMAXPROCS decides otherwise.
func nodeEnviron(environ []string, nodes, cores int) []string {
	kept := withoutFlags(environ)
	for _, variable := range kept {
		if strings.HasPrefix(variable, "GOMAXPROCS=") {
			return kept
		}
	}
	return append(kept, fmt.Sprint("GOMAXPROCS=", (cores+nodes-1)/nodes))
}

// withoutFlags returns the variables that are not flags of holdfast.
func withoutFlags(environ []string) []string {
	kept := make([]string, 0, len(environ))
	for _, variable := range environ {
		if !strings.HasPrefix(variable, "HOLDFAST_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// wait returns when the process has ended, with how, in a word or two. The log is complete and closed then.
func (c *child) wait() string {
	err := c.cmd.Wait()
	_ = c.log.Close() // what it could not write is lost already
	state := c.cmd.ProcessState
	if state == nil {
		return err.Error()
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return status.Signal().String()
	}
	return state.String()
}

// stop asks the process to end in order. One that is paused is woken to hear it.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	_ = c.cmd.Process.Signal(syscall.SIGCONT)
}

// kill ends the process.
func (c *child) kill() { _ = c.cmd.Process.Signal(os.Kill) }
