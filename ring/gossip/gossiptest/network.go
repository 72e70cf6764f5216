// Package gossiptest is a network in memory: a memberlist transport whose packets and streams take a seeded time of their own,
// get lost where a test cuts a link (in one direction or both), and run on the fake clock of a testing/synctest bubble. Packets may get
// lost, doubled and late besides.
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
	lateMax    = 2 * time.Second
)

// Network connects the transports made by it. Create it inside the bubble that uses it.
type Network struct {
	mu    sync.Mutex
	rng   *rand.Rand
	sent  int64 // messages so far
	hosts map[string]*Transport
	cut   map[link]bool
	lossy map[string]int       // percent, by host
	held  map[string][]arrival // hosts that stand still, and what waits for them
}

// arrival is a packet that waits for its host to go on.
type arrival struct {
	packet   *memberlist.Packet
	from, to string
}

type link struct{ from, to string }

// New returns a network without hosts, whose delays are drawn from seed.
func New(seed uint64) *Network {
	return &Network{rng: rand.New(rand.NewPCG(seed, 0)), hosts: map[string]*Transport{}, cut: map[link]bool{},
		lossy: map[string]int{}, held: map[string][]arrival{}}
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

// Lossy makes the packets from and to a host get lost, doubled and late by up to lateMax, each of the three in that many of a hundred
// cases; 0 undoes it.
func (n *Network) Lossy(host string, percent int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lossy[host] = percent
}

// Hold makes a host stand still, until Release: packets wait for it, it sends none, and streams are as if cut.
func (n *Network) Hold(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held[host] == nil {
		n.held[host] = []arrival{}
	}
}

// Release undoes Hold, and delivers what has come meanwhile.
func (n *Network) Release(host string) {
	n.mu.Lock()
	waiting := n.held[host]
	delete(n.held, host)
	n.mu.Unlock()
	for _, a := range waiting {
		n.deliver(a.packet, a.from, a.to)
	}
}

// holds keeps a packet for a host that stands still, or loses it where too many wait; false for any other host.
func (n *Network) holds(a arrival) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	waiting := n.held[a.to]
	if waiting != nil && len(waiting) < packetsMax {
		n.held[a.to] = append(waiting, a)
	}
	return waiting != nil
}

func (n *Network) isCut(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut[link{from, to}]
}

// silent reports whether a stream carries nothing that way.
func (n *Network) silent(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut[link{from, to}] || n.held[from] != nil || n.held[to] != nil
}

// fates returns how late each copy of a packet is; none if it is lost.
func (n *Network) fates(from, to string) (late []time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held[from] != nil {
		return nil
	}
	percent := max(n.lossy[from], n.lossy[to])
	if percent == 0 {
		return []time.Duration{0}
	}
	happens := func() bool { return n.rng.IntN(100) < percent }
	drawn := func() time.Duration { return time.Duration(n.rng.Int64N(int64(lateMax))) }
	if happens() {
		return nil
	}
	if late = append(late, 0); happens() {
		late[0] = drawn()
	}
	if happens() {
		late = append(late, drawn())
	}
	return late
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
	for _, late := range t.net.fates(t.addr, addr) {
		p := &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(t.at)}
		time.AfterFunc(t.net.delay()+late, func() { t.net.deliver(p, t.addr, addr) })
	}
	return now, nil
}

func (n *Network) deliver(p *memberlist.Packet, from, to string) {
	host := n.host(to)
	if host == nil || n.isCut(from, to) || n.holds(arrival{p, from, to}) {
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
	if t.net.silent(t.addr, addr) || t.net.silent(addr, t.addr) {
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
	s.mu.lost = s.mu.lost || s.net.silent(s.from, s.to)
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
