//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// system is what is measured: one server, or a cluster of them.
type system struct {
	processes []*process
	addresses []string                   // where clients go: all nodes', or the only server's or the primary's, whose process is the first
	probe     func(address string) error // nil once that server takes writes
}

// cpu returns what all processes together have used.
func (s *system) cpu() (sum time.Duration, err error) {
	for _, p := range s.processes {
		one, failed := p.cpu()
		sum, err = sum+one, errors.Join(err, failed)
	}
	return sum, err
}

func (s *system) stop() (err error) {
	for _, p := range s.processes {
		err = errors.Join(err, p.stop())
	}
	return err
}

// startHoldfast founds a cluster and returns when every node serves.
func startHoldfast(ctx context.Context, o options, dir string, more ...string) (*system, error) {
	s := &system{probe: probe}
	ports, err := freePorts(5 * o.nodes)
	if err != nil {
		return s, err
	}
	var seeds []string
	for i := range o.nodes {
		seeds = append(seeds, ports[5*i+4])
	}
	for i := range o.nodes {
		own, name := ports[5*i:5*i+5], fmt.Sprint("node-", i+1)
		args := append([]string{"server", "--dir", filepath.Join(dir, name), "--name", name, "--sync", "os",
			"--resp", own[0], "--memcache", own[1], "--http", own[2], "--peer", own[3], "--gossip", own[4],
			"--join", strings.Join(seeds, ","), "--expect", fmt.Sprint(o.nodes)}, more...)
		p, err := start(dir, name, o.env(), o.program, args...)
		if err != nil {
			return s, err
		}
		s.processes, s.addresses = append(s.processes, p), append(s.addresses, own[0])
	}
	return s, s.await(ctx)
}

// startRedis starts a peer with so many replicas, and returns when all have what is written. Each keeps a log, as every node of a
// cluster does.
func startRedis(ctx context.Context, dir string, replicas int) (*system, error) {
	s := &system{probe: probe}
	ports, err := freePorts(1 + replicas)
	if err != nil {
		return s, err
	}
	for i, address := range ports {
		var primary string
		if i > 0 {
			primary = ports[0]
		}
		p, err := startRedisServer(dir, fmt.Sprintf("redis-%d-of-%d", i+1, len(ports)), address, primary)
		if err != nil {
			return s, err
		}
		s.processes = append(s.processes, p)
	}
	if s.addresses = ports[:1]; replicas > 0 {
		s.probe = probeBy(ctx, redisWait(replicas))
	}
	return s, s.await(ctx)
}

// startRedisServer starts one server; with primary, as a replica of the one there.
func startRedisServer(dir, name, address, primary string) (*process, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, name)
	if err := os.Mkdir(data, 0o755); err != nil {
		return nil, err
	}
	args := []string{"--bind", host, "--port", port, "--dir", data, "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
		"--repl-diskless-sync-delay", "0"}
	if primary != "" {
		args = append(append(args, "--replicaof"), strings.Split(primary, ":")...)
	}
	return start(dir, name, nil, "redis-server", args...)
}

// startMemcached starts the peer that keeps one copy, in memory alone.
func startMemcached(ctx context.Context, dir string) (*system, error) {
	s := &system{probe: probeBy(ctx, memcached())}
	ports, err := freePorts(1)
	if err != nil {
		return s, err
	}
	host, port, err := net.SplitHostPort(ports[0])
	if err != nil {
		return s, err
	}
	// It refuses to run as root unless told to; who is not root is not asked.
	p, err := start(dir, "memcached", nil, "memcached", "-l", host, "-p", port, "-t", "2", "-m", "256", "-u", "root")
	if err != nil {
		return s, err
	}
	s.processes, s.addresses = []*process{p}, ports
	return s, s.await(ctx)
}

// freePorts returns addresses on the loopback that nobody listens on.
func freePorts(n int) (addresses []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at the end, so that no two are the same
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// await returns when every server takes writes.
func (s *system) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyMax)
	defer cancel()
	for i, address := range s.addresses {
		for {
			err := s.probe(address)
			if err == nil {
				break
			}
			select {
			case <-time.After(pollEach):
			case <-s.processes[i].done:
				return fmt.Errorf("%s ended; its log is %s", s.processes[i].cmd.Path, s.processes[i].log)
			case <-ctx.Done():
				return fmt.Errorf("%s does not serve after %v: %w", address, readyMax, err)
			}
		}
	}
	return nil
}

func probe(address string) error {
	conn, err := redis.Dial("tcp", address, redis.DialConnectTimeout(time.Second), redis.DialReadTimeout(replyMax))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Do("SET", "bench:ready", "yes")
	return err
}

// probeBy returns a probe that sets a key in the dialect given.
func probeBy(ctx context.Context, speech dialect) func(address string) error {
	return func(address string) error {
		e := entrant{name: address, system: &system{addresses: []string{address}}, dialect: speech}
		_, err := drive(ctx, e, load{"set", 1}, shape{connections: 1, valueBytes: valueBytes, keys: 1}, 1)
		return err
	}
}
