package protocol

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// ErrDraining is what Read returns once the server drains: the connection finishes what it has read and closes.
var ErrDraining = errors.New("protocol: server is draining")

// Conn is a client's connection whose reads end when the server drains and whose writes have a deadline. Deadlines are
// of the machine's own clock, for that is what sockets go by: the node's may be corrected by hours.
// One goroutine reads and writes it.
type Conn struct {
	net.Conn
	idle, writeTimeout time.Duration

	mu struct {
		sync.Mutex
		draining bool
	}
}

// Read reads what is there, waiting at most the idle time of the server (0: for ever) for the first byte.
// It returns ErrDraining when the server drains, whether it waited already or not.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.arm(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.Draining() {
		return 0, ErrDraining
	}
	return n, err
}

// arm sets the idle deadline, unless drain has set the deadline that ends all reads.
func (c *Conn) arm() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.draining {
		return ErrDraining
	}
	if c.idle == 0 {
		return nil
	}
	return c.Conn.SetReadDeadline(time.Now().Add(c.idle))
}

// Write writes all of p in chunks, each under a deadline of its own, so that what counts is progress and not size.
func (c *Conn) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.writeTimeout)); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(p[written:min(len(p), written+WriteChunkBytes)])
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// Draining reports whether the server drains.
func (c *Conn) Draining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.draining
}

// drain ends the read that waits, if any, and all later ones.
func (c *Conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.draining = true
	// A deadline in the past wakes the reader. An error means that the connection is closed already.
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
}
