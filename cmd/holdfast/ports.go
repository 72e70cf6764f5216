package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/holdfastdb/holdfast/node"
)

// loopbackHost is where all of dev's nodes listen.
const loopbackHost = "127.0.0.1"

// listener is one of a node's five, as dev numbers them.
type listener struct {
	name string // of the server's flag; dev's has -port behind it
	base int    // node-1's port; 0: any that is free
	udp  bool   // memberlist takes the port for both
}

// errTwice says that dev gave one port to two listeners.
var errTwice = errors.New("another listener of these nodes has it")

// portOf returns the port of node i (from 0), checked: in range, free, and not in used, to which it is added.
func (l listener) portOf(i int, used map[int]bool) (int, error) {
	if l.base == 0 {
		return l.freePort(used)
	}
	port := l.base + i
	if port > 65535 {
		return 0, fmt.Errorf("--%s-port %d: node-%d would get %d, and 65535 is the last", l.name, l.base, i+1, port)
	}
	addr := net.JoinHostPort(loopbackHost, strconv.Itoa(port))
	err := l.tryPort(addr)
	if used[port] {
		err = errTwice
	}
	if err != nil {
		return 0, portTrouble(&node.PortError{Flag: l.name + "-port", Addr: addr, Err: err})
	}
	used[port] = true
	return port, nil
}

// tryPort returns an error if the address cannot be listened on now.
func (l listener) tryPort(addr string) error {
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer tcp.Close()
	if !l.udp {
		return nil
	}
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	return udp.Close()
}

// freePort returns a port that was free a moment ago. Tries are bounded: a port may be free for TCP and taken for UDP.
func (l listener) freePort(used map[int]bool) (int, error) {
	for range freePortTries {
		tcp, err := net.Listen("tcp", net.JoinHostPort(loopbackHost, "0"))
		if err != nil {
			return 0, fmt.Errorf("--%s-port 0: %w", l.name, err)
		}
		addr, port := tcp.Addr().String(), tcp.Addr().(*net.TCPAddr).Port
		if err := tcp.Close(); err == nil && !used[port] && l.tryPort(addr) == nil {
			used[port] = true
			return port, nil
		}
	}
	return 0, fmt.Errorf("--%s-port 0: found no free port in %d tries", l.name, freePortTries)
}
