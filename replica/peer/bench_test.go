package peer

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// BenchmarkRoundTrip reads one key from another node over loopback TCP, with so many callers at once.
func BenchmarkRoundTrip(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { benchmarkRoundTrip(b, callers) })
	}
}

func benchmarkRoundTrip(b *testing.B, callers int) {
	p := loopback(b)
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { readMany(b, p, b.N/callers+min(1, max(0, b.N%callers-i))) })
	}
	wg.Wait()
	b.ReportMetric(float64(p.Stats().SocketWrites)/float64(b.N), "writes/op")
}

// loopback returns a node connected to another over TCP.
func loopback(b *testing.B) *Peers {
	addresses := make(map[ring.NodeID]string)
	var configs []Config
	for _, id := range []ring.NodeID{nodeB, nodeA} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		addresses[id] = l.Addr().String()
		configs = append(configs, Config{
			Node: id, Cluster: ring.NodeID{1}, Q: 256, Listener: l,
			Dial: func(ctx context.Context, address string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "tcp", address)
			},
			Addr: func(id ring.NodeID) (string, bool) { return addresses[id], true },
		})
	}
	start(b, configs[0], &quick{})
	p := start(b, configs[1], &quick{})
	readMany(b, p, 1)
	return p
}

// quick is a Handler that does nothing, so that the wire alone is measured.
type quick struct{ replica }

func (q *quick) ServeReads(from ring.NodeID, layout uint64, reads []*request.Read) {
	for _, r := range reads {
		r.Same = true
	}
}

func readMany(b *testing.B, p *Peers, n int) {
	ended := make(chan error, 1)
	done := func(err error) { ended <- err }
	reads := []*request.Read{{Key: request.Key{Name: []byte("user:1000")}}}
	for range n {
		p.Read(nodeB, reads, 1, time.Now().Add(5*time.Second), done)
		if err := <-ended; err != nil {
			b.Error(err)
			return
		}
	}
}
