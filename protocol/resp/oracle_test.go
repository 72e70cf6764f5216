package resp

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// redisServer starts Debian's redis-server, empty, on a Unix socket in a directory of its own, and returns the socket.
// Without one the test is skipped, except where CI=true promises that all tools are there.
func redisServer(t *testing.T) string {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("redis-server is not installed")
		}
		t.Skip("redis-server is not installed")
	}
	dir, err := os.MkdirTemp("", "oracle") // short: a socket's path has at most 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(bin, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	await(t, socket)
	return socket
}

// await returns once the server answers.
func await(t *testing.T, socket string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		if nc, err := net.Dial("unix", socket); err == nil {
			nc.Close()
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("redis-server does not answer")
		}
	}
}

// draw makes random commands. Times are absolute and far, so that both servers' clocks do not matter.
type draw struct{ *rand.Rand }

func newDraw(seed uint64) draw { return draw{rand.New(rand.NewPCG(seed, 2))} }

func (d draw) of(words ...string) string { return words[d.IntN(len(words))] }
func (d draw) key() string               { return d.of("a", "b", "c", "d", "e") }
func (d draw) value() string {
	return d.of("", "0", "1", "-1", "10", "9223372036854775807", "-9223372036854775808", "x", "3.0", " 1", "01", "+5", "some text", "\x00\r\n")
}
func (d draw) number() string {
	return d.of("0", "1", "-1", "7", "x", "", "1.5", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "01")
}
func (d draw) at() string {
	return d.of("33177117420", "33177117421", "33177117430", "1", "0", "-1", "x", "9223372036854775807", "9223372036854776", "-9223372036854776")
}
func (d draw) atMillis() string {
	return d.of("33177117420000", "33177117421499", "33177117430500", "1", "0", "-1", "x", "9223372036854775807", "-9223372036854775808")
}

func (d draw) some(from int, word func() string) []string {
	var list []string
	for range from + d.IntN(3) {
		list = append(list, word())
	}
	return list
}

func (d draw) expiry() []string {
	switch d.IntN(8) {
	case 0, 1:
		return []string{d.of("EXAT", "exat"), d.at()}
	case 2, 3:
		return []string{"PXAT", d.atMillis()}
	case 4:
		return []string{d.of("EX", "PX", "EXAT")}
	case 5:
		return []string{d.of("EX", "PX"), d.of("0", "-1", "x", "9223372036854775807")}
	}
	return nil
}

func (d draw) setOptions() []string {
	var list []string
	for range d.IntN(3) {
		switch d.IntN(3) {
		case 0:
			list = append(list, d.of("NX", "XX", "GET", "KEEPTTL", "nx", "xx", "get", "keepttl", "PERSIST", "foo"))
		default:
			list = append(list, d.expiry()...)
		}
	}
	return list
}

func (d draw) command() []string {
	one := func(name string, rest ...string) []string { return append([]string{name, d.key()}, rest...) }
	switch d.IntN(25) {
	case 0, 1, 2:
		return append(one(d.of("SET", "set"), d.value()), d.setOptions()...)
	case 3, 4:
		return one(d.of("GET", "STRLEN", "TYPE"))
	case 5:
		return one("SETNX", d.value())
	case 6:
		return one(d.of("SETEX", "PSETEX"), d.of("0", "-1", "x", "9223372036854775807"), d.value())
	case 7:
		return one("GETSET", d.value())
	case 8:
		return one("GETDEL")
	case 9:
		return append(one("GETEX"), d.expiry()...)
	case 10:
		return one("GETEX", d.of("PERSIST", "KEEPTTL", "NX"))
	case 11:
		return append([]string{"MGET"}, d.some(0, d.key)...)
	case 12:
		return append([]string{"MSET"}, d.some(1, func() string { return d.of(d.key(), d.value()) })...)
	case 13:
		return one("APPEND", d.value())
	case 14, 15:
		return one(d.of("INCR", "DECR"))
	case 16, 17:
		return one(d.of("INCRBY", "DECRBY"), d.number())
	case 18:
		return append([]string{d.of("DEL", "UNLINK", "EXISTS")}, d.some(0, d.key)...)
	case 19, 20:
		return append(one(d.of("EXPIREAT", "expireat"), d.at()), d.some(0, d.condition)...)
	case 21:
		return append(one("PEXPIREAT", d.atMillis()), d.some(0, d.condition)...)
	case 22:
		return append(one(d.of("EXPIRE", "PEXPIRE"), d.of("-1", "0", "x", "9223372036854775807", "-9223372036854775808")), d.some(0, d.condition)...)
	case 23:
		return one(d.of("EXPIRETIME", "PEXPIRETIME", "PERSIST"))
	}
	return d.some(1, func() string { return d.of("GET", "a", "DBSIZE", "PING", "nosuch", "ECHO", "SELECT", "0", "16", "x") })
}

func (d draw) condition() string { return d.of("NX", "XX", "GT", "LT", "gt", "foo") }

// Random commands, good and bad, in random pipelines, get the same replies as from Redis, byte for byte.
func TestOracle(t *testing.T) {
	redis := dial(t, "unix", redisServer(t))
	ours := dial(t, "tcp", newRig(t, nil).addr)
	d := newDraw(1)
	var log []string
	for step := range 4000 {
		var pipeline strings.Builder
		n := 1 + d.IntN(8)
		for range n {
			args := d.command()
			if args[0] == "SELECT" && len(args) > 1 && args[1] == "0" && d.IntN(2) == 0 {
				args = []string{"SELECT", "0"}
			}
			log = append(log, fmt.Sprintf("%q", args))
			pipeline.Write(encode(args...))
		}
		ours.send("%s", pipeline.String())
		redis.send("%s", pipeline.String())
		for i := range n {
			got, want := ours.reply(), redis.reply()
			if got != want {
				t.Fatalf("step %d: %s\nours  %q\nredis %q\nafter\n%s", step, log[len(log)-n+i], got, want, strings.Join(log[max(0, len(log)-40):], "\n"))
			}
		}
	}
}

// What COMMAND says of every command that Redis 7.0 has is what Redis says.
func TestCommandInfoIsRedis(t *testing.T) {
	redis := dial(t, "unix", redisServer(t))
	ours := dial(t, "tcp", newRig(t, nil).addr)
	for _, m := range commands() {
		if m.group == "holdfast" {
			continue
		}
		names := []string{m.name}
		if m.subs != nil {
			names = nil // Redis has more subcommands, in an order of its own
		}
		for _, s := range m.subs {
			if s.since < "7.2" {
				names = append(names, s.name)
			}
		}
		for _, name := range names {
			if got, want := ours.do("COMMAND", "INFO", name), redis.do("COMMAND", "INFO", name); got != want {
				t.Errorf("%s\nours  %q\nredis %q", name, got, want)
			}
		}
	}
}
