// Package gossiptest is a network in memory: a memberlist transport whose packets and streams take a seeded time of their own,
// get lost where a test cuts a link (in one direction or both), and run on the fake clock of a testing/synctest bubble.
package gossiptest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

// ErrAddressTaken: two transports listen at one address.
var ErrAddressTaken = errors.New("gossiptest: address already in use")

const (
	packetsMax = 1024 // packets waiting at one host; more are lost, as UDP loses them
	streamsMax = 128  // dialled streams not yet accepted; more are refused
)

// Network connects the transports made by it. Create it inside the bubble that uses it.
type Network struct {
	mu    sync.Mutex
	rng   *rand.Rand
	sent  int64 // messages so far
	hosts map[string]*Transport
	cut   map[link]bool
}

type link struct{ from, to string }

// New returns a network without hosts, whose delays are drawn from seed.
func New(seed uint64) *Network {
	return &Network{rng: rand.New(rand.NewPCG(seed, 0)), hosts: map[string]*Transport{}, cut: map[link]bool{}}
}

// Listen returns the transport of a host at "ip:port". ErrAddressTaken while another listens there.
func (n *Network) Listen(addr string) (*Transport, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("gossiptest: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts[addr] != nil {
		return nil, fmt.Errorf("%w: %s", ErrAddressTaken, addr)
	}
	t := &Transport{
		net: n, at: at, addr: addr,
		packets: make(chan *memberlist.Packet, packetsMax),
		streams: make(chan net.Conn, streamsMax),
		closed:  make(chan struct{}),
	}
	n.hosts[addr] = t
	return t, nil
}

// Cut loses everything that from sends to to, until Heal. What is on its way is lost too.
func (n *Network) Cut(from, to string) { n.set(from, to, true) }

// Heal undoes Cut.
func (n *Network) Heal(from, to string) { n.set(from, to, false) }

// Split cuts, in both directions, every host of one side from every host of the other.
func (n *Network) Split(one, other []string) { n.both(one, other, true) }

// Join undoes Split.
func (n *Network) Join(one, other []string) { n.both(one, other, false) }

func (n *Network) both(one, other []string, cut bool) {
	for _, a := range one {
		for _, b := range other {
			n.set(a, b, cut)
			n.set(b, a, cut)
		}
	}
}

func (n *Network) set(from, to string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if cut {
		n.cut[link{from, to}] = true
	} else {
		delete(n.cut, link{from, to})
	}
}

func (n *Network) isCut(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut[link{from, to}]
}

func (n *Network) host(addr string) *Transport {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hosts[addr]
}

// delay returns 0.2 to 2 ms, never the same for two of a thousand messages in a row, so that under a fake clock no two
// arrive at once and their order is the seed's.
func (n *Network) delay() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sent++
	return time.Duration(200+n.rng.IntN(1800))*time.Microsecond + time.Duration(n.sent%1000)
}

// Transport is one host's end of the network.
type Transport struct {
	net     *Network
	at      netip.AddrPort
	addr    string
	packets chan *memberlist.Packet
	streams chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

// FinalAdvertiseAddr answers the address that Listen was given.
func (t *Transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.at.Addr().AsSlice(), int(t.at.Port()), nil
}

// WriteTo sends a packet, which may get lost. It never blocks.
func (t *Transport) WriteTo(b []byte, addr string) (time.Time, error) {
	now := time.Now()
	p := &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(t.at)}
	time.AfterFunc(t.net.delay(), func() { t.net.deliver(p, t.addr, addr) })
	return now, nil
}

func (n *Network) deliver(p *memberlist.Packet, from, to string) {
	host := n.host(to)
	if host == nil || n.isCut(from, to) {
		return
	}
	p.Timestamp = time.Now()
	select {
	case host.packets <- p:
	default:
	}
}

// PacketCh is where packets arrive.
func (t *Transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh is where dialled streams arrive.
func (t *Transport) StreamCh() <-chan net.Conn { return t.streams }

// DialTimeout opens a stream. It is refused where nobody listens, and times out over a link that is cut either way.
func (t *Transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	wait, fails := t.net.delay(), error(nil)
	if t.net.isCut(t.addr, addr) || t.net.isCut(addr, t.addr) {
		wait, fails = timeout, os.ErrDeadlineExceeded
	}
	select {
	case <-time.After(wait):
	case <-t.closed:
		fails = net.ErrClosed
	}
	host := t.net.host(addr)
	if fails == nil && host == nil {
		fails = syscall.ECONNREFUSED
	}
	if fails != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fails}
	}
	near, far := net.Pipe()
	select {
	case host.streams <- &stream{Conn: far, net: t.net, from: addr, to: t.addr}:
		return &stream{Conn: near, net: t.net, from: t.addr, to: addr}, nil
	default:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
}

// Shutdown takes the host off the network; its address is free again.
func (t *Transport) Shutdown() error {
	t.once.Do(func() {
		close(t.closed)
		t.net.mu.Lock()
		defer t.net.mu.Unlock()
		delete(t.net.hosts, t.addr)
	})
	return nil
}

// A stream is one end of a connection. Bytes written over a cut vanish, and so does everything after them: the other end waits
// until its deadline, as it would for a real connection.
type stream struct {
	net.Conn
	net      *Network
	from, to string

	mu struct {
		sync.Mutex
		lost bool
	}
}

func (s *stream) Write(b []byte) (int, error) {
	time.Sleep(s.net.delay())
	s.mu.Lock()
	s.mu.lost = s.mu.lost || s.net.isCut(s.from, s.to)
	lost := s.mu.lost
	s.mu.Unlock()
	if lost {
		return len(b), nil
	}
	return s.Conn.Write(b)
}

func (s *stream) LocalAddr() net.Addr  { return name(s.from) }
func (s *stream) RemoteAddr() net.Addr { return name(s.to) }

type name string

func (name) Network() string  { return "gossiptest" }
func (n name) String() string { return string(n) }
