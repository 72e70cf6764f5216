//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a server that takes requests of one length each, and answers each after a while.
type fake struct {
	want   *regexp.Regexp // each request
	bytes  int            // of one
	after  time.Duration
	reply  string
	served atomic.Int64 // requests
	zeros  atomic.Int64 // of those, how many were about the first key alone
}

func (f *fake) serve(t *testing.T, conn net.Conn) {
	request := make([]byte, f.bytes)
	for {
		if n, err := io.ReadFull(conn, request); err != nil {
			if n > 0 {
				t.Errorf("a part of a request: %q", request[:n])
			}
			return
		}
		if !f.want.Match(request) {
			t.Errorf("sent %q, want %v", request, f.want)
		}
		f.served.Add(1)
		if strings.Count(string(request), keyZero) == strings.Count(string(request), "key:") {
			f.zeros.Add(1)
		}
		time.Sleep(f.after)
		if _, err := io.WriteString(conn, f.reply); err != nil {
			return
		}
	}
}

// dial returns a connection to the fake.
func (f *fake) dial(t *testing.T) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		here, there := net.Pipe()
		go f.serve(t, there)
		return here, nil
	}
}

const (
	redisSet     = `\*3\r\n\$3\r\nSET\r\n\$16\r\nkey:0000000000\d\d\r\n\$3\r\nxxx\r\n`
	redisGet     = `\*2\r\n\$3\r\nGET\r\n\$16\r\nkey:0000000000\d\d\r\n`
	wait         = `\*3\r\n\$4\r\nWAIT\r\n\$1\r\n1\r\n\$4\r\n1000\r\n`
	memcachedSet = `set key:0000000000\d\d 0 0 3\r\nxxx\r\n`
	memcachedGet = `get key:0000000000\d\d\r\n`
)

// sends is the bytes that a pattern above matches: it has no choice but of digits.
func sends(pattern string) int {
	return len(strings.NewReplacer(`\d`, "0", `\*`, "*", `\$`, "$", `\r`, "\r", `\n`, "\n").Replace(pattern))
}

func TestDriverSendsPipelinesAndCountsReplies(t *testing.T) {
	for name, c := range map[string]struct {
		dialect          dialect
		command          string
		one, last, reply string
	}{
		"redis: a pipeline of SETs ends with one WAIT": {redisWait(1), "set", redisSet, wait, "+OK\r\n+OK\r\n+OK\r\n:2\r\n"},
		"redis: a GET waits for nobody, found or not":  {redisWait(1), "get", redisGet, "", "$3\r\nxxx\r\n$-1\r\n$3\r\nxxx\r\n"},
		"memcached: set":               {memcached(), "set", memcachedSet, "", "STORED\r\nSTORED\r\nSTORED\r\n"},
		"memcached: get, found or not": {memcached(), "get", memcachedGet, "", "VALUE key 0 5\r\nEND\r\n\r\nEND\r\nEND\r\nVALUE key 0 0\r\n\r\nEND\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{want: regexp.MustCompile("^(" + c.one + "){3}" + c.last + "$"), bytes: 3*sends(c.one) + sends(c.last), after: 10 * time.Millisecond, reply: c.reply}
				d := driver{dial: f.dial(t), exchange: c.dialect[c.command], shape: shape{connections: 2, valueBytes: 3, keys: 100}, depth: 3}
				got, err := d.run(t.Context(), 24)
				want := sample{perSecond: 600, p50: f.after, p99: f.after} // 2 connections, 3 commands each 10 ms
				if err != nil || got != want || f.served.Load() != 8 {
					t.Errorf("%+v after %d pipelines, %v", got, f.served.Load(), err)
				}
				if f.zeros.Load() == f.served.Load() {
					t.Error("no keys were drawn")
				}
			})
		})
	}
}

func TestDriverFailsClearly(t *testing.T) {
	for name, c := range map[string]struct {
		dialect              dialect
		command, reply, says string
	}{
		"a WAIT that too few answered":          {redisWait(2), "set", "+OK\r\n:1\r\n", "WAIT: 1 replicas acknowledged within 1s, want 2"},
		"a WAIT that is refused":                {redisWait(1), "set", "+OK\r\n-ERR WAIT cannot\r\n", "-ERR WAIT cannot"},
		"a WAIT that is answered nonsense":      {redisWait(1), "set", "+OK\r\n:many\r\n", ":many"},
		"a SET that is refused":                 {redisWait(1), "set", "-READONLY no\r\n:1\r\n", "-READONLY no"},
		"a GET that is refused":                 {redisWait(1), "get", "-LOADING no\r\n", "-LOADING no"},
		"a set that memcached has no room for":  {memcached(), "set", "SERVER_ERROR out of memory\r\n", "out of memory"},
		"a get that memcached refuses":          {memcached(), "get", "CLIENT_ERROR bad\r\n", "CLIENT_ERROR bad"},
		"a get that memcached answers nonsense": {memcached(), "get", "VALUE key 0 -3\r\n", "VALUE key 0 -3"},
		"a set answered as a get":               {memcached(), "set", "END\r\n", "END"},
		"a server that says nothing":            {memcached(), "set", "", os.ErrDeadlineExceeded.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := c.dialect[c.command]
				f := &fake{want: regexp.MustCompile(""), bytes: len(x.ask(keyZero, "x") + x.last), reply: c.reply}
				d := driver{dial: f.dial(t), exchange: x, shape: shape{connections: 3, valueBytes: 1, keys: 1}, depth: 1}
				if s, err := d.run(t.Context(), 1000); err == nil || !strings.Contains(err.Error(), c.says) || s != (sample{}) {
					t.Errorf("%+v, %v, want %q", s, err, c.says)
				}
				if n := f.served.Load(); n > 3 {
					t.Errorf("%d commands were sent by 3 connections", n)
				}
			})
		})
	}
}

func TestDriverEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f := &fake{want: regexp.MustCompile(""), bytes: sends(memcachedGet)} // answers nothing
		d := driver{dial: f.dial(t), exchange: memcached()["get"], shape: shape{connections: 1, keys: 1}, depth: 1}
		begin := time.Now()
		if _, err := d.run(ctx, 1000); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestPipelinesDrawEveryKey(t *testing.T) {
	p := newPipeline(memcached()["get"].ask(keyZero, ""), 2, "last")
	seen := map[string]bool{}
	for range 1000 {
		p.draw(3)
		seen[string(p.bytes)] = true
	}
	for _, one := range []string{"0", "1", "2"} {
		for _, two := range []string{"0", "1", "2"} {
			if all := "get key:00000000000" + one + "\r\nget key:00000000000" + two + "\r\nlast"; !seen[all] {
				t.Errorf("never drawn: %q", all)
			}
		}
	}
	if len(seen) != 9 {
		t.Errorf("%d pipelines of two among three keys", len(seen))
	}
	for n, want := range map[int]string{0: "000000000000", 12345: "000000012345", 999_999_999_999: "999999999999"} {
		digits := make([]byte, keyDigits)
		if setDigits(digits, n); string(digits) != want {
			t.Errorf("%d is written %s", n, digits)
		}
	}
}

// An entrant with a dialect meets the driver, in whole pipelines, and what goes wrong says against whom.
func TestClosedLoopDrivesWhoHasADialect(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // ends with the listener
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			go answer(conn, 40)
		}
	}()
	e := entrant{name: "a fake", system: &system{addresses: []string{l.Addr().String()}}, dialect: memcached()}
	if s, err := runClosed(t.Context(), e, load{"get", 16}, shape{connections: 1, keys: 10}, 17); err != nil || s.perSecond <= 0 || s.p99 <= 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := runClosed(t.Context(), e, load{"get", 16}, shape{connections: 1, keys: 10}, 33); err == nil || !strings.Contains(err.Error(), "GET, pipeline 16 against a fake") {
		t.Errorf("48 commands of a server that answers 40: %v", err)
	}
}

// answer answers so many lines, and no more.
func answer(conn net.Conn, lines int) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for range lines {
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		if _, err := io.WriteString(conn, "END\r\n"); err != nil {
			return
		}
	}
}
