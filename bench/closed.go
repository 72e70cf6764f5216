//go:build linux

package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// load is one kind of traffic.
type load struct {
	command string // as redis-benchmark names its test
	depth   int    // of the pipeline
}

func (l load) String() string {
	return fmt.Sprintf("%s, pipeline %d", strings.ToUpper(l.command), l.depth)
}

// loads are in an order in which what is read was written before.
func loads() []load { return []load{{"set", 1}, {"get", 1}, {"set", 16}, {"get", 16}} }

// entrant is a system as one kind of client meets it.
type entrant struct {
	name    string
	system  *system
	cluster bool    // the client finds out which node coordinates a key
	dialect dialect // nil: redis-benchmark's
}

// shape is what traffic looks like beside its commands.
type shape struct{ connections, valueBytes, keys int }

// usual is the shape of the loads that are compared with the peer's.
func usual() shape { return shape{connections, valueBytes, keys} }

// sample is the outcome of one run.
type sample struct {
	perSecond float64       // commands
	cpu       time.Duration // of a command, all servers together
	p50, p99  time.Duration // closed loop: how long a command takes at saturation
}

// runClosed saturates a system with n commands, or a few more that fill the last pipeline. Source of the load:
// redis-benchmark, or a driver for a system that needs a dialect of its own.
func runClosed(ctx context.Context, e entrant, l load, sh shape, n int) (sample, error) {
	n = (n + l.depth - 1) / l.depth * l.depth
	saturate := benchmark
	if e.dialect != nil {
		saturate = drive
	}
	before, err := e.system.cpu()
	if err != nil {
		return sample{}, err
	}
	s, err := saturate(ctx, e, l, sh, n)
	if err != nil {
		return sample{}, err
	}
	after, err := e.system.cpu()
	s.cpu = (after - before) / time.Duration(n)
	return s, err
}

// benchmark saturates a system by redis-benchmark.
func benchmark(ctx context.Context, e entrant, l load, sh shape, n int) (sample, error) {
	host, port, err := net.SplitHostPort(e.system.addresses[0])
	if err != nil {
		return sample{}, err
	}
	args := []string{"-h", host, "-p", port, "-c", strconv.Itoa(sh.connections), "-d", strconv.Itoa(sh.valueBytes), "-r", strconv.Itoa(sh.keys),
		"-n", strconv.Itoa(n), "-P", strconv.Itoa(l.depth), "-t", l.command, "--csv"}
	if e.cluster {
		args = append(args, "--cluster")
	}
	out, err := exec.CommandContext(ctx, "redis-benchmark", args...).Output()
	if err != nil {
		return sample{}, fmt.Errorf("redis-benchmark against %s: %w%s", e.name, err, said(err))
	}
	return parseBenchmark(string(out))
}

// said returns what a program that failed wrote on stderr, behind a colon.
func said(err error) string {
	var failed *exec.ExitError
	if !errors.As(err, &failed) || len(failed.Stderr) == 0 {
		return ""
	}
	return ": " + strings.TrimSpace(string(failed.Stderr))
}

// parseBenchmark reads the last line that redis-benchmark --csv prints: test, commands a second, then milliseconds:
// mean, least, p50, p95, p99, most.
func parseBenchmark(out string) (s sample, err error) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	fields, err := csv.NewReader(strings.NewReader(lines[len(lines)-1])).Read()
	if err != nil || len(fields) != 8 {
		return s, fmt.Errorf("redis-benchmark printed %q (%v)", lines[len(lines)-1], err)
	}
	var numbers [8]float64
	for i, f := range fields[1:] {
		if numbers[i+1], err = strconv.ParseFloat(f, 64); err != nil {
			return s, fmt.Errorf("redis-benchmark printed %q: %w", lines[len(lines)-1], err)
		}
	}
	const perSecond, p50, p99 = 1, 4, 6
	return sample{perSecond: numbers[perSecond], p50: milliseconds(numbers[p50]), p99: milliseconds(numbers[p99])}, nil
}

func milliseconds(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

// cell is all runs of one load against one entrant.
type cell struct {
	entrant string
	load    load
	rounds  []sample
}

// runRounds runs every load against every entrant in turn, several times over, for about so long in all.
func runRounds(ctx context.Context, entrants []entrant, rounds int, d time.Duration, progress func(string)) ([]cell, error) {
	var cells []cell
	each := d / time.Duration(rounds*len(entrants)*len(loads()))
	var sizes []int
	for round := range rounds {
		i := 0
		for _, l := range loads() {
			for _, e := range entrants {
				if round == 0 {
					first, err := runClosed(ctx, e, l, usual(), calibrating*l.depth)
					if err != nil {
						return nil, err
					}
					cells, sizes = append(cells, cell{entrant: e.name, load: l}), append(sizes, commandsIn(each, first.perSecond))
				}
				s, err := runClosed(ctx, e, l, usual(), sizes[i])
				if err != nil {
					return nil, err
				}
				cells[i].rounds = append(cells[i].rounds, s)
				progress(fmt.Sprintf("round %d/%d: %s, %s: %.0f/s, %v", round+1, rounds, e.name, l, s.perSecond, s.cpu))
				i++
			}
		}
	}
	return cells, nil
}

// commandsIn returns how many commands fill the time at that speed.
func commandsIn(d time.Duration, perSecond float64) int {
	return min(max(int(d.Seconds()*perSecond), commandsMin), commandsMax)
}
