package gossip

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Guard puts a stream under TLS. The handshake begins with the first read or write, and has their deadline.
type Guard interface {
	Client(net.Conn) net.Conn // of a stream that was dialled
	Server(net.Conn) net.Conn // of one that was accepted
}

// guarded is a transport whose streams are guarded: who has no certificate can neither join nor read the ring document, which
// travel by stream alone. Packets, which say who is alive, are protected by the cluster key.
type guarded struct {
	memberlist.Transport
	guard   Guard
	streams chan net.Conn
	ended   chan struct{}
	wg      sync.WaitGroup
}

func newGuarded(under memberlist.Transport, guard Guard) *guarded {
	t := &guarded{Transport: under, guard: guard, streams: make(chan net.Conn), ended: make(chan struct{})}
	t.wg.Go(t.accept)
	return t
}

// accept passes streams on, each with its guard.
func (t *guarded) accept() {
	for {
		select {
		case <-t.ended:
			return
		case conn := <-t.Transport.StreamCh():
			select {
			case t.streams <- t.guard.Server(conn):
			case <-t.ended:
				_ = conn.Close()
				return
			}
		}
	}
}

// StreamCh implements memberlist.Transport.
func (t *guarded) StreamCh() <-chan net.Conn { return t.streams }

// DialTimeout implements memberlist.Transport.
func (t *guarded) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	conn, err := t.Transport.DialTimeout(addr, timeout)
	if err != nil {
		return nil, err
	}
	return t.guard.Client(conn), nil
}

// Shutdown implements memberlist.Transport. The transport below is shut first: it may wait until its last stream is taken.
func (t *guarded) Shutdown() error {
	err := t.Transport.Shutdown()
	close(t.ended)
	t.wg.Wait()
	return err
}

// guardStreams puts the transport under the guard, where there is one: the one given, or memberlist's own, which is then
// made here.
func (g *Gossip) guardStreams(mc *memberlist.Config) error {
	if g.cfg.Guard == nil {
		return nil
	}
	if mc.Transport == nil {
		own, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{BindAddrs: []string{mc.BindAddr}, BindPort: mc.BindPort, Logger: mc.Logger})
		if err != nil {
			return fmt.Errorf("gossip: %w", err)
		}
		if mc.BindPort == 0 {
			mc.BindPort, mc.AdvertisePort = own.GetAutoBindPort(), own.GetAutoBindPort()
		}
		mc.Transport = own
	}
	mc.Transport = newGuarded(mc.Transport, g.cfg.Guard)
	return nil
}

// aboutTLS reports whether what memberlist says means that a stream was refused for its certificate, or that only one side is under
// TLS. memberlist keeps of errors only their text.
func aboutTLS(text string) bool {
	return strings.Contains(text, "tls: ") || strings.Contains(text, "x509: ") || strings.Contains(text, `stream with unacceptable label ""`)
}

// tlsMessage is logged of a node whose stream is refused.
const tlsMessage = "gossip refused: the other side has no TLS, or another authority's or an expired certificate; give both --tls-cert, --tls-key and --tls-ca"
