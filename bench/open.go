package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// schedule is an open-loop load: commands are due at fixed moments, one GET for each SET, over connections that go on
// sending whether or not replies came.
type schedule struct {
	dial        func(i int) (net.Conn, error) // connection i
	connections int
	perSecond   float64
	duration    time.Duration
}

// openResult is what an open-loop run brought.
type openResult struct {
	sorted []time.Duration // from the scheduled moment to the reply, of every command that was answered well
	failed int             // error replies, and commands without a reply
	first  error           // the first of those
}

// run sends the schedule and returns when all is answered, or nothing more will be.
func (s schedule) run(ctx context.Context) (openResult, error) {
	conns := make([]net.Conn, s.connections)
	for i := range conns {
		conn, err := s.dial(i)
		if err != nil {
			return openResult{}, err
		}
		defer conn.Close()
		conns[i] = conn
	}
	results := make([]openResult, len(conns))
	begin := time.Now()
	var wg sync.WaitGroup
	for i, conn := range conns {
		due := make(chan time.Time, pipelineMax)
		wg.Go(func() { s.send(ctx, i, conn, begin, due) })
		wg.Go(func() { results[i] = receive(conn, due, begin.Add(s.duration+replyMax)) })
	}
	wg.Wait()
	return merged(results), ctx.Err()
}

// send writes connection i's share of the schedule. What is late leaves at once, together, and keeps its moment.
func (s schedule) send(ctx context.Context, i int, conn net.Conn, begin time.Time, due chan<- time.Time) {
	defer close(due)
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	value := strings.Repeat("x", valueBytes)
	var out []byte
	for n := i; ; {
		at := s.moment(begin, n)
		if at.Sub(begin) >= s.duration || ctx.Err() != nil {
			return
		}
		time.Sleep(time.Until(at))
		for out = out[:0]; len(out) < 1<<16 && !time.Now().Before(s.moment(begin, n)); n += s.connections {
			out = appendCommand(out, rng, value)
			due <- s.moment(begin, n)
		}
		if _, err := conn.Write(out); err != nil {
			s.missed(begin, n, due)
			return
		}
	}
}

// moment returns when command n of all connections is due.
func (s schedule) moment(begin time.Time, n int) time.Time {
	return begin.Add(time.Duration(float64(n) / s.perSecond * float64(time.Second)))
}

// missed counts what a broken connection can no longer send: receive fails every one.
func (s schedule) missed(begin time.Time, n int, due chan<- time.Time) {
	for ; s.moment(begin, n).Sub(begin) < s.duration; n += s.connections {
		due <- s.moment(begin, n)
	}
}

func appendCommand(dst []byte, rng *rand.Rand, value string) []byte {
	key := fmt.Sprintf("key:%012d", rng.IntN(keys))
	if rng.IntN(2) == 0 {
		return fmt.Appendf(dst, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(key), key)
	}
	return fmt.Appendf(dst, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(key), key, len(value), value)
}

// receive reads one reply for each moment.
func receive(conn net.Conn, due <-chan time.Time, deadline time.Time) (r openResult) {
	in := bufio.NewReader(conn)
	err := conn.SetReadDeadline(deadline)
	for at := range due {
		var refused error
		if err == nil {
			refused, err = readReply(in)
		}
		if failed := cmp.Or(err, refused); failed != nil {
			r.failed++
			r.first = cmp.Or(r.first, failed)
			continue
		}
		r.sorted = append(r.sorted, time.Since(at))
	}
	return r
}

// readReply reads a simple string, an error, which it returns as refused, or a bulk string.
func readReply(in *bufio.Reader) (refused, err error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	switch line[0] {
	case '-':
		return errors.New(strings.TrimSpace(line)), nil
	case '$':
		var n int
		if _, err := fmt.Sscan(line[1:], &n); err != nil || n < 0 {
			return nil, err
		}
		_, err = in.Discard(n + len("\r\n"))
	}
	return nil, err
}

func merged(results []openResult) (all openResult) {
	for _, r := range results {
		all.sorted = append(all.sorted, r.sorted...)
		all.failed += r.failed
		all.first = cmp.Or(all.first, r.first)
	}
	slices.Sort(all.sorted)
	return all
}
