// Package node wires one Holdfast node from a Config: the store, the gossip, the wire between nodes, the coordinator
// and the front-ends. Open starts it, Close ends it; any number of nodes run in one process.
package node

import (
	"fmt"
	"log/slog"
	"math/bits"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/replica"
)

// Config says how one node runs. The zero value is not usable: Dir (but for a proxy) and Name have no default. What is empty takes its
// default in Validate.
type Config struct {
	Dir  string // data directory; made if absent
	Name string // unique in the cluster; what people call the node

	// Listening addresses, host:port; port 0 takes a free one. Memcache is reserved and may be "".
	RESP, Memcache, HTTP, Peer, Gossip string
	// Advertise is the host that other nodes and clients are told instead of the listening addresses' own.
	Advertise string

	// Proxy makes a node without data: it needs no Dir, owns nothing, and forwards to the cluster that Join leads to.
	Proxy bool

	Cluster string   // the cluster's name: nodes of another name are not heard
	Join    []string // gossip addresses of seeds; empty founds a cluster of its own
	Expect  int      // how many empty nodes found the cluster together; 0: join only what is founded already
	Replace string   // name or id of a dead member whose place this node takes if it is new to the cluster
	Zone    string   // empty: likewise, or else none
	Weight  int      // relative capacity, 1 to 100; 0: what the cluster knows of this node, or of the one that it replaces, or else 1

	// What is fixed when the cluster is founded. Zero: the default when founding, the cluster's own when joining.
	N, R, W, Partitions int

	Sync     string // "always", "os" or "none"
	Memory   int64  // bytes for caches and memtables
	Insecure bool   // allow listeners that are not loopback although nothing tells who may use them

	// Files that nodes know each other by; they are read again while the node runs. Empty: none.
	ClusterKey             string // keys, in the form of trust.ParseKeys: gossip is encrypted, and peers prove that they know one
	TLSCert, TLSKey, TLSCA string // PEM, all or none: the wire between nodes is under mutual TLS

	// BackgroundP99 is the latency up to which clients count as undisturbed by background work; 0: a multiple of what they
	// see without.
	BackgroundP99 time.Duration

	Drain  time.Duration // how long Shutdown waits for work in flight
	Logger *slog.Logger

	// Seams for tests and simulations; the zero values are the real things.

	Network Network
	FS      replica.FS
	Now     func() time.Time // the wall clock
	Budget  time.Duration    // how long a client waits for its answer at most
	Witness Witness          // nil: nobody looks on
	// AntiEntropy is the time in which every partition is compared with its other primaries; 0: DefaultAntiEntropy. Negative: never.
	AntiEntropy time.Duration
}

// Defaults of the flags.
const (
	DefaultCluster    = "holdfast"
	DefaultN          = 3
	DefaultR          = 2
	DefaultW          = 2
	DefaultPartitions = 256
	DefaultSync       = "os"
	DefaultMemory     = 512 << 20 // bytes
	DefaultDrain      = 10 * time.Second
)

// Caps of the flags.
const (
	CopiesMax     = 9    // of N
	PartitionsMax = 4096 // a quarter of the slots, so that a partition is at least four of them
	ExpectMax     = 64
	NameBytesMax  = 64
	MemoryMin     = 16 << 20 // bytes
)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Validate fills in the defaults and checks every field; the error names the flag, what is wrong with it and what to do.
func (c *Config) Validate() error {
	c.fill()
	for _, check := range []func() error{c.checkNames, c.checkQuorum, c.checkTLS, c.checkAddresses, c.checkStore} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) fill() {
	fillText := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	fillText(&c.RESP, "127.0.0.1:6379")
	fillText(&c.HTTP, "127.0.0.1:8379")
	fillText(&c.Peer, "127.0.0.1:7379")
	fillText(&c.Gossip, "127.0.0.1:7946")
	fillText(&c.Cluster, DefaultCluster)
	fillText(&c.Sync, DefaultSync)
	if c.Memory == 0 {
		c.Memory = DefaultMemory
	}
	if c.Drain == 0 {
		c.Drain = DefaultDrain
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Network.fill()
}

func (c *Config) checkNames() error {
	for flag, v := range map[string]string{"name": c.Name, "cluster": c.Cluster} {
		if len(v) > NameBytesMax || !nameForm.MatchString(v) {
			return fmt.Errorf("--%s %q: want 1 to %d letters, digits, dots, dashes or underscores", flag, v, NameBytesMax)
		}
	}
	if len(c.Zone) > NameBytesMax {
		return fmt.Errorf("--zone: longer than %d bytes", NameBytesMax)
	}
	if c.Expect < 0 || c.Expect > ExpectMax {
		return fmt.Errorf("--expect %d: want 0 to %d", c.Expect, ExpectMax)
	}
	switch {
	case c.Proxy && len(c.Join) == 0:
		return fmt.Errorf("--proxy needs --join: a proxy forwards to a cluster, and is none by itself")
	case c.Proxy && c.Expect > 0:
		return fmt.Errorf("--expect %d: a proxy founds nothing; leave it out, here and from the number at the nodes", c.Expect)
	}
	if c.Expect > 1 && len(c.Join) == 0 {
		return fmt.Errorf("--expect %d needs --join: name the gossip address of at least the first node", c.Expect)
	}
	return nil
}

func (c *Config) checkQuorum() error {
	if c.Partitions != 0 && (c.Partitions < 1 || c.Partitions > PartitionsMax || bits.OnesCount(uint(c.Partitions)) != 1) {
		return fmt.Errorf("--partitions %d: want a power of two, 1 to %d", c.Partitions, PartitionsMax)
	}
	n := c.N
	if n == 0 {
		n = DefaultN
	}
	if n < 1 || n > CopiesMax {
		return fmt.Errorf("--n %d: want 1 to %d copies", c.N, CopiesMax)
	}
	if c.R < 0 || c.R > n {
		return fmt.Errorf("--r %d: want 1 to n = %d", c.R, n)
	}
	if c.W < 0 || c.W > n {
		return fmt.Errorf("--w %d: want 1 to n = %d", c.W, n)
	}
	return nil
}

func (c *Config) checkAddresses() error {
	for flag, a := range map[string]string{"resp": c.RESP, "http": c.HTTP, "peer": c.Peer, "gossip": c.Gossip} {
		host, _, err := net.SplitHostPort(a)
		if err != nil {
			return fmt.Errorf("--%s %q: want host:port", flag, a)
		}
		if danger := c.danger(flag); danger != "" && !c.Insecure && !loopback(host) {
			return fmt.Errorf("--%s %s is not a loopback address, and %s; or say --insecure if the network is closed", flag, a, danger)
		}
	}
	for _, a := range c.Join {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return fmt.Errorf("--join %q: want the host:port of another node's --gossip", a)
		}
	}
	return nil
}

// danger says what strangers can do to a listener that they reach, and what keeps them from it; "" when something does.
func (c *Config) danger(flag string) string {
	switch {
	case flag == "gossip" && c.ClusterKey == "":
		return "without --cluster-key anyone who reaches it can join, or make nodes look dead: give one"
	case flag == "peer" && c.ClusterKey == "" && c.TLSCert == "":
		return "without --cluster-key or --tls-cert anyone who reaches it reads and writes everything: give one"
	case flag == "resp":
		return "clients are not asked who they are: anyone who reaches it reads and writes everything: leave it on loopback"
	case flag == "http":
		return "anyone who reaches it reads the metrics: leave it on loopback"
	}
	return ""
}

func (c *Config) checkTLS() error {
	given := 0
	for _, file := range []string{c.TLSCert, c.TLSKey, c.TLSCA} {
		if file != "" {
			given++
		}
	}
	if given != 0 && given != 3 {
		return fmt.Errorf("--tls-cert, --tls-key and --tls-ca belong together: give all three, or none")
	}
	return nil
}

func (c *Config) checkStore() error {
	switch {
	case c.Proxy && c.Dir != "":
		return fmt.Errorf("--dir: a proxy keeps nothing and needs none; leave it out")
	case !c.Proxy && c.Dir == "":
		return fmt.Errorf("--dir: say where the data lives")
	}
	if !strings.Contains(" always os none ", " "+c.Sync+" ") {
		return fmt.Errorf("--sync %q: want always, os or none", c.Sync)
	}
	if c.Memory < MemoryMin {
		return fmt.Errorf("--memory: want at least %d MiB", MemoryMin>>20)
	}
	if c.BackgroundP99 < 0 {
		return fmt.Errorf("--background-p99 %v: want a latency, like 5ms, or 0 for what the node finds out itself", c.BackgroundP99)
	}
	if c.Weight < 0 || c.Weight > 100 {
		return fmt.Errorf("--weight %d: want 1 to 100", c.Weight)
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
