//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// cluster is the servers and what is between them.
type cluster struct {
	network *network
	servers []*server
}

// found builds the sandbox and starts a cluster in it that serves. On error, what it returns still has logs.
func found(ctx context.Context, o options) (*cluster, error) {
	c := &cluster{}
	if err := furnish(); err != nil {
		return c, err
	}
	var err error
	if c.network, err = newNetwork(o.nodes); err != nil {
		return c, err
	}
	if o.program, err = filepath.Abs(o.program); err != nil {
		return c, err
	}
	seeds := make([]string, o.nodes)
	for i := range seeds {
		seeds[i] = hostOf(i) + ":" + gossipPort
	}
	for i := range o.nodes {
		s, err := newServer(i, o, seeds)
		if err == nil {
			err = s.start(0)
		}
		if err != nil {
			return c, err
		}
		c.servers = append(c.servers, s)
	}
	return c, c.awaitQuiet(ctx, foundingMax)
}

// awaitQuiet returns when every node runs, sees all others, and no hint is left.
func (c *cluster) awaitQuiet(ctx context.Context, most time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var errs []error
		for _, s := range c.servers {
			errs = append(errs, s.quiet(len(c.servers)))
		}
		err := errors.Join(errs...)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not whole and quiet after %v: %w", most, err)
		}
	}
}

// saveLogs copies the nodes' logs out of the sandbox.
func (c *cluster) saveLogs(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, s := range c.servers {
		text, err := os.ReadFile(s.log())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(s.log())), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// showLogs prints the ends of the nodes' logs.
func (c *cluster) showLogs(w io.Writer) {
	for _, s := range c.servers {
		text, err := os.ReadFile(s.log())
		if err != nil {
			text = []byte(err.Error())
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(w, "--- the last lines of %s\n%s\n", s.name(), strings.Join(lines[max(0, len(lines)-logTail):], "\n"))
	}
}
