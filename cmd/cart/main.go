// Command cart is a small shopping cart service over a Holdfast cluster. See package cart for its interface and its merge.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/holdfastdb/holdfast/cmd/cart/cart"
	"github.com/redis/go-redis/v9"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "where to serve, `host:port`")
	nodes := flag.String("redis", "127.0.0.1:6379,127.0.0.1:6380,127.0.0.1:6381", "the cluster's nodes, `host:port,...`; any of them will do")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *listen, strings.Split(*nodes, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "cart:", err)
		os.Exit(1)
	}
}

// serve serves until ctx ends, then lets the requests in flight finish.
func serve(ctx context.Context, listen string, nodes []string) error {
	var clients []cart.Client
	for _, addr := range nodes {
		client := redis.NewClient(&redis.Options{
			Addr: addr, Protocol: 2, DialTimeout: time.Second, ReadTimeout: 2 * time.Second, WriteTimeout: time.Second,
			MaxRetries: -1, // the service goes to the next node itself
		})
		defer client.Close()
		clients = append(clients, client)
	}
	server := &http.Server{
		Addr: listen, Handler: cart.New(clients...),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	slog.Info("serving carts", "listen", listen, "nodes", nodes)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(draining); err != nil {
		return err
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
