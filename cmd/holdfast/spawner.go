package main

import (
	"os/exec"
	"runtime"
)

// spawner starts processes from one thread that lives until Close. On Linux the kernel kills a child with Pdeathsig when the
// thread that started it ends, not when the process does, and Go ends threads as it pleases, unless a goroutine is locked to it.
type spawner struct {
	requests chan spawnRequest
	ended    chan struct{}
}

type spawnRequest struct {
	cmd  *exec.Cmd
	done chan<- error
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan spawnRequest), ended: make(chan struct{})}
	go s.loop()
	return s
}

// loop never unlocks its thread, so that the thread ends with it.
func (s *spawner) loop() {
	runtime.LockOSThread()
	defer close(s.ended)
	for r := range s.requests {
		r.done <- r.cmd.Start()
	}
}

// start starts cmd. It must not be called after Close.
func (s *spawner) start(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	s.requests <- spawnRequest{cmd, done}
	return <-done
}

// Close ends the thread, and with it every child that still runs.
func (s *spawner) Close() {
	close(s.requests)
	<-s.ended
}
