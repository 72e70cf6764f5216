//go:build linux

package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// dialect is how the driver speaks with a system: an exchange by the command's name in a load.
type dialect map[string]exchange

// exchange is a kind of command, and what answers it.
type exchange struct {
	ask   func(key, value string) string
	reply func(*bufio.Reader) error // reads one reply; what is no success is an error
	last  string                    // ends a pipeline: asks whether all before it is safe
	safe  func(*bufio.Reader) error // reads what answers that; nil if last is empty
}

// replies reads all that answers a pipeline.
func (x exchange) replies(in *bufio.Reader, depth int) error {
	for range depth {
		if err := x.reply(in); err != nil {
			return err
		}
	}
	if x.safe == nil {
		return nil
	}
	return x.safe(in)
}

// redisWait speaks with a redis-server that has replicas: so many of them are to acknowledge each pipeline of SETs.
func redisWait(replicas int) dialect {
	return dialect{
		"set": {
			ask:   func(key, value string) string { return redisCommand("SET", key, value) },
			reply: readRedis,
			last:  redisCommand("WAIT", strconv.Itoa(replicas), strconv.FormatInt(waitMax.Milliseconds(), 10)),
			safe:  func(in *bufio.Reader) error { return readWait(in, replicas) },
		},
		"get": {ask: func(key, _ string) string { return redisCommand("GET", key) }, reply: readRedis},
	}
}

func redisCommand(words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b.String()
}

func readRedis(in *bufio.Reader) error {
	refused, err := readReply(in)
	return cmp.Or(err, refused)
}

// readWait reads how many replicas acknowledged in time.
func readWait(in *bufio.Reader, want int) error {
	line, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	number, isNumber := strings.CutPrefix(strings.TrimSpace(line), ":")
	n, err := strconv.Atoi(number)
	switch {
	case !isNumber || err != nil:
		return fmt.Errorf("WAIT was answered %q", line)
	case n < want:
		return fmt.Errorf("WAIT: %d replicas acknowledged within %v, want %d", n, waitMax, want)
	}
	return nil
}

// memcached speaks memcached's text protocol.
func memcached() dialect {
	return dialect{
		"set": {
			ask:   func(key, value string) string { return fmt.Sprintf("set %s 0 0 %d\r\n%s\r\n", key, len(value), value) },
			reply: readStored,
		},
		"get": {ask: func(key, _ string) string { return "get " + key + "\r\n" }, reply: readValues},
	}
}

func readStored(in *bufio.Reader) error {
	line, err := in.ReadString('\n')
	if err == nil && line != "STORED\r\n" {
		err = fmt.Errorf("memcached answered %q", line)
	}
	return err
}

// readValues reads what answers a get: VALUE, if there is one, and END.
func readValues(in *bufio.Reader) error {
	for {
		line, err := in.ReadString('\n')
		if err != nil || line == "END\r\n" {
			return err
		}
		fields := strings.Fields(line) // VALUE key flags bytes
		if len(fields) != 4 || fields[0] != "VALUE" {
			return fmt.Errorf("memcached answered %q", line)
		}
		n, err := strconv.Atoi(fields[3])
		if err != nil || n < 0 {
			return errors.Join(fmt.Errorf("memcached answered %q", line), err)
		}
		if _, err := in.Discard(n + len("\r\n")); err != nil {
			return err
		}
	}
}
