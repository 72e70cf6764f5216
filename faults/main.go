//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are the flags of a run.
type options struct {
	program  string // the server, built with the tag faults
	logs     string // where a failed run leaves its logs
	duration time.Duration
	seed     uint64
	sizes    []int // of the clusters that share the duration, one after the other
	nodes    int   // of the one in this sandbox
	clients  int
	pace     time.Duration
	only     string
	plant    string // a bug of package fault, in every server
	inside   bool
}

func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	if o.inside {
		err = run(ctx, o)
	} else {
		err = outside(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("faults", flag.ContinueOnError)
	fs.StringVar(&o.program, "holdfast", "bin/faults/holdfast", "the server, built with the tag faults")
	fs.StringVar(&o.logs, "logs", "bin/faults/logs", "where a failed run leaves the nodes' logs")
	fs.DurationVar(&o.duration, "duration", 5*time.Minute, "how long faults come and go")
	fs.Uint64Var(&o.seed, "seed", 0, "of the schedule and the clients; 0: a new one")
	sizes := fs.String("nodes", "3,5", "sizes of the clusters, which share the duration")
	fs.IntVar(&o.clients, "clients", 25, "how many connections, spread over the servers")
	fs.DurationVar(&o.pace, "pace", 40*time.Millisecond, "from one command of a connection to its next")
	fs.StringVar(&o.only, "faults", "", "kinds of faults, separated by commas; none: all")
	fs.StringVar(&o.plant, "plant", "", "a bug to plant in every server, by its name in package fault: the run must find it")
	fs.BoolVar(&o.inside, "inside", false, "of the program's own: it is in its sandbox")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	for size := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < NodesMin || n > NodesMax {
			return o, fmt.Errorf("-nodes %s: want %d to %d, separated by commas", *sizes, NodesMin, NodesMax)
		}
		o.sizes = append(o.sizes, n)
	}
	o.nodes = o.sizes[0]
	return o, o.check(fs.NArg())
}

func (o *options) check(arguments int) error {
	switch {
	case arguments > 0:
		return errors.New("it takes no arguments, only flags")
	case len(o.sizes) > SizesMax:
		return fmt.Errorf("-nodes: %d clusters, want %d at most", len(o.sizes), SizesMax)
	case o.clients < 1 || o.clients > ClientsMax:
		return fmt.Errorf("-clients %d: want 1 to %d", o.clients, ClientsMax)
	case o.duration <= 0 || o.duration > DurationMax:
		return fmt.Errorf("-duration %v: want up to %v", o.duration, DurationMax)
	case o.pace <= 0:
		return fmt.Errorf("-pace %v: want more than nothing", o.pace)
	}
	_, err := menuOf(o.only)
	return err
}

// run founds a cluster, breaks it for a while, heals it, and judges. The summary is the last line, whatever happened.
func run(ctx context.Context, o options) error {
	began := time.Now()
	c, err := found(ctx, o)
	var v *verdict
	if err == nil {
		fmt.Printf("seed %d: %d nodes, %d connections, %v; ready after %v\n", o.seed, o.nodes, o.clients, o.duration, time.Since(began).Round(time.Millisecond))
		v, err = c.trial(ctx, o)
	}
	err = errors.Join(err, c.saveLogs(o.logs))
	if err != nil || len(v.violations) > 0 {
		c.showLogs(os.Stdout)
	}
	if err != nil {
		return fmt.Errorf("seed %d: %w", o.seed, err)
	}
	v.print(os.Stdout, o, time.Since(began))
	if len(v.violations) > 0 {
		return fmt.Errorf("%d violations; the logs are in %s", len(v.violations), o.logs)
	}
	return nil
}

// trial breaks the cluster under load, heals it, and judges.
func (c *cluster) trial(ctx context.Context, o options) (*verdict, error) {
	l := c.load(o)
	n := newNemesis(c, l, o)
	err := n.rage(ctx, o.duration)
	done := l.stop()
	if err != nil {
		return nil, err
	}
	f, err := c.settle(ctx, done, l)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	v := judge(done, f, n, c)
	v.broken(err)
	return v, nil
}
