package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/holdfastdb/holdfast/protocol"
)

func runReady(ctx context.Context, p *process, args []string) error {
	fs := newFlags("ready")
	t := targetFlags(fs)
	web := fs.String("http", "", "")
	if err := p.parse(fs, args); err != nil {
		return err
	}
	if *web != "" {
		return askReadyz(ctx, *web)
	}
	_, err := t.askReady(ctx)
	return err
}

// askReady returns what a serving node says of the cluster, or why it does not serve. A node that drains accepts no
// connection, and one that has not found its cluster yet answers with an error.
func (t *target) askReady(ctx context.Context) (protocol.Status, error) {
	var s protocol.Status
	reply, err := t.ask(ctx, "PING")
	if err != nil {
		return s, err
	}
	if string(reply) != "PONG" {
		return s, fmt.Errorf("%s answers PING with %q", t.addr, reply)
	}
	return s, t.askObject(ctx, &s, "HOLDFAST", "STATUS")
}

// askReadyz returns nil if the node's /readyz says that it serves.
func askReadyz(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("--http %q: want host:port", addr)
	}
	// A transport of its own: no proxy of the environment may stand between, and no connection stays.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		return &dialError{addr, err}
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, ReplyLineBytes))
	if err != nil {
		return fmt.Errorf("%s broke off: %w", addr, err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s: %s", addr, answer.Status, strings.TrimSpace(string(body)))
	}
	return nil
}
