//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// The entrants.
const (
	peerName       = "redis-server, AOF everysec" // what ratios are taken against
	replicatedName = "redis-server, 2 replicas, WAIT 1"
	memcachedName  = "memcached"
	plainName      = "holdfast, plain client"
	clusterName    = "holdfast, cluster client"
)

// options are the flags of a run.
type options struct {
	program  string
	dir      string // where CSV and SVG go; empty: nowhere
	duration time.Duration
	rounds   int
	nodes    int
	growth   bool
	most     int // keys of the last step of growth
	procs    int // GOMAXPROCS of a node; 0: its share of the cores, as under `holdfast dev`
}

func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.StringVar(&o.program, "holdfast", "bin/holdfast", "the server")
	fs.StringVar(&o.dir, "dir", "", "where bench.csv and bench.svg go; none: they are not written")
	fs.DurationVar(&o.duration, "duration", 2*time.Minute, "of the closed loop, all rounds together")
	fs.IntVar(&o.rounds, "rounds", 5, "how often each load is run against each system")
	fs.IntVar(&o.nodes, "nodes", 3, "of the cluster")
	fs.IntVar(&o.procs, "procs", 0, "GOMAXPROCS of each node; 0: its share of the cores, rounded up")
	fs.BoolVar(&o.growth, "growth", false, "measure how cost grows with keys, values, connections and nodes, and memory and start-up, instead")
	fs.IntVar(&o.most, "keys", 1_000_000, "of the last step of growth; 10000000 need 3 GB of disk")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	return o, o.check(fs.NArg())
}

func (o *options) check(arguments int) error {
	switch {
	case arguments > 0:
		return errors.New("it takes no arguments, only flags")
	case o.duration < durationMin || o.duration > durationMax:
		return fmt.Errorf("-duration %v: want %v to %v", o.duration, durationMin, durationMax)
	case o.rounds < 1 || o.rounds > roundsMax:
		return fmt.Errorf("-rounds %d: want 1 to %d", o.rounds, roundsMax)
	case o.nodes < 3 || o.nodes > nodesMax:
		return fmt.Errorf("-nodes %d: want 3 to %d", o.nodes, nodesMax)
	case o.most < growthKeysMin || o.most > growthKeysMax:
		return fmt.Errorf("-keys %d: want %d to %d", o.most, growthKeysMin, growthKeysMax)
	case o.procs < 0:
		return fmt.Errorf("-procs %d: want 0 or more", o.procs)
	}
	return nil
}

// env is what a node's environment has beside this process's.
func (o *options) env() []string {
	procs := o.procs
	if procs == 0 {
		procs = (runtime.NumCPU() + o.nodes - 1) / o.nodes
	}
	return []string{fmt.Sprint("GOMAXPROCS=", procs)}
}

// run measures and reports. The servers and their data are gone afterwards.
func run(ctx context.Context, o options) error {
	var err error
	if o.program, err = filepath.Abs(o.program); err != nil {
		return err
	}
	data, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(data)
	if o.growth {
		return runGrowth(ctx, o, data)
	}
	cells, tails, err := measure(ctx, o, data)
	if err != nil {
		return err
	}
	rows := rowsOf(cells, peerName)
	return errors.Join(print(os.Stdout, rows, tails), o.keep(map[string]func(io.Writer) error{
		"bench.csv": func(w io.Writer) error { return writeCSV(w, cells) },
		"bench.svg": func(w io.Writer) error { return writeSVG(w, rows) },
	}))
}

// keep writes files into the folder given, if one is.
func (o *options) keep(files map[string]func(io.Writer) error) error {
	if o.dir == "" {
		return nil
	}
	err := os.MkdirAll(o.dir, 0o755)
	for name, content := range files {
		err = errors.Join(err, write(filepath.Join(o.dir, name), content))
	}
	return err
}

// measure runs the closed loop over all systems, then the open loop over the peer and the cluster, last with a node killed.
func measure(ctx context.Context, o options, data string) (cells []cell, tails []tail, err error) {
	entrants, err := enter(ctx, o, data)
	defer func() { err = errors.Join(err, leave(entrants)) }()
	if err != nil {
		return nil, nil, err
	}
	cells, err = runRounds(ctx, entrants, o.rounds, o.duration, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		return nil, nil, err
	}
	redis, cluster := entrants[0].system, entrants[len(entrants)-1].system
	rate := halfSaturated(cells, plainName)
	for _, open := range []struct {
		name   string
		system *system
		victim *process
	}{{peerName, redis, nil}, {plainName, cluster, nil}, {plainName, cluster, cluster.processes[o.nodes-1]}} {
		t, err := runOpen(ctx, open.name, open.system, rate, open.victim)
		if err != nil {
			return nil, nil, err
		}
		if t.result.failed > 0 {
			fmt.Fprintf(os.Stderr, "%s, %s: %d failed, the first: %v\n", t.entrant, t.load, t.result.failed, t.result.first)
		}
		tails = append(tails, t)
	}
	return cells, tails, nil
}

// enter starts all systems: that of the peer is the first, the cluster the last. What it returns must leave, also after an error.
func enter(ctx context.Context, o options, data string) (all []entrant, err error) {
	for _, s := range []struct {
		start func() (*system, error)
		as    []entrant
	}{
		{func() (*system, error) { return startRedis(ctx, data, 0) }, []entrant{{name: peerName}}},
		{func() (*system, error) { return startRedis(ctx, data, redisReplicas) }, []entrant{{name: replicatedName, dialect: redisWait(redisAcks)}}},
		{func() (*system, error) { return startMemcached(ctx, data) }, []entrant{{name: memcachedName, dialect: memcached()}}},
		{func() (*system, error) { return startHoldfast(ctx, o, data) }, []entrant{{name: plainName}, {name: clusterName, cluster: true}}},
	} {
		started, err := s.start()
		for _, e := range s.as {
			e.system = started
			all = append(all, e)
		}
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// leave stops every system; to stop one again does nothing.
func leave(all []entrant) (err error) {
	for _, e := range all {
		err = errors.Join(err, e.system.stop())
	}
	return err
}

func write(name string, content func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(content(f), f.Close())
}
