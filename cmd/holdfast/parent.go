package main

import (
	"context"
	"os"
	"time"
)

// parent is the process that started this one. Only one that is the go tool matters: `go run` passes no signal on when it is
// killed, and the program that it ran would stay for ever. Any other parent (a shell, a script that ends) may go.
type parent struct {
	pid   int
	goRun bool
}

func startedBy() parent {
	pid := os.Getppid()
	return parent{pid: pid, goRun: processName(pid) == "go"}
}

// gone returns a channel that is closed once the go tool that started this process has ended; never for other parents. The
// kernel then gives the process to another parent, which is all that is looked at: a pid that is used again does not deceive.
func (p parent) gone(ctx context.Context) <-chan struct{} {
	gone := make(chan struct{})
	if p.goRun {
		go func() {
			tick := time.NewTicker(parentEvery)
			defer tick.Stop()
			for os.Getppid() == p.pid {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
			close(gone)
		}()
	}
	return gone
}
