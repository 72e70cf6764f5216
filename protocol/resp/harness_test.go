package resp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/protocol/storetest"
)

// counted is a Metrics that remembers.
type counted struct {
	mu       sync.Mutex
	commands map[string]int // "get ok"
	siblings []int
}

func (m *counted) Observe(command, outcome string, seconds float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.commands == nil {
		m.commands = map[string]int{}
	}
	m.commands[command+" "+outcome]++
}

func (m *counted) Siblings(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.siblings = append(m.siblings, n)
}

func (m *counted) count(key string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.commands[key]
}

// rig is a server over an in-memory store on a loopback port.
type rig struct {
	store   *storetest.Store
	server  *Server
	metrics *counted
	addr    string
}

// newRig starts a server; change may alter its configuration and the store before.
func newRig(t testing.TB, change func(*Config, *storetest.Store)) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{metrics: &counted{}, addr: l.Addr().String()}
	r.server, r.store = newServer(r.metrics, l.Addr().(*net.TCPAddr).Port, change)
	serve(t, r.server, l)
	return r
}

func newServer(m Metrics, port int, change func(*Config, *storetest.Store)) (*Server, *storetest.Store) {
	store := storetest.New(time.Now)
	cfg := Config{
		Store: store, Cluster: storetest.NewCluster(store, "127.0.0.1", port), Metrics: m,
		Logger: slog.New(slog.DiscardHandler),
		Info: func() Info {
			return Info{Version: "test", NodeID: "00112233445566778899aabbccddeeff", Name: "node-1", Port: port, Started: time.Now()}
		},
	}
	if change != nil {
		change(&cfg, store)
	}
	return New(cfg), store
}

// serve runs the server on l until the test ends, and checks that it then stops without a word.
func serve(t testing.TB, s *Server, l net.Listener) {
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// peer is a client that speaks bytes.
type peer struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, network, addr string) *peer {
	t.Helper()
	nc, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return newPeer(t, nc)
}

func newPeer(t testing.TB, nc net.Conn) *peer { return &peer{t, nc, bufio.NewReader(nc)} }

// send writes bytes as they are.
func (p *peer) send(format string, a ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p, format, a...); err != nil {
		p.t.Fatal(err)
	}
}

// do sends one command and returns its raw reply.
func (p *peer) do(args ...string) string {
	p.t.Helper()
	if _, err := p.Write(encode(args...)); err != nil {
		p.t.Fatal(err)
	}
	return p.reply()
}

// reply reads one reply.
func (p *peer) reply() string {
	p.t.Helper()
	p.SetReadDeadline(time.Now().Add(10 * time.Second))
	raw, err := readReply(p.r)
	if err != nil {
		p.t.Fatalf("reading a reply, after %q: %v", raw, err)
	}
	return raw
}

// rest reads until the server closes.
func (p *peer) rest() string {
	p.t.Helper()
	p.SetReadDeadline(time.Now().Add(10 * time.Second))
	raw, err := io.ReadAll(p.r)
	if err != nil {
		p.t.Fatalf("reading to the end, after %q: %v", raw, err)
	}
	return string(raw)
}

// until reads up to and without the marker, or to the end.
func (p *peer) until(marker string) string {
	p.t.Helper()
	p.SetReadDeadline(time.Now().Add(10 * time.Second))
	var raw []byte
	for !bytes.HasSuffix(raw, []byte(marker)) {
		b, err := p.r.ReadByte()
		if err != nil {
			p.t.Fatalf("reading up to %q, after %q: %v", marker, raw, err)
		}
		raw = append(raw, b)
	}
	return string(raw[:len(raw)-len(marker)])
}

func encode(args ...string) []byte {
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b
}

// readReply reads one RESP2 reply, raw.
func readReply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return line, err
	}
	n, _ := strconv.Atoi(line[1:max(1, len(line)-2)])
	switch line[0] {
	case '$':
		if n < 0 {
			return line, nil
		}
		body := make([]byte, n+2)
		_, err = io.ReadFull(r, body)
		return line + string(body), err
	case '*':
		for range n {
			part, err := readReply(r)
			line += part
			if err != nil {
				return line, err
			}
		}
	}
	return line, nil
}

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

// pipes is a listener for net.Pipe connections, which live inside a synctest bubble.
type pipes struct {
	conns chan net.Conn
	ctx   context.Context
	close context.CancelFunc
}

func newPipes() *pipes {
	p := &pipes{conns: make(chan net.Conn)}
	p.ctx, p.close = context.WithCancel(context.Background())
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(t testing.TB) *peer {
	near, far := net.Pipe()
	p.conns <- far
	return newPeer(t, near)
}
