package nettest

import (
	"net"
	"sync"
)

// listener is a host's open port.
type listener struct {
	host    *Host
	at      *net.TCPAddr
	backlog chan *end
	closed  chan struct{}
	once    sync.Once
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.at, Err: net.ErrClosed}
	default:
	}
	select {
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.at, Err: net.ErrClosed}
	case e := <-l.backlog:
		return e, nil
	}
}

// Close implements net.Listener. Connections that nobody accepted are reset.
func (l *listener) Close() error {
	err := error(net.ErrClosed)
	l.once.Do(func() {
		err = nil
		l.host.net.mu.Lock()
		delete(l.host.net.mu.listeners, l.at.String())
		l.host.net.mu.Unlock()
		close(l.closed)
		for len(l.backlog) > 0 {
			(<-l.backlog).reset()
		}
	})
	return err
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.at }
