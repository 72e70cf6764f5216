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

// HealAll undoes every cut and every delay.
func (n *Network) HealAll() {
	n.mu.Lock()
	cut := slices.Collect(maps.Keys(n.mu.cut))
	clear(n.mu.slow)
	n.mu.Unlock()
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
