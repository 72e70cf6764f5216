package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// target is the node that a command asks, and as whom.
type target struct{ addr, user, password string }

// targetFlags adds --addr, --user and --password.
func targetFlags(fs *flag.FlagSet) *target {
	t := &target{}
	fs.StringVar(&t.addr, "addr", "127.0.0.1:6379", "")
	fs.StringVar(&t.user, "user", "", "")
	fs.StringVar(&t.password, "password", "", "")
	return t
}

// answerError is an error reply of the node, its text whole.
type answerError string

func (e answerError) Error() string { return string(e) }

// ask sends one command and returns its reply, a status or bulk string of at most ReplyBytesMax. It takes askTimeout at most. An
// error reply is an answerError. The exchange is spelled out here, since a client library would quadruple the binary
// for one question.
func (t *target) ask(ctx context.Context, command ...string) ([]byte, error) {
	return t.askWithin(ctx, askTimeout, command...)
}

func (t *target) askWithin(ctx context.Context, timeout time.Duration, command ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, &dialError{t.addr, err}
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	reply, err := t.exchange(conn, command)
	if cause := ctx.Err(); cause != nil && err != nil {
		return nil, fmt.Errorf("%s does not answer within %v", t.addr, timeout)
	}
	return reply, err
}

// dialError says that a node could not be reached at all.
type dialError struct {
	addr string
	err  error
}

// Error says it in words, with what to look at.
func (e *dialError) Error() string {
	switch {
	case errors.Is(e.err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nothing listens on %s; is the node running? --addr says where", e.addr)
	case errors.Is(e.err, context.DeadlineExceeded):
		return fmt.Sprintf("%s cannot be reached within %v; --addr says where", e.addr, askTimeout)
	}
	return fmt.Sprintf("cannot reach %s: %v; --addr says where", e.addr, e.err)
}

func (e *dialError) Unwrap() error { return e.err }

func (t *target) exchange(conn net.Conn, command []string) ([]byte, error) {
	replies := bufio.NewReaderSize(conn, ReplyLineBytes)
	if auth := t.auth(); auth != nil {
		if _, err := roundTrip(conn, replies, auth); err != nil {
			return nil, err
		}
	}
	return roundTrip(conn, replies, command)
}

// auth returns the command that says who asks, or nil.
func (t *target) auth() []string {
	switch {
	case t.password == "":
		return nil
	case t.user == "":
		return []string{"AUTH", t.password}
	}
	return []string{"AUTH", t.user, t.password}
}

func roundTrip(w io.Writer, replies *bufio.Reader, command []string) ([]byte, error) {
	if _, err := w.Write(appendCommand(nil, command)); err != nil {
		return nil, fmt.Errorf("the connection broke: %w", err)
	}
	return readReply(replies)
}

func appendCommand(b []byte, words []string) []byte {
	b = fmt.Appendf(b, "*%d\r\n", len(words))
	for _, word := range words {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(word), word)
	}
	return b
}

// errNotRESP is the answer of something that does not speak Redis's protocol, or of a reply that no command here has.
var errNotRESP = errors.New("the answer is not of Redis's protocol; is this the node's --resp port?")

// readReply reads a status, an error or a bulk string.
func readReply(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errNotRESP
	}
	if err != nil {
		return nil, fmt.Errorf("the connection broke: %w", err)
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok || text == "" {
		return nil, errNotRESP
	}
	switch text[0] {
	case '+':
		return []byte(text[1:]), nil
	case '-':
		return nil, answerError(text[1:])
	case '$':
		return readBulk(r, text[1:])
	}
	return nil, errNotRESP
}

// readBulk reads length bytes and the line's end. The buffer grows with what arrives, not with what the length claims.
func readBulk(r *bufio.Reader, length string) ([]byte, error) {
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 {
		return nil, errNotRESP
	}
	if n > ReplyBytesMax {
		return nil, fmt.Errorf("the answer is longer than %d bytes", ReplyBytesMax)
	}
	body, err := io.ReadAll(io.LimitReader(r, int64(n)+2))
	if err != nil {
		return nil, fmt.Errorf("the connection broke: %w", err)
	}
	if len(body) < n+2 {
		return nil, fmt.Errorf("the connection broke: %w", io.ErrUnexpectedEOF)
	}
	if string(body[n:]) != "\r\n" {
		return nil, errNotRESP
	}
	return body[:n], nil
}

// askObject asks for a JSON object and decodes it into answer.
func (t *target) askObject(ctx context.Context, answer any, command ...string) error {
	return t.askObjectWithin(ctx, askTimeout, answer, command...)
}

func (t *target) askObjectWithin(ctx context.Context, timeout time.Duration, answer any, command ...string) error {
	reply, err := t.askWithin(ctx, timeout, command...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(reply, answer); err != nil {
		return fmt.Errorf("%s answers to %s what is not its JSON: %w", t.addr, strings.Join(command, " "), err)
	}
	return nil
}

// writeObject prints an object for programs.
func writeObject(w io.Writer, object any) error {
	text, err := json.MarshalIndent(object, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}
