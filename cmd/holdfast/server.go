package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/holdfastdb/holdfast/node"
)

// server is what the server command needs of a node.
type server interface {
	// Wait returns a channel that is closed when the node took itself out of service; Err then says why.
	Wait() <-chan struct{}
	Err() error
	// Shutdown finishes the work in flight and closes the store with its clean-shutdown mark.
	Shutdown(ctx context.Context) error
	// Addrs returns the addresses as bound.
	Addrs() (resp, memcache, http, peer, gossip string)
}

// opener starts a node. Its errors are those of node.Open.
type opener func(node.Config) (server, error)

// serverFlags are a node's config and what this command itself needs to know.
type serverFlags struct {
	node.Config
	logLevel  slog.Level
	logFormat string
	config    string
	devParent bool // not in the help: end when stdin ends, which only happens when dev is gone
}

func (f *serverFlags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.Dir, "dir", "", "")
	fs.StringVar(&f.Name, "name", "", "")
	fs.StringVar(&f.Cluster, "cluster", node.DefaultCluster, "")
	fs.StringVar(&f.Zone, "zone", "", "")
	fs.IntVar(&f.Weight, "weight", 0, "")
	fs.StringVar(&f.RESP, "resp", "127.0.0.1:6379", "")
	fs.StringVar(&f.Memcache, "memcache", "127.0.0.1:11211", "")
	fs.StringVar(&f.HTTP, "http", "127.0.0.1:8379", "")
	fs.StringVar(&f.Peer, "peer", "127.0.0.1:7379", "")
	fs.StringVar(&f.Gossip, "gossip", "127.0.0.1:7946", "")
	fs.StringVar(&f.Advertise, "advertise", "", "")
	fs.BoolVar(&f.Insecure, "insecure", false, "")
	f.registerTrust(fs)
	fs.Var((*listFlag)(&f.Join), "join", "")
	fs.StringVar(&f.Replace, "replace", "", "")
	fs.IntVar(&f.Expect, "expect", 0, "")
	fs.BoolVar(&f.Proxy, "proxy", false, "")
	f.registerQuorum(fs)
	f.registerRunning(fs)
}

// registerTrust adds the files that nodes know each other by.
func (f *serverFlags) registerTrust(fs *flag.FlagSet) {
	fs.StringVar(&f.ClusterKey, "cluster-key", "", "")
	fs.StringVar(&f.TLSCert, "tls-cert", "", "")
	fs.StringVar(&f.TLSKey, "tls-key", "", "")
	fs.StringVar(&f.TLSCA, "tls-ca", "", "")
}

// registerQuorum adds what is fixed when the cluster is founded. Zero is what the cluster has, or the default when founding.
func (f *serverFlags) registerQuorum(fs *flag.FlagSet) {
	fs.IntVar(&f.N, "n", 0, "")
	fs.IntVar(&f.R, "r", 0, "")
	fs.IntVar(&f.W, "w", 0, "")
	fs.IntVar(&f.Partitions, "partitions", 0, "")
}

func (f *serverFlags) registerRunning(fs *flag.FlagSet) {
	f.Memory = node.DefaultMemory
	fs.StringVar(&f.Sync, "sync", node.DefaultSync, "")
	fs.Var((*sizeFlag)(&f.Memory), "memory", "")
	fs.DurationVar(&f.BackgroundP99, "background-p99", 0, "")
	fs.DurationVar(&f.Drain, "drain", node.DefaultDrain, "")
	fs.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "")
	fs.StringVar(&f.logFormat, "log-format", "text", "")
	fs.StringVar(&f.config, "config", "", "")
	fs.BoolVar(&f.devParent, "dev-parent", false, "")
}

// complete takes what was left out from the host's name, makes the logger and checks everything.
func (f *serverFlags) complete(stderr io.Writer) error {
	if f.Name == "" {
		f.Name = hostName()
	}
	if f.Advertise == "" && everywhere(f.RESP, f.Memcache, f.HTTP, f.Peer, f.Gossip) {
		f.Advertise = hostName()
	}
	if f.Drain <= 0 {
		return refuse("--drain %v: want more than nothing, like 10s", f.Drain)
	}
	options := &slog.HandlerOptions{Level: f.logLevel}
	switch f.logFormat {
	case "text":
		f.Logger = slog.New(slog.NewTextHandler(stderr, options))
	case "json":
		f.Logger = slog.New(slog.NewJSONHandler(stderr, options))
	default:
		return refuse("--log-format %q: want text or json", f.logFormat)
	}
	now, err := machineClock()
	if err != nil {
		return err
	}
	f.Now = now
	if err := plant(); err != nil {
		return err
	}
	if f.Witness, err = witness(); err != nil {
		return err
	}
	if err := f.Validate(); err != nil {
		return refusal{err}
	}
	return nil
}

// everywhere reports whether one of the addresses stands for all of the host's, so that it cannot be told to others.
func everywhere(addrs ...string) bool {
	for _, addr := range addrs {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			continue
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			return true
		}
	}
	return false
}

func runServer(ctx context.Context, p *process, args []string) error {
	var f serverFlags
	fs := newFlags("server")
	f.register(fs)
	if err := p.parse(fs, args); err != nil {
		return err
	}
	if err := f.complete(p.stderr); err != nil {
		return err
	}
	stops := make(chan os.Signal, 2) // the second signal must not be lost while the first is handled
	signal.Notify(stops, stopSignals()...)
	defer signal.Stop(stops)
	s := &serving{flags: &f, stops: stops, done: ctx.Done(), orphaned: make(chan struct{})}
	if f.devParent {
		go s.watchParent(p.stdin)
	}
	return s.run(p.open)
}

// stopSignals returns the signals that ask for an orderly end. A hangup that was ignored when the program started (nohup) stays
// ignored.
func stopSignals() []os.Signal {
	if signal.Ignored(syscall.SIGHUP) {
		return []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	}
	return []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}
}

// serving is a node between its start and its end.
type serving struct {
	flags    *serverFlags
	stops    <-chan os.Signal
	done     <-chan struct{} // the caller's own end, in tests
	orphaned chan struct{}   // closed when dev is gone
}

// watchParent returns when dev, which holds the other end of stdin and writes nothing, is gone. Nobody joins it: a read of
// stdin cannot be cancelled, and it ends with the process.
func (s *serving) watchParent(stdin io.Reader) {
	_, _ = io.Copy(io.Discard, stdin)
	close(s.orphaned)
}

// errSecondSignal ends a node that is still closing.
var errSecondSignal = errors.New("a second signal: ended without closing the store")

// run opens the node, waits for a reason to end, and ends it. Opening happens beside, so that a signal is heard meanwhile.
func (s *serving) run(open opener) error {
	type opened struct {
		server
		err error
	}
	opening := make(chan opened, 1)
	go func() {
		n, err := open(s.flags.Config)
		opening <- opened{n, err}
	}()
	stopped := false
	select {
	case n := <-opening:
		return s.serve(n.server, n.err, stopped)
	case <-s.stops:
	case <-s.orphaned:
	case <-s.done:
	}
	stopped = true
	select {
	case n := <-opening:
		return s.serve(n.server, n.err, stopped)
	case <-s.stops:
		return errSecondSignal
	case <-time.After(s.flags.Drain):
		return fmt.Errorf("asked to end while starting, and the start took longer than %v", s.flags.Drain)
	}
}

// serve waits for a reason to end, unless there is one already, and ends the node.
func (s *serving) serve(n server, err error, stopped bool) error {
	if err != nil {
		return startError(err)
	}
	s.announce(n)
	if stopped {
		return s.shutdown(n)
	}
	log := s.flags.Logger
	select {
	case sig := <-s.stops:
		log.Info("shutting down", "cause", sig.String(), "drain", s.flags.Drain)
	case <-s.orphaned:
		log.Info("shutting down", "cause", "holdfast dev is gone", "drain", parentGrace)
		s.flags.Drain = min(s.flags.Drain, parentGrace)
	case <-s.done:
		log.Info("shutting down", "cause", "context ended", "drain", s.flags.Drain)
	case <-n.Wait():
		return s.outOfService(n)
	}
	return s.shutdown(n)
}

func (s *serving) announce(n server) {
	resp, memcache, http, peer, gossip := n.Addrs()
	s.flags.Logger.Info("listening", "node", s.flags.Name, "pid", os.Getpid(), "dir", s.flags.Dir,
		"resp", resp, "memcache", memcache, "http", http, "peer", peer, "gossip", gossip)
}

// outOfService closes what is left of a node that stopped by itself, and returns why it did.
func (s *serving) outOfService(n server) error {
	err := n.Err()
	if errors.Is(err, node.ErrLeft) {
		s.flags.Logger.Info("left the cluster; this directory is not needed any more", "node", s.flags.Name, "dir", s.flags.Dir)
		return s.shutdown(n)
	}
	if err == nil {
		err = errors.New("the node ended without a reason")
	}
	if closing := s.shutdown(n); closing != nil {
		return fmt.Errorf("out of service: %w; and on closing: %w", err, closing)
	}
	return fmt.Errorf("out of service: %w", err)
}

// shutdown ends the node. It returns in time whether or not the node keeps to it: a second signal ends it at once, and so
// does the deadline.
func (s *serving) shutdown(n server) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.flags.Drain+shutdownMargin)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- n.Shutdown(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-s.stops:
		return errSecondSignal
	case <-ctx.Done():
		return fmt.Errorf("not closed after %v: the next start recovers from the log", s.flags.Drain+shutdownMargin)
	}
}
