package node

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// benchCluster runs three nodes in this process, so that one CPU profile shows all that a replicated command costs.
func benchCluster(b *testing.B) []*Node {
	b.Helper()
	var nodes []*Node
	var seeds []string
	cfgs := make([]Config, 3)
	for i := range cfgs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		cfgs[i] = Config{Dir: b.TempDir(), Name: fmt.Sprint("node-", i+1), RESP: "127.0.0.1:0", HTTP: "127.0.0.1:0", Peer: "127.0.0.1:0", Gossip: l.Addr().String()}
		l.Close()
		seeds = append(seeds, cfgs[i].Gossip)
	}
	for i := range cfgs {
		cfgs[i].Join, cfgs[i].Expect = seeds, 3
		n, err := Open(cfgs[i])
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { n.Shutdown(context.Background()) })
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		for !n.Ready() || !allUp(n) {
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nodes
}

// pump sends b.N commands over conns connections, depth at a time, and waits for the replies.
func pump(b *testing.B, addr string, conns, depth int, command func(*rand.Rand) string) {
	b.Helper()
	var wg sync.WaitGroup
	for c := range conns {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			defer nc.Close()
			rng := rand.New(rand.NewPCG(1, uint64(c)))
			r := bufio.NewReader(nc)
			for left := b.N / conns; left > 0; left -= depth {
				var sb strings.Builder
				for range min(depth, left) {
					sb.WriteString(command(rng))
				}
				if _, err := io.WriteString(nc, sb.String()); err != nil {
					b.Error(err)
					return
				}
				for range min(depth, left) {
					if err := skipReply(r); err != nil {
						b.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func skipReply(r *bufio.Reader) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	switch line[0] {
	case '-':
		return fmt.Errorf("%q", line)
	case '$':
		n := 0
		fmt.Sscan(line[1:], &n)
		if n >= 0 {
			_, err = r.Discard(n + 2)
		}
	}
	return err
}

func BenchmarkCommands(b *testing.B) {
	value := strings.Repeat("x", 100)
	for _, v := range []struct {
		name    string
		command func(*rand.Rand) string
	}{
		{"SET", func(r *rand.Rand) string {
			k := fmt.Sprintf("key:%012d", r.IntN(100000))
			return fmt.Sprintf("*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$100\r\n%s\r\n", len(k), k, value)
		}},
		{"GET", func(r *rand.Rand) string {
			k := fmt.Sprintf("key:%012d", r.IntN(100000))
			return fmt.Sprintf("*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(k), k)
		}},
	} {
		for _, depth := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/depth=%d", v.name, depth), func(b *testing.B) {
				nodes := benchCluster(b)
				addr, _, _, _, _ := nodes[0].Addrs()
				b.ReportAllocs()
				b.ResetTimer()
				pump(b, addr, 50, depth, v.command)
			})
		}
	}
}
