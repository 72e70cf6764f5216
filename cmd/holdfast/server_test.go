package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/node"
)

func TestARunningNodeEndsForEveryReason(t *testing.T) {
	broken := errors.New("the log cannot be written")
	for _, c := range []struct {
		name  string
		stuck bool // its shutdown never returns
		act   func(n *fakeNode, signals chan<- os.Signal, orphaned chan struct{})
		want  error // or nil
		text  string
		after time.Duration
	}{
		{name: "one signal ends it in order", act: func(_ *fakeNode, s chan<- os.Signal, _ chan struct{}) { s <- syscall.SIGTERM }},
		{name: "a second signal ends it at once", stuck: true, want: errSecondSignal,
			act: func(_ *fakeNode, s chan<- os.Signal, _ chan struct{}) { s <- syscall.SIGTERM; s <- syscall.SIGTERM }},
		{name: "a shutdown that hangs is left behind", stuck: true, after: 10*time.Second + shutdownMargin,
			text: "not closed after 15s: the next start recovers from the log",
			act:  func(_ *fakeNode, s chan<- os.Signal, _ chan struct{}) { s <- syscall.SIGINT }},
		{name: "dev is gone", act: func(_ *fakeNode, _ chan<- os.Signal, o chan struct{}) { close(o) }},
		{name: "dev is gone and the shutdown hangs", stuck: true, after: parentGrace + shutdownMargin,
			text: "not closed after 7s: the next start recovers from the log",
			act:  func(_ *fakeNode, _ chan<- os.Signal, o chan struct{}) { close(o) }},
		{name: "out of service by itself", want: broken, text: "out of service: the log cannot be written",
			act: func(n *fakeNode, _ chan<- os.Signal, _ chan struct{}) { n.err = broken; close(n.wait) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNode{wait: make(chan struct{}), release: make(chan struct{})}
				if !c.stuck {
					close(n.release)
				} else {
					defer close(n.release)
				}
				signals, orphaned := make(chan os.Signal, 2), make(chan struct{})
				f := &serverFlags{Config: node.Config{Drain: node.DefaultDrain, Logger: slog.New(slog.DiscardHandler)}}
				s := &serving{flags: f, stops: signals, done: t.Context().Done(), orphaned: orphaned}
				began, ended := time.Now(), make(chan error, 1)
				go func() { ended <- s.run(func(node.Config) (server, error) { return n, nil }) }()
				synctest.Wait()
				c.act(n, signals, orphaned)
				err := <-ended
				if c.text == "" && c.want == nil && err != nil || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if c.text != "" && (err == nil || err.Error() != c.text) {
					t.Errorf("got %v, want %s", err, c.text)
				}
				if took := time.Since(began); took != c.after {
					t.Errorf("took %v, want %v", took, c.after)
				}
			})
		})
	}
}

func TestASignalWhileTheNodeStarts(t *testing.T) {
	for name, opens := range map[string]bool{"is heard when it has started": true, "does not wait for ever": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNode{wait: make(chan struct{}), release: make(chan struct{})}
				close(n.release)
				signals, opening := make(chan os.Signal, 2), make(chan struct{})
				f := &serverFlags{Config: node.Config{Drain: time.Minute, Logger: slog.New(slog.DiscardHandler)}}
				s := &serving{flags: f, stops: signals, done: t.Context().Done(), orphaned: make(chan struct{})}
				signals <- syscall.SIGTERM
				if opens {
					time.AfterFunc(time.Second, func() { close(opening) })
				} else {
					time.AfterFunc(time.Hour, func() { close(opening) })
				}
				err := s.run(func(node.Config) (server, error) { <-opening; return n, nil })
				if opens != (err == nil) {
					t.Errorf("got %v", err)
				}
				<-opening
			})
		})
	}
}

func TestServerEndsWithItsParent(t *testing.T) {
	stdin, dev := io.Pipe()
	var stderr lockedBuffer
	opened := make(chan *fakeNode, 1)
	p := &process{stdin: stdin, stdout: io.Discard, stderr: &stderr, open: func(cfg node.Config) (server, error) {
		n := &fakeNode{cfg: cfg, wait: make(chan struct{}), release: make(chan struct{})}
		close(n.release)
		opened <- n
		return n, nil
	}}
	ended := make(chan int, 1)
	go func() {
		ended <- p.run(t.Context(), []string{"server", "--dev-parent", "--dir", "data", "--name", "a"})
	}()
	<-opened
	_ = dev.Close()
	select {
	case code := <-ended:
		if code != exitDone {
			t.Errorf("exit code %d: %s", code, stderr.String())
		}
	case <-time.After(patience):
		t.Fatalf("still runs after %v", patience)
	}
	if !strings.Contains(stderr.String(), "holdfast dev is gone") {
		t.Errorf("the log does not say why:\n%s", stderr.String())
	}
}

func TestServerRefuses(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--frob", "flag provided but not defined: -frob; `holdfast server --help` lists the flags"},
		{"--expect x --dir d", "invalid value \"x\" for flag -expect: parse error; `holdfast server --help` lists the flags"},
		{"--dir d --name a b", "unexpected argument \"b\"; see `holdfast server --help`"},
		{"--name a", "--dir: say where the data lives"},
		{"--dir d --name a --memory 512MB", "invalid value \"512MB\" for flag -memory: want a size like 512MiB or 2GiB; `holdfast server --help` lists the flags"},
		{"--dir d --name a --log-format xml", `--log-format "xml": want text or json`},
		{"--dir d --name a --drain 0s", "--drain 0s: want more than nothing, like 10s"},
		{"--dir d --name a --resp 10.0.0.1:6379", "--resp 10.0.0.1:6379 is not a loopback address, and clients are not asked who they are: anyone who reaches it reads and writes everything: leave it on loopback; or say --insecure if the network is closed"},
		{"--dir d --name a --peer 10.0.0.1:7379", "--peer 10.0.0.1:7379 is not a loopback address, and without --cluster-key or --tls-cert anyone who reaches it reads and writes everything: give one; or say --insecure if the network is closed"},
		{"--dir d --name a --gossip 10.0.0.1:7946 --tls-cert a --tls-key b --tls-ca c", "--gossip 10.0.0.1:7946 is not a loopback address, and without --cluster-key anyone who reaches it can join, or make nodes look dead: give one; or say --insecure if the network is closed"},
		{"--dir d --name a --http 10.0.0.1:8379 --cluster-key k", "--http 10.0.0.1:8379 is not a loopback address, and anyone who reaches it reads the metrics: leave it on loopback; or say --insecure if the network is closed"},
		{"--dir d --name a --tls-cert a --tls-ca c", "--tls-cert, --tls-key and --tls-ca belong together: give all three, or none"},
		{"--dir d --name a --config nowhere.conf", "open nowhere.conf: no such file or directory"},
	} {
		never := func(node.Config) (server, error) { t.Errorf("%s: opened a node", c.args); return nil, io.EOF }
		got := runHere(t, never, append([]string{"server"}, strings.Fields(c.args)...)...)
		if want := "holdfast server: " + c.want + "\n"; got != (outcome{exitRefused, "", want}) {
			t.Errorf("%s: got %+v, want %q", c.args, got, want)
		}
	}
}

func TestATakenPortIsARefusalThatNamesItsHolder(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	got := runHere(t, openFake, "server", "--dir", t.TempDir(), "--name", "a", "--resp", addr)
	want := fmt.Sprintf("holdfast server: %s is taken by %s (pid %d); stop that, or move this with --resp\n", addr, processName(os.Getpid()), os.Getpid())
	if got != (outcome{exitRefused, "", want}) {
		t.Errorf("got %+v, want %q", got, want)
	}
}

func TestAnyOtherFailureToStartIsOne(t *testing.T) {
	failing := func(node.Config) (server, error) { return nil, errors.New("disk on fire") }
	got := runHere(t, failing, "server", "--dir", "d", "--name", "a")
	if got != (outcome{exitFailed, "", "holdfast server: disk on fire\n"}) {
		t.Errorf("got %+v", got)
	}
}

// seen returns the config that a run of server hands to the node.
func seen(t *testing.T, args ...string) node.Config {
	t.Helper()
	var cfg node.Config
	got := runHere(t, func(c node.Config) (server, error) { cfg = c; return nil, errors.New("enough") }, append([]string{"server"}, args...)...)
	if got.stderr != "holdfast server: enough\n" {
		t.Fatalf("%v: %+v", args, got)
	}
	return cfg
}

func TestEveryFlagReachesTheNode(t *testing.T) {
	cfg := seen(t, "--dir", "d", "--name", "a", "--cluster", "c", "--zone", "z", "--weight", "2", "--resp", "127.0.0.1:1", "--memcache", "127.0.0.1:2",
		"--http", "127.0.0.1:3", "--peer", "127.0.0.1:4", "--gossip", "127.0.0.1:5", "--advertise", "h", "--join", "x:1,y:2", "--expect", "3",
		"--n", "5", "--r", "4", "--w", "1", "--partitions", "64", "--sync", "always", "--memory", "64MiB", "--drain", "3s", "--insecure")
	want := node.Config{Dir: "d", Name: "a", Cluster: "c", Zone: "z", Weight: 2, RESP: "127.0.0.1:1", Memcache: "127.0.0.1:2", HTTP: "127.0.0.1:3",
		Peer: "127.0.0.1:4", Gossip: "127.0.0.1:5", Advertise: "h", Join: []string{"x:1", "y:2"}, Expect: 3, N: 5, R: 4, W: 1, Partitions: 64,
		Sync: "always", Memory: 64 << 20, Drain: 3 * time.Second, Insecure: true}
	want.Logger, want.Network, want.FS, want.Now, want.Budget = cfg.Logger, cfg.Network, cfg.FS, cfg.Now, cfg.Budget
	if got, want := fmt.Sprintf("%+v", cfg), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestListenersOnAllAddressesAreAdvertisedByTheHostsName(t *testing.T) {
	for _, resp := range []string{"0.0.0.0:6379", ":6379", "[::]:6379"} {
		if cfg := seen(t, "--dir", "d", "--resp", resp, "--insecure"); cfg.Advertise != hostName() || cfg.Name != hostName() {
			t.Errorf("%s: advertised %q, named %q; want %q", resp, cfg.Advertise, cfg.Name, hostName())
		}
	}
	if cfg := seen(t, "--dir", "d"); cfg.Advertise != "" {
		t.Errorf("loopback is advertised as %q", cfg.Advertise)
	}
}

// Nodes that prove who they are may listen where others reach them.
func TestGuardedListenersNeedNoInsecure(t *testing.T) {
	t.Setenv("HOLDFAST_CLUSTER_KEY", "k")
	cfg := seen(t, "--dir", "d", "--name", "a", "--peer", "10.0.0.1:7379", "--gossip", "10.0.0.1:7946", "--tls-cert", "c", "--tls-key", "p", "--tls-ca", "ca")
	if cfg.ClusterKey != "k" || cfg.TLSCert != "c" || cfg.TLSKey != "p" || cfg.TLSCA != "ca" || cfg.Insecure {
		t.Errorf("%+v", cfg)
	}
}
