package protocol

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/request"
)

// Config is what a Server needs. Zero durations and counts take the caps of limits.go.
type Config struct {
	// Handle serves one connection until its Read fails. ctx ends when the server is closed, not when it drains.
	// The server closes the connection afterwards.
	Handle func(ctx context.Context, c *Conn)
	// Full is sent to a connection beyond ConnectionsMax before it is closed.
	Full           []byte
	ConnectionsMax int           // open connections, at most ConnectionsMax
	Idle           time.Duration // wait for a client's next byte; 0: for ever
	WriteTimeout   time.Duration // wait for a client to take a chunk, at most WriteTimeoutMax
	Logger         *slog.Logger
	Refused        func() // called for each connection beyond the cap; may be nil
}

// Server accepts connections and runs a goroutine for each.
type Server struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // connections, and Serve loops

	mu struct {
		sync.Mutex
		draining  bool
		listeners map[net.Listener]struct{}
		conns     map[*Conn]struct{}
	}
}

// NewServer returns a server that is not listening yet. Handle and Logger must be set.
func NewServer(cfg Config) *Server {
	cfg.ConnectionsMax = atMost(cfg.ConnectionsMax, ConnectionsMax)
	cfg.WriteTimeout = atMost(cfg.WriteTimeout, WriteTimeoutMax)
	s := &Server{cfg: cfg}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.mu.listeners = map[net.Listener]struct{}{}
	s.mu.conns = map[*Conn]struct{}{}
	return s
}

// atMost returns v, or the cap when v is unset or beyond it.
func atMost[T int | time.Duration](v, limit T) T {
	if v <= 0 || v > limit {
		return limit
	}
	return v
}

// Serve accepts connections from l until the server drains or closes, then returns nil. It returns an error only if l
// was closed by someone else. It closes l. Call it from a goroutine of your own; several listeners are fine.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	if !s.listen(l) {
		return nil
	}
	defer s.unlisten(l)
	backoff := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err == nil {
			backoff = 0
			s.start(nc)
			continue
		}
		if s.Draining() {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		// Out of file descriptors, mostly. Without a pause this loop would take a whole core until some are freed.
		backoff = min(max(2*backoff, AcceptBackoffMin), AcceptBackoffMax)
		s.cfg.Logger.Warn("cannot accept a connection", "addr", l.Addr().String(), "err", err, "retry_in", backoff)
		s.pause(backoff)
	}
}

// pause waits d, or until the server is closed.
func (s *Server) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}

func (s *Server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.draining {
		return false
	}
	s.mu.listeners[l] = struct{}{}
	s.wg.Add(1)
	return true
}

func (s *Server) unlisten(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.listeners, l)
	s.wg.Done()
}

// start runs the handler for nc, or refuses it.
func (s *Server) start(nc net.Conn) {
	c := &Conn{Conn: nc, idle: s.cfg.Idle, writeTimeout: s.cfg.WriteTimeout}
	switch draining, full := s.admit(c); {
	case draining:
		nc.Close()
	case full:
		s.refuse(nc)
	default:
		go s.run(c)
	}
}

// admit counts c in. The WaitGroup grows under the lock, so that no connection starts after Close began to wait.
func (s *Server) admit(c *Conn) (draining, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	draining, full = s.mu.draining, len(s.mu.conns) >= s.cfg.ConnectionsMax
	if !draining && !full {
		s.mu.conns[c] = struct{}{}
		s.wg.Add(1)
	}
	return draining, full
}

// refuse tells nc that the server is full. The text is short: a fresh socket's buffer takes it at once.
func (s *Server) refuse(nc net.Conn) {
	if s.cfg.Refused != nil {
		s.cfg.Refused()
	}
	if nc.SetWriteDeadline(time.Now().Add(RefuseTimeout)) == nil {
		_, _ = nc.Write(s.cfg.Full) // best effort: the client is being refused either way
	}
	nc.Close()
}

func (s *Server) run(c *Conn) {
	defer s.wg.Done()
	defer s.forget(c)
	s.cfg.Handle(s.ctx, c)
}

func (s *Server) forget(c *Conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.conns, c)
}

// Draining reports whether Shutdown or Close was called.
func (s *Server) Draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.draining
}

// Connections returns how many connections are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.conns)
}

// Shutdown stops accepting, lets every connection finish the commands that it has read, and returns when all are
// closed. When ctx ends first it closes them as Close does and returns the cause.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drain()
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }()
	select {
	case <-done:
		s.cancel(request.ErrClosed)
		return nil
	case <-ctx.Done():
		s.Close()
		<-done
		return context.Cause(ctx)
	}
}

// Close closes everything at once: handlers' contexts end, sockets close. It returns when every goroutine has ended.
func (s *Server) Close() error {
	s.drain()
	s.cancel(request.ErrClosed)
	s.closeConns()
	s.wg.Wait()
	return nil
}

// drain closes the listeners and ends the connections' reads.
func (s *Server) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.draining = true
	for l := range s.mu.listeners {
		l.Close()
	}
	for c := range s.mu.conns {
		c.drain()
	}
}

func (s *Server) closeConns() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.mu.conns {
		c.Close()
	}
}
