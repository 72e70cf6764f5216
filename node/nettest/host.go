package nettest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/holdfastdb/holdfast/ring/gossip/gossiptest"
)

// Host is one life of a host: after Crash, what Network.Host returns for the same address is the next.
type Host struct {
	net     *Network
	ip      string
	crashed atomic.Bool
}

// Host returns the host of an IP address.
func (n *Network) Host(ip string) *Host {
	netip.MustParseAddr(ip)
	return &Host{net: n, ip: ip}
}

// Listen listens at ip:port of this host; port 0 takes a free one. It fails with syscall.EADDRINUSE where another does.
func (h *Host) Listen(address string) (net.Listener, error) {
	ip, port, err := net.SplitHostPort(address)
	if err != nil || ip != h.ip || h.crashed.Load() {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: syscall.EADDRNOTAVAIL}
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if port == "0" {
		address = net.JoinHostPort(ip, strconv.Itoa(h.net.nextPortLocked()))
	}
	if h.net.mu.listeners[address] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: syscall.EADDRINUSE}
	}
	l := &listener{host: h, at: tcpAddr(address), backlog: make(chan *end, backlogMax), closed: make(chan struct{})}
	h.net.mu.listeners[address] = l
	return l, nil
}

// Dial connects to ip:port. It is refused where nobody listens, and waits for ctx to end while a link is cut either way.
func (h *Host) Dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := h.dial(ctx, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	return conn, nil
}

func (h *Host) dial(ctx context.Context, address string) (net.Conn, error) {
	ip, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	l := link{h.ip, ip}
	if err := h.handshake(ctx, l); err != nil {
		return nil, err
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	to := h.net.mu.listeners[address]
	if to == nil {
		return nil, syscall.ECONNREFUSED
	}
	own := tcpAddr(net.JoinHostPort(h.ip, strconv.Itoa(h.net.nextPortLocked())))
	near, far := h.net.connect(l, own, to.at)
	select {
	case to.backlog <- far:
	default:
		return nil, syscall.ECONNREFUSED
	}
	h.net.mu.ends[near], h.net.mu.ends[far] = true, true
	return near, nil
}

// handshake takes a round trip over links that carry.
func (h *Host) handshake(ctx context.Context, l link) error {
	for {
		if h.crashed.Load() {
			return net.ErrClosed
		}
		open, changed := h.net.open(l, l.back())
		var trip <-chan time.Time
		if open && !h.net.stands(h.ip) {
			timer := time.NewTimer(h.net.delay(l) + h.net.delay(l.back()))
			defer timer.Stop()
			trip = timer.C
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		case <-trip:
			return nil
		}
	}
}

// Gossip returns the host's gossip transport at ip:port, for one life of a node. It panics while another is there.
func (h *Host) Gossip(address string) memberlist.Transport {
	t, err := h.net.gossip.Listen(address)
	if err != nil {
		panic(fmt.Sprintf("nettest: %v", err))
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.net.mu.gossips[h.ip] == nil {
		h.net.mu.gossips[h.ip] = map[string]bool{}
	}
	h.net.mu.gossips[h.ip][address] = true
	h.net.gossip.Lossy(address, h.net.mu.lossy[h.ip])
	for l := range h.net.mu.cut {
		for from := range h.net.mu.gossips[l.from] {
			for to := range h.net.mu.gossips[l.to] {
				h.net.markGossipLocked(l, from, to)
			}
		}
	}
	return &transport{Transport: t, host: h}
}

// Crash takes the host off the network as kill -9 does: listeners close, connections are reset, gossip stops. Whoever still runs on
// it is heard by nobody.
func (h *Host) Crash() {
	h.crashed.Store(true)
	h.net.release(h.ip)
	h.net.mu.Lock()
	for address, l := range h.net.mu.listeners {
		if l.host == h {
			delete(h.net.mu.listeners, address)
			l.once.Do(func() { close(l.closed) })
		}
	}
	h.net.mu.Unlock()
	for _, e := range h.net.change() {
		if e.local.IP.String() == h.ip {
			e.reset()
		}
	}
}

// transport is a gossip transport that ends with its host.
type transport struct {
	*gossiptest.Transport
	host *Host
}

// WriteTo implements memberlist.Transport.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	if t.host.crashed.Load() {
		return time.Now(), nil
	}
	return t.Transport.WriteTo(b, addr)
}

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	if t.host.crashed.Load() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: net.ErrClosed}
	}
	return t.Transport.DialTimeout(addr, timeout)
}

func tcpAddr(address string) *net.TCPAddr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))
}
