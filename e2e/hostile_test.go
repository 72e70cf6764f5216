//go:build linux

package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Limits that clients are promised.
const (
	valueBytesMax = 8 << 20
	peerFrameMax  = 64 << 20
)

// TestHostileBytesHarmNobody throws at every port of every node what ends or spins lesser servers, while a client works.
func TestHostileBytesHarmNobody(t *testing.T) {
	c := found(t, 3)
	names := fill(t, c.nodes, 300)
	l := load(t, 6, 5*time.Millisecond, c.nodes...)
	for _, m := range c.nodes {
		for name, bytes := range hostileRESP() {
			attack(t, m.resp(), name, bytes)
		}
		drip(t, m.resp())
		for name, bytes := range hostilePeer() {
			attack(t, m.peer(), name, bytes)
			attack(t, m.gossip(), name, bytes)
			attack(t, m.http(), name, bytes)
			datagram(t, m.gossip(), bytes)
		}
	}
	r := l.stop()
	c.allRun(t)
	c.awaitAlive(t)
	c.awaitNoHints(t)
	r.report(t, 0, time.Hour)
	r.answered(t)
	r.verify(t, l, 1, c.nodes...)
	for _, m := range c.nodes {
		present(t, m, names)
	}
}

// hostileRESP are streams of bytes for the Redis port.
func hostileRESP() map[string][]byte {
	return map[string][]byte{
		"a size of 2^63-1":           []byte("*1\r\n$9223372036854775807\r\n"),
		"a thousand million words":   []byte("*1000000000\r\n"),
		"a size, and nothing behind": fmt.Appendf(nil, "*1\r\n$%d\r\n", valueBytesMax),
		"a million words, none sent": []byte("*1048576\r\n$3\r\nDEL\r\n"),
		"HTTP":                       []byte("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"a line without an end":      bytes.Repeat([]byte("A"), 1<<20),
		"noise":                      noise(64 << 10),
	}
}

// hostilePeer are streams of bytes for the ports between nodes.
func hostilePeer() map[string][]byte {
	return map[string][]byte{
		"noise":                    noise(64 << 10),
		"a huge frame":             frame(peerFrameMax-8, 1, []byte("HOLDFAST")),
		"a frame of 2^32-1":        frame(1<<32-1, 1, nil),
		"an empty frame":           frame(0, 1, nil),
		"half a hello":             frame(100, 1, []byte("HOLDFAST\x01\x01\x00"))[:34],
		"a hello of nobody":        frame(18+79, 1, append([]byte("HOLDFAST\x01\x01\x00"), make([]byte, 68)...)),
		"a write without a hello":  frame(18+8, 4, make([]byte, 8)),
		"an answer to no question": frame(18, 0x83, nil),
	}
}

// frame is one frame between nodes, with a right checksum over what is there, whatever length it claims.
func frame(length uint32, kind byte, payload []byte) []byte {
	head := binary.LittleEndian.AppendUint32(nil, length)
	rest := append([]byte{kind, 0}, make([]byte, 16)...)
	rest = append(rest, payload...)
	table := crc32.MakeTable(crc32.Castagnoli)
	head = binary.LittleEndian.AppendUint32(head, crc32.Update(crc32.Update(0, table, head), table, rest))
	return append(head, rest...)
}

// noise is the same random bytes in every run.
func noise(n int) []byte {
	b, rng := make([]byte, n), rand.New(rand.NewPCG(7, 7))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// attack sends bytes and hangs up when the server does, or when it has said nothing for a while.
func attack(t *testing.T, addr, name string, bytes []byte) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond)) // silence is an answer, too
	_, _ = conn.Write(bytes)                                     // the server may hang up before it has read everything
	_, _ = io.Copy(io.Discard, conn)
}

// datagram sends the front of bytes by UDP.
func datagram(t *testing.T, addr string, bytes []byte) {
	t.Helper()
	conn, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(bytes[:min(len(bytes), 1400)]); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("datagram: %v", err)
	}
}

// drip sends one long command a byte at a time, which overflows the stack of a reader that recurses, and wants its answer.
func drip(t *testing.T, addr string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	word := strings.Repeat("x", 20_000)
	for _, b := range fmt.Appendf(nil, "*2\r\n$4\r\nECHO\r\n$%d\r\n%s\r\n", len(word), word) {
		if _, err := conn.Write([]byte{b}); err != nil {
			t.Fatalf("drip: %v", err)
		}
	}
	want := fmt.Sprintf("$%d\r\n%s\r\n", len(word), word)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Errorf("drip: %.40q, %v", got, err)
	}
}

// present wants every key to hold its own name.
func present(t *testing.T, m *member, names []string) {
	t.Helper()
	missing := 0
	for name, reply := range fetch(t, m.client(t), "GET", names) {
		if got := valuesOf(reply); len(got) != 1 || got[0] != name {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d keys are missing on %s", missing, len(names), m.name)
	}
}

// TestBadCommandsAreRefusedAndWriteNothing sends what clients get wrong, and wants an error that says so, and the key as it was.
func TestBadCommandsAreRefusedAndWriteNothing(t *testing.T) {
	c := found(t, 3)
	conn := c.nodes[1].client(t)
	must(t, conn, "SET", "k", "text")
	must(t, conn, "PUTCTX", "v", "", "x")
	must(t, conn, "PUTCTX", "other", "", "x")
	seen, _ := contextOf(must(t, conn, "GETV", "v"))
	others, _ := contextOf(must(t, conn, "GETV", "other"))
	huge := make([]byte, valueBytesMax+1)
	for _, bad := range []struct {
		name, want string
		command    []any
	}{
		{"too few words", "ERR wrong number of arguments for 'get' command", []any{"GET"}},
		{"too many words", "ERR wrong number of arguments for 'get' command", []any{"GET", "k", "k"}},
		{"PUTCTX without a value", "ERR wrong number of arguments for 'putctx' command", []any{"PUTCTX", "v", seen}},
		{"no such command", "ERR unknown command 'FROB'", []any{"FROB", "k"}},
		{"an option that is none", "ERR syntax error", []any{"SET", "k", "w", "FROB"}},
		{"options that exclude each other", "ERR syntax error", []any{"SET", "k", "w", "NX", "XX"}},
		{"INCR of text", "ERR value is not an integer or out of range", []any{"INCR", "k"}},
		{"an expiry of words", "ERR value is not an integer or out of range", []any{"SET", "k", "w", "EX", "soon"}},
		{"an expiry in the past", "ERR invalid expire time in 'set' command", []any{"SET", "k", "w", "EX", "0"}},
		{"a value one byte too long", "TOOBIG ", []any{"SET", "k", huge}},
		{"an append that makes it too long", "TOOBIG ", []any{"APPEND", "k", huge[:valueBytesMax]}},
		{"a version one byte too long", "TOOBIG ", []any{"PUTCTX", "v", seen, huge}},
		{"a database that does not exist", "ERR DB index is out of range", []any{"SELECT", "16"}},
		{"a damaged context", "BADCONTEXT ", []any{"PUTCTX", "v", damaged(seen, len(seen)/2), "y"}},
		{"a context damaged at its end", "BADCONTEXT ", []any{"PUTCTX", "v", damaged(seen, len(seen)-1), "y"}},
		{"a context cut short", "BADCONTEXT ", []any{"PUTCTX", "v", seen[:len(seen)-4], "y"}},
		{"a forged context", "BADCONTEXT ", []any{"PUTCTX", "v", forged(seen), "y"}},
		{"another key's context", "BADCONTEXT ", []any{"PUTCTX", "v", others, "y"}},
		{"another key's context for a delete", "BADCONTEXT ", []any{"DELCTX", "v", others}},
		{"no context at all", "BADCONTEXT ", []any{"PUTCTX", "v", "not a context", "y"}},
	} {
		t.Run(bad.name, func(t *testing.T) {
			_, err := conn.Do(bad.command[0].(string), bad.command[1:]...)
			var answer redis.Error
			if !errors.As(err, &answer) || !strings.HasPrefix(string(answer), bad.want) {
				t.Errorf("got %v, want %s", err, bad.want)
			}
		})
	}
	t.Run("another keyspace's context", func(t *testing.T) {
		must(t, conn, "SELECT", 1)
		if _, err := conn.Do("PUTCTX", "v", seen, "y"); err == nil || !strings.HasPrefix(err.Error(), "BADCONTEXT ") {
			t.Errorf("got %v", err)
		}
		must(t, conn, "SELECT", 0)
	})
	for _, m := range c.nodes {
		other := m.client(t)
		if got, err := redis.String(other.Do("GET", "k")); got != "text" || err != nil {
			t.Errorf("k on %s: %.20q, %v", m.name, got, err)
		}
		if _, values := contextOf(must(t, other, "GETV", "v")); len(values) != 1 || values[0] != "x" {
			t.Errorf("v on %s: %.100q", m.name, values)
		}
	}
	must(t, conn, "SET", "long", huge[:valueBytesMax])
	if got, err := redis.Bytes(c.nodes[2].client(t).Do("GET", "long")); len(got) != valueBytesMax || err != nil {
		t.Errorf("a value of just %d bytes: %d, %v", valueBytesMax, len(got), err)
	}
	c.allRun(t)
}

// damaged changes one character of a token.
func damaged(token string, at int) string {
	b := []byte(token)
	if b[at]++; b[at] == 'Z'+1 || b[at] == 'z'+1 || b[at] == '9'+1 || b[at] == '.' || b[at] == '`' {
		b[at] = 'B'
	}
	return string(b)
}

// forged is a token of the same length whose proof somebody made up.
func forged(token string) string {
	return token[:len(token)-16] + strings.Repeat("A", 16)
}
