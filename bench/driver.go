//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// driver is a closed loop of this command's own, for what redis-benchmark cannot ask. As there, a connection sends a whole
// pipeline at once, and the next when all of that is answered.
type driver struct {
	dial func() (net.Conn, error)
	exchange
	shape
	depth int
}

// run sends n commands, in whole pipelines, and returns how many a second that were, and how long a command took from when its
// pipeline was sent until all of that was answered. The first refusal ends it.
func (d driver) run(ctx context.Context, n int) (sample, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conns := make([]net.Conn, d.connections)
	for i := range conns {
		conn, err := d.dial()
		if err != nil {
			return sample{}, err
		}
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		conns[i] = conn
	}
	var left atomic.Int64 // pipelines
	left.Store(int64(n / d.depth))
	results := make([][]time.Duration, len(conns))
	begin := time.Now()
	var wg sync.WaitGroup
	for i, conn := range conns {
		wg.Go(func() {
			var err error
			if results[i], err = d.loop(conn, &left); err != nil {
				cancel(err) // which only the first error does
			}
		})
	}
	wg.Wait()
	seconds := time.Since(begin).Seconds()
	if err := context.Cause(ctx); err != nil {
		return sample{}, err
	}
	took := slices.Concat(results...)
	slices.Sort(took)
	at := func(p float64) time.Duration { return percentile(took, p).Round(time.Microsecond) }
	return sample{perSecond: float64(len(took)*d.depth) / seconds, p50: at(0.5), p99: at(0.99)}, nil
}

// loop sends pipelines over one connection while any are left, and returns how long each took.
func (d driver) loop(conn net.Conn, left *atomic.Int64) (took []time.Duration, err error) {
	p := newPipeline(d.ask(keyZero, strings.Repeat("x", d.valueBytes)), d.depth, d.last)
	in := bufio.NewReader(conn)
	for left.Add(-1) >= 0 {
		p.draw(d.keys)
		begin := time.Now()
		if err := conn.SetDeadline(begin.Add(replyMax)); err != nil {
			return nil, err
		}
		if _, err := conn.Write(p.bytes); err != nil {
			return nil, err
		}
		if err := d.replies(in, d.depth); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
	}
	return took, nil
}

// keyZero stands for all keys in a pipeline: its digits are overwritten.
const (
	keyDigits = 12
	keyZero   = "key:000000000000"
)

// pipeline is commands on the same key, which is overwritten by one drawn anew for each command before each sending: to
// write the commands anew would cost more than to send them.
type pipeline struct {
	bytes              []byte
	first, step, depth int // where the first command's digits are, how far from there to the next command's, and how many
}

func newPipeline(command string, depth int, last string) pipeline {
	return pipeline{
		bytes: []byte(strings.Repeat(command, depth) + last),
		first: strings.Index(command, keyZero) + len(keyZero) - keyDigits, step: len(command), depth: depth,
	}
}

// draw draws every command's key.
func (p pipeline) draw(keys int) {
	for i := range p.depth {
		at := p.first + i*p.step
		setDigits(p.bytes[at:at+keyDigits], rand.IntN(keys))
	}
}

// setDigits fills dst with n in decimal, with leading zeros.
func setDigits(dst []byte, n int) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
}

// drive saturates an entrant of a dialect of its own.
func drive(ctx context.Context, e entrant, l load, sh shape, n int) (sample, error) {
	d := driver{exchange: e.dialect[l.command], shape: sh, depth: l.depth,
		dial: func() (net.Conn, error) { return net.Dial("tcp", e.system.addresses[0]) }}
	s, err := d.run(ctx, n)
	if err != nil {
		return s, fmt.Errorf("%s against %s: %w", l, e.name, err)
	}
	return s, nil
}
