package node

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/holdfastdb/holdfast/ring/gossip"
)

// Network replaces the real one in tests and simulations. The zero value is the real one.
type Network struct {
	Listen func(address string) (net.Listener, error)
	Dial   func(ctx context.Context, address string) (net.Conn, error)
	Gossip gossip.Transport // nil: UDP and TCP at Config.Gossip
}

func (n *Network) fill() {
	if n.Listen == nil {
		n.Listen = func(address string) (net.Listener, error) { return net.Listen("tcp", address) }
	}
	if n.Dial == nil {
		n.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
}

// listeners are a node's open ports. They are opened before the directory is touched: a taken port must change nothing.
type listeners struct {
	resp, http, peer net.Listener
}

func listen(cfg *Config) (l listeners, err error) {
	for _, each := range []struct {
		flag, addr string
		into       *net.Listener
	}{{"resp", cfg.RESP, &l.resp}, {"http", cfg.HTTP, &l.http}, {"peer", cfg.Peer, &l.peer}} {
		if *each.into, err = cfg.Network.Listen(each.addr); err != nil {
			return l, errors.Join(&PortError{Flag: each.flag, Addr: each.addr, Err: err}, l.close())
		}
	}
	if err = probeGossip(cfg); err != nil {
		return l, errors.Join(err, l.close())
	}
	return l, nil
}

// probeGossip finds out whether gossip will get its port, which it opens itself and later.
func probeGossip(cfg *Config) error {
	if cfg.Network.Gossip != nil {
		return nil
	}
	probe, err := net.Listen("tcp", cfg.Gossip)
	if err != nil {
		return &PortError{Flag: "gossip", Addr: cfg.Gossip, Err: err}
	}
	udp, err := net.ListenPacket("udp", probe.Addr().String())
	err = errors.Join(err, probe.Close())
	if err != nil {
		return &PortError{Flag: "gossip", Addr: cfg.Gossip, Err: err}
	}
	return udp.Close()
}

func (l *listeners) close() error {
	var errs []error
	for _, each := range []net.Listener{l.resp, l.http, l.peer} {
		if each != nil {
			errs = append(errs, each.Close())
		}
	}
	return errors.Join(errs...)
}

// advertised returns the host:port that others are told for a bound listener.
func (c *Config) advertised(bound string) string {
	if c.Advertise == "" {
		return bound
	}
	_, port, err := net.SplitHostPort(bound)
	if err != nil {
		panic(fmt.Sprintf("node: bound address %q", bound))
	}
	return net.JoinHostPort(c.Advertise, port)
}
