//go:build linux

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
)

// kind is one way to break something.
type kind struct {
	name   string
	weight int
	grave  bool // more nodes than a minority: NOQUORUM and MAYBE are true answers, a lost write is none
	silent bool // clients of the victims may have to wait for their answers
	mayEnd bool // the victims may end by themselves
	begin  func(n *nemesis, e *episode) error
	end    func(n *nemesis, e *episode) error
}

// menu returns every kind.
func menu() []kind {
	return []kind{
		{name: "kill", weight: 3, silent: true, begin: killed, end: started},
		{name: "stop", weight: 3, silent: true, begin: stopped, end: continued},
		{name: "restart", weight: 1, silent: true, begin: terminated, end: started},
		{name: "cut", weight: 3, begin: cut, end: joined},
		{name: "deaf", weight: 2, begin: deaf, end: joined},
		{name: "mute", weight: 2, begin: mute, end: joined},
		{name: "loss", weight: 2, begin: lossy, end: joined},
		{name: "slow", weight: 2, silent: true, begin: slowed, end: unslowed},
		{name: "disk-near", weight: 1, begin: diskNear, end: diskFree},
		{name: "disk-full", weight: 1, silent: true, mayEnd: true, begin: diskFull, end: diskFree},
		{name: "clock", weight: 2, silent: true, begin: clockWrong, end: clockRight},
		{name: "majority", weight: 1, grave: true, silent: true, begin: killed, end: started},
	}
}

// menuOf returns the kinds of these names, all without any.
func menuOf(names string) ([]kind, error) {
	all := menu()
	if names == "" {
		return all, nil
	}
	var chosen []kind
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(k kind) bool { return k.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-faults: no such kind: %q", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// each does one thing to every victim.
func (e *episode) each(n *nemesis, do func(s *server) error) error {
	var errs []error
	for _, v := range e.victims {
		errs = append(errs, do(n.servers[v]))
	}
	return errors.Join(errs...)
}

func killed(n *nemesis, e *episode) error { return e.each(n, (*server).kill) }

func terminated(n *nemesis, e *episode) error { return e.each(n, (*server).terminate) }

func started(n *nemesis, e *episode) error {
	return e.each(n, func(s *server) error { return s.start(0) })
}

func stopped(n *nemesis, e *episode) error {
	return e.each(n, func(s *server) error { return s.cmd.Process.Signal(syscall.SIGSTOP) })
}

func continued(n *nemesis, e *episode) error {
	return e.each(n, func(s *server) error { return s.cmd.Process.Signal(syscall.SIGCONT) })
}

// others returns the nodes that are not victims.
func (e *episode) others(n *nemesis) (rest []int) {
	for i := range n.servers {
		if !slices.Contains(e.victims, i) {
			rest = append(rest, i)
		}
	}
	return rest
}

// cut sets the victims, who still see each other, apart from the rest.
func cut(n *nemesis, e *episode) error { return errors.Join(deaf(n, e), mute(n, e)) }

// deaf lets nothing of the rest reach the victims.
func deaf(n *nemesis, e *episode) error {
	return e.each(n, func(s *server) error { return n.network.drop(e.id, s.index, e.others(n), 100) })
}

// mute lets nothing of the victims reach the rest.
func mute(n *nemesis, e *episode) error {
	var errs []error
	for _, o := range e.others(n) {
		errs = append(errs, n.network.drop(e.id, o, e.victims, 100))
	}
	return errors.Join(errs...)
}

// lossy loses some of the packets to the victims.
func lossy(n *nemesis, e *episode) error {
	percent := 5 + n.rng.IntN(50)
	return e.each(n, func(s *server) error { return n.network.drop(e.id, s.index, e.others(n), percent) })
}

func joined(n *nemesis, e *episode) error {
	var errs []error
	for i := range n.servers {
		errs = append(errs, n.network.restore(e.id, i))
	}
	return errors.Join(errs...)
}

func slowed(n *nemesis, e *episode) error {
	kbit := 64 << n.rng.IntN(5)
	return e.each(n, func(s *server) error { return slow(s.index, kbit) })
}

func unslowed(n *nemesis, e *episode) error {
	return e.each(n, func(s *server) error { return unslow(s.index) })
}

// diskNear leaves less than a node wants to keep for deletes and handoff: it refuses writes.
func diskNear(n *nemesis, e *episode) error {
	return e.each(n, func(s *server) error { return s.disk.fill(nearlyMax) })
}

// diskFull leaves nothing: a node that cannot write its log ends.
func diskFull(n *nemesis, e *episode) error {
	return e.each(n, func(s *server) error { return s.disk.fill(0) })
}

func diskFree(n *nemesis, e *episode) error {
	return e.each(n, func(s *server) error {
		if err := s.disk.free(); err != nil || s.running() {
			return err
		}
		return s.start(0)
	})
}

// clockWrong starts the victims again with their clocks off, within the drift that the cluster bears or far beyond.
func clockWrong(n *nemesis, e *episode) error {
	off := time.Duration(1+n.rng.IntN(4)) * time.Second
	if n.rng.IntN(2) == 0 {
		off = time.Duration(10+n.rng.IntN(600)) * time.Second
	}
	if n.rng.IntN(2) == 0 {
		off = -off
	}
	return e.each(n, func(s *server) error { return s.restart(off) })
}

func clockRight(n *nemesis, e *episode) error {
	return e.each(n, func(s *server) error { return s.restart(0) })
}
