package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// devFlags are what dev was asked for.
type devFlags struct {
	nodes                              int
	dir                                string
	resp, memcache, http, peer, gossip int // ports of node-1
	sync, logLevel                     string
	memory                             sizeFlag
}

func (f *devFlags) register(fs *flag.FlagSet) {
	fs.IntVar(&f.nodes, "nodes", 3, "")
	fs.StringVar(&f.dir, "dir", "", "")
	fs.IntVar(&f.resp, "resp-port", 6379, "")
	fs.IntVar(&f.memcache, "memcache-port", 11211, "")
	fs.IntVar(&f.http, "http-port", 8379, "")
	fs.IntVar(&f.peer, "peer-port", 7379, "")
	fs.IntVar(&f.gossip, "gossip-port", 7946, "")
	fs.StringVar(&f.sync, "sync", "os", "")
	fs.StringVar(&f.logLevel, "log-level", "info", "")
	f.memory = 128 << 20
	fs.Var(&f.memory, "memory", "")
}

// check finds what the nodes would refuse anyway, before any of them is started.
func (f *devFlags) check() error {
	if f.nodes < 1 || f.nodes > DevNodesMax {
		return refuse("--nodes %d: want 1 to %d", f.nodes, DevNodesMax)
	}
	for _, l := range f.listeners() {
		if l.base < 0 || l.base > 65535 {
			return refuse("--%s-port %d: want 0 to 65535", l.name, l.base)
		}
	}
	var trial serverFlags
	fs := newFlags("dev")
	trial.register(fs)
	args := append([]string{"--name", "node-1", "--dir", "trial"}, f.passedOn()...)
	if err := fs.Parse(args); err != nil {
		return refusal{err}
	}
	return trial.complete(nil)
}

// listeners returns a node's five, in the order of a node's line.
func (f *devFlags) listeners() []listener {
	return []listener{
		{name: "resp", base: f.resp}, {name: "memcache", base: f.memcache}, {name: "http", base: f.http},
		{name: "peer", base: f.peer}, {name: "gossip", base: f.gossip, udp: true},
	}
}

// passedOn returns the flags that every node gets as dev got them.
func (f *devFlags) passedOn() []string {
	return []string{"--memory", f.memory.String(), "--sync", f.sync, "--log-level", f.logLevel}
}

// devNode is one node as dev starts it, again and again the same.
type devNode struct {
	name, dir  string
	resp, http string   // addresses that dev asks
	line       string   // what is printed after the pid
	args       []string // of the server command
}

// plan returns the nodes, with ports that are all free now and a directory each inside dir. Nothing is made.
func (f *devFlags) plan() ([]devNode, error) {
	ports, err := f.ports()
	if err != nil {
		return nil, refusal{err}
	}
	seeds := make([]string, f.nodes)
	for i := range seeds {
		seeds[i] = ports[i]["gossip"]
	}
	nodes := make([]devNode, f.nodes)
	for i := range nodes {
		nodes[i] = f.node(i, ports[i], seeds)
	}
	return nodes, nil
}

// ports returns each node's address for each listener.
func (f *devFlags) ports() ([]map[string]string, error) {
	used := map[int]bool{}
	addrs := make([]map[string]string, f.nodes)
	for i := range addrs {
		addrs[i] = map[string]string{}
		for _, l := range f.listeners() {
			port, err := l.portOf(i, used)
			if err != nil {
				return nil, err
			}
			addrs[i][l.name] = net.JoinHostPort(loopbackHost, strconv.Itoa(port))
		}
	}
	return addrs, nil
}

func (f *devFlags) node(i int, addrs map[string]string, seeds []string) devNode {
	n := devNode{name: "node-" + strconv.Itoa(i+1), resp: addrs["resp"], http: addrs["http"]}
	n.args = []string{"server", "--dev-parent", "--name", n.name}
	for _, l := range f.listeners() {
		n.args = append(n.args, "--"+l.name, addrs[l.name])
	}
	n.args = append(n.args, "--join", strings.Join(seeds, ","), "--expect", strconv.Itoa(f.nodes), "--drain", devDrain.String())
	n.args = append(n.args, f.passedOn()...)
	n.line = fmt.Sprintf("resp=%s memcache=%s http=%s", addrs["resp"], addrs["memcache"], addrs["http"])
	return n
}

// in places the node inside dev's directory.
func (n devNode) in(dir string) devNode {
	n.dir = filepath.Join(dir, n.name)
	n.line += " dir=" + n.dir
	n.args = append(n.args[:len(n.args):len(n.args)], "--dir", n.dir)
	return n
}

func runDev(ctx context.Context, p *process, args []string) error {
	var f devFlags
	fs := newFlags("dev")
	f.register(fs)
	if err := p.parse(fs, args); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	parent := startedBy()
	nodes, err := f.plan()
	if err != nil {
		return err
	}
	dir, err := openDevDir(f.dir)
	if err != nil {
		return err
	}
	return superviseIn(ctx, p, dir, nodes, parent)
}

// superviseIn runs the nodes in the directory until dev is told to end, and leaves the directory as it is to be left.
func superviseIn(ctx context.Context, p *process, dir *devDir, nodes []devNode, parent parent) error {
	for i := range nodes {
		nodes[i] = nodes[i].in(dir.path)
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, append(stopSignals(), syscall.SIGUSR1)...)
	defer signal.Stop(signals)
	// With a listener for it, a write to a pipe that nobody reads any more is an error, which dev ignores, rather than its end.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	defer signal.Stop(pipes)

	s, err := newSupervisor(p, dir, nodes)
	if err == nil {
		err = s.run(ctx, signals, parent)
	}
	if closing := dir.Close(); err == nil && closing != nil {
		err = fmt.Errorf("removing the data: %w", closing)
	}
	return err
}
