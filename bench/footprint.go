//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// footprint is the memory of a system's only process, in bytes.
type footprint struct {
	name           string
	most, resident int64 // at any time; at the end
}

// startUp is how long a node that was stopped in some way takes until it answers a read and a write.
type startUp struct {
	how  string
	keys int
	took time.Duration
}

// compareMemory loads the same keys into redis-server and into one node that is given room for them.
func (g *growth) compareMemory(ctx context.Context, o options, dir string) error {
	peer, err := startRedis(ctx, dir, 0)
	if err == nil {
		err = g.weigh(ctx, peerName, peer)
	}
	if err := errors.Join(err, peer.stop()); err != nil {
		return err
	}
	o.nodes = 1
	return g.on(ctx, o, filepath.Join(dir, "holdfast"), func(s *system) error {
		return g.weigh(ctx, "holdfast, --memory "+memoryFlag, s)
	}, "--n", "1", "--r", "1", "--w", "1", "--memory", memoryFlag)
}

// weigh fills the system, and reads its memory once it has settled.
func (g *growth) weigh(ctx context.Context, name string, s *system) error {
	if err := fill(ctx, s.addresses[0], 0, memoryKeys); err != nil {
		return err
	}
	if _, _, err := s.settle(ctx); err != nil {
		return err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.processes[0].cmd.Process.Pid))
	if err != nil {
		return err
	}
	f := footprint{name: name}
	f.most, err = statusBytes(string(status), "VmHWM")
	if err == nil {
		f.resident, err = statusBytes(string(status), "VmRSS")
	}
	g.sizes = append(g.sizes, f)
	progress("%s: %d bytes", name, f.most)
	return err
}

// statusBytes takes a size out of /proc/PID/status.
func statusBytes(status, field string) (int64, error) {
	in := bufio.NewScanner(strings.NewReader(status))
	for in.Scan() {
		if name, rest, ok := strings.Cut(in.Text(), ":"); ok && name == field {
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in the status of a process", field)
}

// fill sets the keys from one number up to another, as redis-benchmark names them, to values that do not compress to nothing.
func fill(ctx context.Context, address string, from, to int) error {
	conn, err := redis.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	rng := rand.New(rand.NewPCG(1, uint64(from)))
	value := make([]byte, valueBytes)
	for ; from < to && ctx.Err() == nil; from += growthFill {
		n := min(growthFill, to-from)
		for i := range n {
			for j := range value {
				value[j] = byte('a' + rng.IntN(16))
			}
			if err := conn.Send("SET", fmt.Sprintf("key:%012d", from+i), value); err != nil {
				return err
			}
		}
		if err := conn.Flush(); err != nil {
			return err
		}
		for range n {
			if _, err := conn.Receive(); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// settle waits until the servers have nothing to do any more, and returns the CPU that they have used in all, and how many cores
// they still use.
func (s *system) settle(ctx context.Context) (cpu time.Duration, idle float64, err error) {
	end := time.Now().Add(settleMax)
	cpu, err = s.cpu()
	for err == nil {
		select {
		case <-time.After(settleOver):
		case <-ctx.Done():
			return cpu, idle, ctx.Err()
		}
		before := cpu
		cpu, err = s.cpu()
		idle = (cpu - before).Seconds() / settleOver.Seconds()
		if idle < settleShare*float64(len(s.processes)) || time.Now().After(end) {
			return cpu, idle, err
		}
	}
	return cpu, idle, err
}

// startAgain stops the node in order, and then by SIGKILL right after a load of writes, and measures its start each time.
func (g *growth) startAgain(ctx context.Context, s *system, keys int) error {
	if err := s.processes[0].stop(); err != nil {
		return err
	}
	if err := g.revive(ctx, s, "a clean stop", keys); err != nil {
		return err
	}
	writes := shape{connections, valueBytes, keys}
	if _, err := runClosed(ctx, entrant{name: "holdfast", system: s}, load{"set", 16}, writes, 100*growthFill); err != nil {
		return err
	}
	if err := s.processes[0].kill(); err != nil {
		return err
	}
	return g.revive(ctx, s, "kill -9 after 100,000 writes", keys)
}

// revive starts the node again, with the command that it was started with.
func (g *growth) revive(ctx context.Context, s *system, how string, keys int) error {
	old := s.processes[0]
	begin := time.Now()
	p, err := start(filepath.Dir(old.log), "again", nil, old.cmd.Args[0], old.cmd.Args[1:]...)
	if err != nil {
		return err
	}
	s.processes[0] = p
	if err := s.await(ctx); err != nil {
		return err
	}
	g.starts = append(g.starts, startUp{how, keys, time.Since(begin)})
	progress("start after %s: %v", how, time.Since(begin))
	return nil
}
