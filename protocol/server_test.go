package protocol

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// feed is a listener that hands out what it is given: connections, or errors.
type feed struct {
	next   chan any
	closed chan struct{}
	calls  atomic.Int64
}

func newFeed() *feed { return &feed{next: make(chan any), closed: make(chan struct{})} }

func (f *feed) Accept() (net.Conn, error) {
	f.calls.Add(1)
	select {
	case v := <-f.next:
		if nc, ok := v.(net.Conn); ok {
			return nc, nil
		}
		return nil, v.(error)
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

func (f *feed) Close() error {
	select {
	case <-f.closed:
	default:
		close(f.closed)
	}
	return nil
}

func (f *feed) Addr() net.Addr { return &net.TCPAddr{} }

func (f *feed) dial() net.Conn {
	near, far := net.Pipe()
	f.next <- far
	return near
}

// echo answers each read with the same bytes.
func echo(_ context.Context, c *Conn) {
	buf := make([]byte, 64)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

func start(t *testing.T, cfg Config) (*Server, *feed) {
	cfg.Logger = slog.New(slog.DiscardHandler)
	if cfg.Handle == nil {
		cfg.Handle = echo
	}
	s, f := NewServer(cfg), newFeed()
	done := make(chan error, 1)
	go func() { done <- s.Serve(f) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, f
}

func roundTrip(t *testing.T, nc net.Conn) {
	t.Helper()
	if _, err := nc.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(nc, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func TestAcceptErrorsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, f := start(t, Config{})
		begin := time.Now()
		emfile := errors.New("too many open files")
		for range 8 { // 5, 10, 20, 40, 80, 160, 320, 500 ms
			f.next <- emfile
		}
		nc := f.dial()
		if got, want := time.Since(begin), 1135*time.Millisecond; got != want {
			t.Errorf("eight failures took %v, want %v", got, want)
		}
		roundTrip(t, nc)
		begin = time.Now()
		f.next <- emfile
		f.dial()
		if got := time.Since(begin); got != AcceptBackoffMin {
			t.Errorf("a success does not reset the back-off: %v", got)
		}
	})
}

func TestListenerClosedByOthersIsAnError(t *testing.T) {
	s, f := NewServer(Config{Handle: echo, Logger: slog.New(slog.DiscardHandler)}), newFeed()
	f.Close()
	if err := s.Serve(f); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
	s.Close()
	if err := s.Serve(newFeed()); err != nil {
		t.Errorf("Serve after Close: %v", err)
	}
}

func TestConnectionsAtTheCapAndOneOver(t *testing.T) {
	refused := 0
	s, f := start(t, Config{ConnectionsMax: 2, Full: []byte("full"), Refused: func() { refused++ }})
	a, b := f.dial(), f.dial()
	roundTrip(t, a)
	roundTrip(t, b)
	if got, _ := io.ReadAll(f.dial()); string(got) != "full" || refused != 1 {
		t.Errorf("one over: %q, %d refused", got, refused)
	}
	if n := s.Connections(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

func TestWriteIsCutOffWithoutProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := make(chan time.Duration, 1)
		_, f := start(t, Config{WriteTimeout: time.Second, Handle: func(_ context.Context, c *Conn) {
			begin := time.Now()
			_, err := c.Write(make([]byte, 4*WriteChunkBytes))
			if err == nil {
				t.Error("written whole")
			}
			took <- time.Since(begin)
		}})
		nc := f.dial()
		for range 3 { // slow, but moving
			if _, err := io.ReadFull(nc, make([]byte, WriteChunkBytes)); err != nil {
				t.Fatal(err)
			}
			<-time.After(900 * time.Millisecond)
		}
		if got, want := <-took, 2*900*time.Millisecond+time.Second; got < want || got > want+900*time.Millisecond {
			t.Errorf("cut off after %v, want %v", got, want)
		}
	})
}

func TestDrain(t *testing.T) {
	reading := make(chan struct{}, 1)
	ended := make(chan error, 1)
	s, f := start(t, Config{Handle: func(_ context.Context, c *Conn) {
		reading <- struct{}{}
		_, err := c.Read(make([]byte, 1))
		ended <- err
		_, again := c.Read(make([]byte, 1))
		if !errors.Is(again, ErrDraining) {
			t.Errorf("Read while draining: %v", again)
		}
		c.Write([]byte("bye"))
	}})
	nc := f.dial()
	<-reading
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	got, err := io.ReadAll(nc)
	if string(got) != "bye" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if err := <-ended; !errors.Is(err, ErrDraining) {
		t.Errorf("the waiting Read: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestCapsOfConfig(t *testing.T) {
	s := NewServer(Config{ConnectionsMax: ConnectionsMax + 1, WriteTimeout: WriteTimeoutMax + 1})
	if s.cfg.ConnectionsMax != ConnectionsMax || s.cfg.WriteTimeout != WriteTimeoutMax {
		t.Errorf("%d, %v", s.cfg.ConnectionsMax, s.cfg.WriteTimeout)
	}
	if NewServer(Config{ConnectionsMax: 1}).cfg.ConnectionsMax != 1 {
		t.Error("a lower cap is not kept")
	}
}
