// Package nettest is a network in memory for whole nodes: listeners, connections and gossip between named hosts, with links that a
// test cuts, slows and heals. It opens no socket and runs on the fake clock of a testing/synctest bubble.
//
// A host is an IP address; its Listen, Dial and Gossip are what a node's Config.Network asks for, and clients are hosts too:
//
//	network := nettest.New(seed)
//	h := network.Host("127.0.0.1")
//	cfg.Network = node.Network{Listen: h.Listen, Dial: h.Dial, Gossip: h.Gossip("127.0.0.1:7946")}
//	network.Split([]string{"127.0.0.1"}, []string{"127.0.0.2", "127.0.0.3"})
//	network.Join([]string{"127.0.0.1"}, []string{"127.0.0.2", "127.0.0.3"})
//
// A cut link is silent, as a cable that was pulled: nobody is told, dials wait, and what was written before or since arrives when the
// link is healed, as TCP would send it again. Gossip's packets are lost. A host that crashes resets its connections, which the other
// ends learn of where no link is cut. Every message takes a seeded time of its own, so that no two arrive at once.
//
// A host that is paused is as near to a stopped process as goroutines let it be: it reads nothing, and what it writes, closes and dials
// waits, until it wakes with all that has come meanwhile in hand; others connect to it and wait, as its kernel would have it. Its timers go on.
// A link that is torn cuts a connection in the middle of a write. Gossip's packets get lost, doubled and late on request.
package nettest

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/ring/gossip/gossiptest"
)

const (
	pipeBytesMax   = 256 << 10 // under way in one direction of a connection; more waits, as for a full window
	backlogMax     = 256       // connections not yet accepted; more are refused
	firstPort      = 40000     // given to those who ask for port 0, and to who dials
	delayMin       = 20 * time.Microsecond
	delaySpread    = 180 * time.Microsecond
	delaysDistinct = 1000 // messages in a row of which no two take the same time
)

// Network connects hosts. Create it inside the bubble that uses it. Its methods may be called concurrently.
type Network struct {
	gossip *gossiptest.Network

	mu struct {
		sync.Mutex
		rng       *rand.Rand
		sent      int64 // messages so far
		port      int
		cut       map[link]bool
		slow      map[link]time.Duration
		torn      map[link]bool   // the next write is cut off, and its connection reset
		paused    map[string]bool // hosts
		lossy     map[string]int  // hosts: percent of gossip's packets
		listeners map[string]*listener
		ends      map[*end]bool
		gossips   map[string]map[string]bool // host: its gossip addresses
		changed   chan struct{}              // closed, and made anew, at each change of the links
	}
}

// A link is one direction between two hosts.
type link struct{ from, to string }

func (l link) back() link { return link{l.to, l.from} }

// New returns a network without hosts, whose delays are drawn from seed.
func New(seed uint64) *Network {
	n := &Network{gossip: gossiptest.New(seed)}
	n.mu.rng = rand.New(rand.NewPCG(seed, 1))
	n.mu.port = firstPort
	n.mu.cut, n.mu.slow = map[link]bool{}, map[link]time.Duration{}
	n.mu.torn, n.mu.paused, n.mu.lossy = map[link]bool{}, map[string]bool{}, map[string]int{}
	n.mu.listeners, n.mu.ends = map[string]*listener{}, map[*end]bool{}
	n.mu.gossips = map[string]map[string]bool{}
	n.mu.changed = make(chan struct{})
	return n
}

// Cut stops everything that host from sends to host to, until Heal.
func (n *Network) Cut(from, to string) { n.set(true, link{from, to}) }

// Heal undoes Cut.
func (n *Network) Heal(from, to string) { n.set(false, link{from, to}) }

// Split cuts, in both directions, every host of one side from every host of the other.
func (n *Network) Split(one, other []string) { n.set(true, between(one, other)...) }

// Join undoes Split.
func (n *Network) Join(one, other []string) { n.set(false, between(one, other)...) }

// Pause has a host stand still, until Wake or until it crashes.
func (n *Network) Pause(host string) {
	n.mu.Lock()
	n.mu.paused[host] = true
	gossips := slices.Collect(maps.Keys(n.mu.gossips[host]))
	n.mu.Unlock()
	for _, address := range gossips {
		n.gossip.Hold(address)
	}
	n.wake()
}

// Wake has a paused host go on with what has come meanwhile, and sends what it wrote.
func (n *Network) Wake(host string) {
	n.release(host)
	n.wake()
}

func (n *Network) release(host string) {
	n.mu.Lock()
	delete(n.mu.paused, host)
	gossips := slices.Collect(maps.Keys(n.mu.gossips[host]))
	n.mu.Unlock()
	for _, address := range gossips {
		n.gossip.Release(address)
	}
}

// Tear cuts the next write from one host to another off after some of its bytes, and resets the connection both ways: what was under way to
// the writer is lost, too.
func (n *Network) Tear(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.torn[link{from, to}] = true
}

// tears reports whether a write is to be cut off, and after how many of its bytes.
func (n *Network) tears(l link, bytes int) (after int, torn bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if bytes == 0 || !n.mu.torn[l] {
		return 0, false
	}
	delete(n.mu.torn, l)
	return n.mu.rng.IntN(bytes), true
}

// Lossy makes gossip's packets from and to a host get lost, doubled and late, each in that many of a hundred cases; 0 undoes it.
func (n *Network) Lossy(host string, percent int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.lossy[host] = percent
	for address := range n.mu.gossips[host] {
		n.gossip.Lossy(address, percent)
	}
}

// HealAll undoes every cut, delay, pause and loss.
func (n *Network) HealAll() {
	n.mu.Lock()
	cut := slices.Collect(maps.Keys(n.mu.cut))
	paused, lossy := slices.Collect(maps.Keys(n.mu.paused)), slices.Collect(maps.Keys(n.mu.lossy))
	clear(n.mu.slow)
	clear(n.mu.torn)
	n.mu.Unlock()
	for _, host := range paused {
		n.release(host)
	}
	for _, host := range lossy {
		n.Lossy(host, 0)
	}
	n.set(false, cut...)
}

// Slow makes everything that host from sends to host to take that much longer; 0 undoes it. Gossip is not slowed.
func (n *Network) Slow(from, to string, extra time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.slow[link{from, to}] = extra
}

func between(one, other []string) (links []link) {
	for _, a := range one {
		for _, b := range other {
			links = append(links, link{a, b}, link{b, a})
		}
	}
	return links
}

func (n *Network) set(cut bool, links ...link) {
	for _, l := range links {
		n.mark(l, cut)
	}
	n.wake()
}

// wake has all look again at what the links let through.
func (n *Network) wake() {
	for _, e := range n.change() {
		e.in.wake()
		e.out.wake()
	}
}

func (n *Network) mark(l link, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if cut {
		n.mu.cut[l] = true
	} else {
		delete(n.mu.cut, l)
	}
	for from := range n.mu.gossips[l.from] {
		for to := range n.mu.gossips[l.to] {
			n.markGossipLocked(l, from, to)
		}
	}
}

func (n *Network) markGossipLocked(l link, from, to string) {
	if n.mu.cut[l] {
		n.gossip.Cut(from, to)
	} else {
		n.gossip.Heal(from, to)
	}
}

// change wakes those who wait for the links to change, and returns the ends that must look too.
func (n *Network) change() []*end {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.mu.changed)
	n.mu.changed = make(chan struct{})
	return slices.Collect(maps.Keys(n.mu.ends))
}

// open reports whether a link carries, and returns what is closed when that may have changed.
func (n *Network) open(links ...link) (bool, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range links {
		if n.mu.cut[l] {
			return false, n.mu.changed
		}
	}
	return true, n.mu.changed
}

// stands reports whether one of the hosts is paused.
func (n *Network) stands(hosts ...string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(hosts, func(host string) bool { return n.mu.paused[host] })
}

func (n *Network) delay(l link) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.sent++
	drawn := time.Duration(n.mu.rng.Int64N(int64(delaySpread))).Truncate(delaysDistinct)
	return delayMin + drawn + time.Duration(n.mu.sent%delaysDistinct) + n.mu.slow[l]
}

func (n *Network) nextPortLocked() int {
	n.mu.port++
	return n.mu.port
}
