package trust

import (
	"context"
	"crypto/tls"
	"net"
)

// Conn is a connection under TLS whose handshake is its user's to begin, under a deadline of his.
type Conn struct {
	*tls.Conn
	raw net.Conn
}

// Close cuts the connection without the goodbye of TLS, which may wait for seconds for a peer that does not read. Who
// speaks over it knows from its own frames whether something was cut off.
func (c *Conn) Close() error { return c.raw.Close() }

// Client puts a connection that was dialled under TLS, by the files as they are now.
func (c *Certificates) Client(raw net.Conn) net.Conn { return &Conn{tls.Client(raw, c.client()), raw} }

// Server puts a connection that was accepted under TLS, by the files as they are now.
func (c *Certificates) Server(raw net.Conn) net.Conn { return &Conn{tls.Server(raw, c.server()), raw} }

// Dial returns a dialer of TLS over another dialer. Each connection goes by the files as they are when it is made.
func (c *Certificates) Dial(dial func(context.Context, string) (net.Conn, error)) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		raw, err := dial(ctx, address)
		if err != nil {
			return nil, err
		}
		return c.Client(raw), nil
	}
}

// Listener returns a listener of TLS over another. Each connection goes by the files as they are when it is accepted.
func (c *Certificates) Listener(l net.Listener) net.Listener { return &listener{l, c} }

type listener struct {
	net.Listener
	c *Certificates
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.c.Server(raw), nil
}
