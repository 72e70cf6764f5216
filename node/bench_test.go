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
	"sync/atomic"
	"syscall"
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

func allUp(n *Node) bool {
	for _, m := range n.members.State().Members {
		if !n.up(m.ID) {
			return false
		}
	}
	return true
}

// pump sends n commands over conns connections, depth at a time, and waits for the replies.
func pump(b *testing.B, addr string, n, conns, depth int, command func(*rand.Rand) string) {
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
			for left := n / conns; left > 0; left -= depth {
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

const benchKeys = 100_000

func benchSet(n int) string {
	return fmt.Sprintf("*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$100\r\n%s\r\n", n, strings.Repeat("x", 100))
}

func benchGet(n int) string { return fmt.Sprintf("*2\r\n$3\r\nGET\r\n$16\r\nkey:%012d\r\n", n) }

// BenchmarkCommands is of keys that exist. CPU-us/op is that of the whole process: three nodes, and the client.
func BenchmarkCommands(b *testing.B) {
	for _, v := range []struct {
		name    string
		command func(n int) string
	}{{"SET", benchSet}, {"GET", benchGet}} {
		for _, depth := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/depth=%d", v.name, depth), func(b *testing.B) {
				nodes := benchCluster(b)
				addr, _, _, _, _ := nodes[0].Addrs()
				var next atomic.Int32
				pump(b, addr, benchKeys, 50, 16, func(*rand.Rand) string { return benchSet(int(next.Add(1)) % benchKeys) })
				b.ReportAllocs()
				b.ResetTimer()
				began := processTime(b)
				pump(b, addr, b.N, 50, depth, func(r *rand.Rand) string { return v.command(r.IntN(benchKeys)) })
				b.ReportMetric(float64((processTime(b)-began).Microseconds())/float64(b.N), "CPU-us/op")
			})
		}
	}
}

// processTime returns the CPU time that this process has used, in user and kernel mode.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
