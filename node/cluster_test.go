package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// testConfig is a node on free loopback ports.
func testConfig(t *testing.T, name string) Config {
	t.Helper()
	cfg := Config{Dir: t.TempDir(), Name: name, RESP: "127.0.0.1:0", HTTP: "127.0.0.1:0", Peer: "127.0.0.1:0", Gossip: freeAddress(t),
		Memory: MemoryMin, Drain: time.Second}
	if os.Getenv("HOLDFAST_TEST_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("node", name)
	}
	return cfg
}

// freeAddress returns a loopback address that was free a moment ago: gossip must be known before it listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func openCluster(t *testing.T, n int) []*Node {
	t.Helper()
	cfgs := make([]Config, n)
	var seeds []string
	for i := range cfgs {
		cfgs[i] = testConfig(t, fmt.Sprint("node-", i+1))
		seeds = append(seeds, cfgs[i].Gossip)
	}
	nodes := make([]*Node, n)
	for i := range cfgs {
		cfgs[i].Join, cfgs[i].Expect = seeds, n
		node, err := Open(cfgs[i])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if err := node.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		})
		nodes[i] = node
	}
	for _, node := range nodes {
		awaitReady(t, node)
	}
	return nodes
}

// awaitReady waits until the node serves and sees every member in reach.
func awaitReady(t *testing.T, n *Node) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if n.Ready() && allUp(n) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s is not ready: %s", n.cfg.Name, n.Waiting())
		case <-tick.C:
		}
	}
}

func allUp(n *Node) bool {
	for _, m := range n.members.State().Members {
		if !n.up(m.ID) {
			return false
		}
	}
	return true
}

func client(t *testing.T, n *Node) *redis.Client {
	t.Helper()
	addr, _, _, _, _ := n.Addrs()
	c := redis.NewClient(&redis.Options{Addr: addr, Protocol: 2, MaxRetries: -1})
	t.Cleanup(func() { c.Close() })
	return c
}

func TestThreeNodesServeAnyCommandAnywhere(t *testing.T) {
	nodes := openCluster(t, 3)
	ctx := context.Background()
	for i := range 30 {
		key := fmt.Sprint("key", i)
		if err := client(t, nodes[i%3]).Set(ctx, key, i, 0).Err(); err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			if got, err := client(t, n).Get(ctx, key).Int(); err != nil || got != i {
				t.Fatalf("GET %s at %s: %d, %v", key, n.cfg.Name, got, err)
			}
		}
	}
	size, err := client(t, nodes[1]).DBSize(ctx).Result()
	if err != nil || size != 30 {
		t.Fatalf("DBSIZE %d, %v, want 30 keys, not copies", size, err)
	}
}
