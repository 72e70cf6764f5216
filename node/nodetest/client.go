package nodetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

const answerMax = 30 * time.Second // for any answer: no client waits for ever

// Error is an error reply, without its dash.
type Error string

// Error implements error.
func (e Error) Error() string { return string(e) }

// RedisError makes it a reply error to go-redis.
func (Error) RedisError() {}

// Client is one RESP2 connection, for one goroutine at a time.
type Client struct {
	conn net.Conn
	r    *bufio.Reader
}

// Dial connects to the node's RESP port from a host.
func (m *Machine) Dial(from string) (*Client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerMax)
	defer cancel()
	conn, err := m.c.Net.Host(from).Dial(ctx, m.Config.RESP)
	if err != nil {
		return nil, err
	}
	return &Client{conn, bufio.NewReader(conn)}, nil
}

// Close closes the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Do asks one command. The answer is a string, an int64, nil, an Error, or a []any of these; any other error is the connection's.
func (c *Client) Do(args ...any) any {
	if err := c.Send(args...); err != nil {
		return err
	}
	return c.Receive()
}

// Send writes a command.
func (c *Client) Send(args ...any) error {
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		text := fmt.Sprint(a)
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(text), text)
	}
	_ = c.conn.SetDeadline(time.Now().Add(answerMax))
	_, err := c.conn.Write(b)
	return err
}

// Receive reads an answer.
func (c *Client) Receive() any {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return err
	}
	line = line[:len(line)-2]
	switch line[0] {
	case '+':
		return line[1:]
	case '-':
		return Error(line[1:])
	}
	n, err := strconv.ParseInt(line[1:], 10, 64)
	switch {
	case err != nil:
		return fmt.Errorf("nodetest: answer %q", line)
	case line[0] == ':':
		return n
	case n < 0:
		return nil
	case line[0] == '*':
		return c.array(n)
	}
	return c.bulk(n)
}

func (c *Client) array(n int64) any {
	out := make([]any, n)
	for i := range out {
		out[i] = c.Receive()
	}
	return out
}

func (c *Client) bulk(n int64) any {
	b := make([]byte, n+2)
	if _, err := io.ReadFull(c.r, b); err != nil {
		return err
	}
	return string(b[:n])
}
