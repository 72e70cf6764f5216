package node_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/nodetest"
	"github.com/redis/go-redis/v9"
)

func TestThreeNodesServeAnyCommandAnywhere(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		for i := range 30 {
			key := fmt.Sprint("key", i)
			must(t, c.Machines[i%3], "SET", key, i)
			for _, m := range c.Machines {
				if got := must(t, m, "GET", key); got != fmt.Sprint(i) {
					t.Fatalf("GET %s at %s: %v", key, m.Config.Name, got)
				}
			}
		}
		if size := must(t, c.Machines[1], "DBSIZE"); size != int64(30) {
			t.Fatalf("DBSIZE %v, want 30 keys, not copies", size)
		}
	})
}

// Without a network of its own a node uses the machine's. Nothing here waits for a time, so that a slow machine passes it slowly.
func TestANodeServesOnTheMachinesNetworkAndDisk(t *testing.T) {
	gossip := freeAddress(t)
	n, err := node.Open(node.Config{Dir: t.TempDir(), Name: "node-1", RESP: "127.0.0.1:0", HTTP: "127.0.0.1:0", Peer: "127.0.0.1:0", Gossip: gossip,
		Memory: node.MemoryMin, Join: []string{gossip}, Expect: 1, Budget: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	for tick := time.NewTicker(10 * time.Millisecond); !n.Ready(); <-tick.C {
	}
	addr, _, _, _, _ := n.Addrs()
	client := redis.NewClient(&redis.Options{Addr: addr, Protocol: 2, MaxRetries: -1, ReadTimeout: -1, DialTimeout: time.Hour})
	defer client.Close()
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Get(t.Context(), "k").Result(); err != nil || got != "v" {
		t.Fatalf("GET: %q, %v", got, err)
	}
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
