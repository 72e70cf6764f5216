//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// point is what a command costs at one place of one axis, all else being usual.
type point struct {
	axis     string
	at       int
	set, get sample
	refused  string // what the client was told instead, if it was: a point without figures
}

// growth is what runGrowth measures.
type growth struct {
	points []point
	sizes  []footprint
	starts []startUp
}

// runGrowth measures and reports how cost grows.
func runGrowth(ctx context.Context, o options, data string) error {
	var g growth
	for _, measure := range []func(context.Context, options, string) error{g.byNodes, g.byShape, g.compareMemory, g.byKeys} {
		dir, err := os.MkdirTemp(data, "")
		if err == nil {
			err = measure(ctx, o, dir)
		}
		if err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	if err := g.print(os.Stdout); err != nil {
		return err
	}
	return o.keep(map[string]func(io.Writer) error{
		"growth.csv": func(w io.Writer) error { return writeGrowthCSV(w, g.points) },
		"growth.svg": func(w io.Writer) error { return writeGrowthSVG(w, g.points) },
	})
}

// add measures one point, SET before GET, so that what is read is there. An error that a client is told is a result, too.
func (g *growth) add(ctx context.Context, s *system, axis string, at int, sh shape) (err error) {
	p := point{axis: axis, at: at}
	if p.set, err = timed(ctx, s, "set", sh); err == nil {
		p.get, err = timed(ctx, s, "get", sh)
	}
	if p.refused = said(err); err != nil && p.refused == "" {
		return err
	}
	g.points = append(g.points, p)
	progress("%s %d: SET %v, GET %v%s", axis, at, p.set.cpu, p.get.cpu, p.refused)
	return nil
}

// timed runs one command for growthFor, and waits until what it left to do is done: flushes and compactions are its cost. What
// the servers use when they have nothing to do is not.
func timed(ctx context.Context, s *system, command string, sh shape) (sample, error) {
	e, l := entrant{name: "holdfast", system: s}, load{command, 1}
	first, err := runClosed(ctx, e, l, sh, max(sh.connections, growthTrial))
	if err != nil {
		return sample{}, err
	}
	before, idle, err := s.settle(ctx)
	if err != nil {
		return sample{}, err
	}
	begin, n := time.Now(), commandsIn(growthFor, first.perSecond)
	result, err := runClosed(ctx, e, l, sh, n)
	if err != nil {
		return sample{}, err
	}
	after, _, err := s.settle(ctx)
	result.cpu = max(after-before-time.Duration(idle*float64(time.Since(begin))), 0) / time.Duration(n)
	return result, err
}

// byNodes grows the cluster at three copies.
func (g *growth) byNodes(ctx context.Context, o options, dir string) error {
	for o.nodes = 3; o.nodes <= nodesMax; o.nodes += 2 {
		if err := g.on(ctx, o, filepath.Join(dir, fmt.Sprint(o.nodes)), func(s *system) error {
			return g.add(ctx, s, "nodes", o.nodes, usual())
		}); err != nil {
			return err
		}
	}
	return nil
}

// byShape grows connections, and then values, on three nodes.
func (g *growth) byShape(ctx context.Context, o options, dir string) error {
	return g.on(ctx, o, dir, func(s *system) error {
		for n := 1; n <= 1000; n *= 10 {
			if err := g.add(ctx, s, "connections", n, shape{n, valueBytes, keys}); err != nil {
				return err
			}
		}
		for _, n := range []int{valueBytes, 1 << 10, 64 << 10, 1 << 20} {
			if err := g.add(ctx, s, "bytes of a value", n, shape{min(connections, growthBytes/n/16), n, min(keys, growthBytes/n)}); err != nil {
				return err
			}
		}
		return nil
	})
}

// byKeys grows the keys of one node that keeps one copy, and starts it again with the most of them.
func (g *growth) byKeys(ctx context.Context, o options, dir string) error {
	o.nodes = 1
	return g.on(ctx, o, dir, func(s *system) error {
		at := 0
		for n := growthKeysMin; n <= o.most; n *= 10 {
			if err := fill(ctx, s.addresses[0], at, n); err != nil {
				return err
			}
			at = n
			if err := g.add(ctx, s, "keys", n, shape{connections, valueBytes, n}); err != nil {
				return err
			}
		}
		return g.startAgain(ctx, s, at)
	}, "--n", "1", "--r", "1", "--w", "1")
}

// on runs act beside a cluster, and stops that.
func (g *growth) on(ctx context.Context, o options, dir string, act func(*system) error, flags ...string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	s, err := startHoldfast(ctx, o, dir, flags...)
	if err == nil {
		err = act(s)
	}
	if stopped := s.stop(); err == nil {
		err = stopped
	}
	return err
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
