//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// tail is the latency of an open-loop run.
type tail struct {
	entrant string
	load    string
	result  openResult
}

// runOpen loads the system at a rate; with victim, that process is killed with SIGKILL in the middle. The clients are at
// the first nodes, which go on.
func runOpen(ctx context.Context, name string, s *system, perSecond float64, victim *process) (tail, error) {
	t := tail{entrant: name, load: fmt.Sprintf("%.0f/s", perSecond)}
	at := s.addresses
	if victim != nil {
		at, t.load = at[:len(at)-1], t.load+", kill -9 of a node in the middle"
	}
	plan := schedule{connections: connections, perSecond: perSecond, duration: openFor,
		dial: func(i int) (net.Conn, error) { return net.Dial("tcp", at[i%len(at)]) }}
	killed := make(chan error, 1)
	go func() { killed <- killAfter(ctx, victim, openFor/2) }()
	var err error
	t.result, err = plan.run(ctx)
	return t, errors.Join(err, <-killed)
}

func killAfter(ctx context.Context, victim *process, d time.Duration) error {
	if victim == nil {
		return nil
	}
	select {
	case <-time.After(d):
		return victim.kill()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// halfSaturated returns half of the throughput that a system reached with as many GETs as SETs, not pipelined.
func halfSaturated(cells []cell, entrant string) float64 {
	seconds := 0.0 // of a SET and a GET
	for _, c := range cells {
		if c.entrant == entrant && c.load.depth == 1 {
			seconds += 1 / median(c.rounds, func(s sample) float64 { return s.perSecond })
		}
	}
	return 1 / seconds // saturated, it does two
}
