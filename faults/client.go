//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/holdfastdb/holdfast/faults/history"
)

// outcome is what came of a command.
type outcome string

// The outcomes. All but ok are false promises if something else is seen later: what was refused is never seen, what was lost or
// perhaps executed may be.
const (
	ok       outcome = "ok"
	noQuorum outcome = "NOQUORUM"
	tryAgain outcome = "TRYAGAIN"
	tooBig   outcome = "TOOBIG"
	maybe    outcome = "MAYBE"
	lost     outcome = "connection lost"
	wrong    outcome = "unexpected error"
)

// executed returns how a command that ended so counts: surely, perhaps or not at all.
func (o outcome) executed() (surely, perhaps bool) {
	return o == ok, o == maybe || o == lost || o == wrong
}

// client is one connection, which is made anew when it breaks, and what it saw.
type client struct {
	*load
	name   string
	server *server
	pace   time.Duration
	conn   redis.Conn // nil: not connected
	rng    *rand.Rand
	seq    int
	record
}

// run does one thing after the other until the load ends.
func (c *client) run() {
	acts := c.acts()
	tick := time.NewTicker(c.pace)
	defer tick.Stop()
	for {
		select {
		case <-c.ending:
			c.hangUp()
			return
		case <-tick.C:
		}
		if c.connected() {
			acts[c.rng.IntN(len(acts))]()
		}
	}
}

// connected connects if need be.
func (c *client) connected() bool {
	if c.conn != nil {
		return true
	}
	conn, err := c.server.dial()
	if err != nil {
		time.Sleep(redialPause)
		return false
	}
	c.conn = conn
	return true
}

func (c *client) hangUp() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// acts returns what a client does, each as often as it shall be done relative to the others.
func (c *client) acts() (acts []func()) {
	for _, a := range []struct {
		share int
		do    func()
	}{
		{10, func() { c.get(c.own, c.ownKey()) }}, {18, func() { c.set(c.own, c.ownKey()) }}, {4, func() { c.del(c.own, c.ownKey()) }},
		{8, func() { c.get(c.shared, c.sharedKey()) }}, {10, func() { c.set(c.shared, c.sharedKey()) }},
		{4, func() { c.del(c.shared, c.sharedKey()) }}, {4, c.setNX}, {6, c.getV}, {16, c.putCtx}, {3, c.delCtx}, {8, c.incr},
	} {
		acts = append(acts, slices.Repeat([]func(){a.do}, a.share)...)
	}
	return acts
}

// key draws one of a set's keys of this epoch.
func (c *client) key(set string, size int) string {
	return fmt.Sprintf("%s:%d:%d", set, c.now()/epoch, c.rng.IntN(size))
}

func (c *client) ownKey() string    { return c.key("own:"+c.name, ownKeys) }
func (c *client) sharedKey() string { return c.key("shared", sharedKeys) }

// value returns one that nobody writes a second time.
func (c *client) value() string {
	c.seq++
	return fmt.Sprintf("%s-%d", c.name, c.seq)
}

// answer is what came of a command, and when.
type answer struct {
	outcome
	reply      any
	begin, end time.Duration
}

// do sends one command and waits for its answer.
func (c *client) do(command string, args ...any) answer {
	begin := c.now()
	if c.conn == nil { // an earlier command of the same act lost it
		return answer{outcome: noQuorum, begin: begin, end: begin}
	}
	reply, err := c.conn.Do(command, args...)
	a := answer{outcomeOf(err), reply, begin, c.now()}
	c.outcomes[a.outcome]++
	if a.outcome == lost {
		c.hangUp()
	} else {
		c.answers = append(c.answers, sample{a.begin, a.end - a.begin})
	}
	if (a.outcome != ok || a.end-a.begin > answerMax) && len(c.odd) < oddMax {
		c.odd = append(c.odd, oddity{c.server.index, command, a.outcome, a.begin, a.end, fmt.Sprint(err)})
	}
	return a
}

func outcomeOf(err error) outcome {
	var answer redis.Error
	switch {
	case err == nil:
		return ok
	case !errors.As(err, &answer):
		return lost
	}
	code, _, _ := strings.Cut(string(answer), " ")
	if o := outcome(code); slices.Contains([]outcome{noQuorum, tryAgain, tooBig, maybe}, o) {
		return o
	}
	return wrong
}

// wrote records a write of a key, unless it was refused.
func (c *client) wrote(k *history.Key, value string, over []string, a answer) bool {
	surely, perhaps := a.executed()
	w := history.Write{Value: value, Begin: a.begin, End: a.end, Over: over}
	if surely {
		c.acked++
	} else {
		w.End = history.Never
	}
	if surely || perhaps {
		k.Writes = append(k.Writes, w)
	} else {
		k.Refused = append(k.Refused, history.Write{Value: value, Begin: a.begin, End: a.end, Over: over})
	}
	return surely
}

func (c *client) saw(k *history.Key, values []string, a answer) {
	k.Reads = append(k.Reads, history.Read{Values: values, Begin: a.begin, End: a.end, By: c.server.name()})
}

func (c *client) set(keys map[string]*history.Key, key string) {
	v := c.value()
	c.wrote(at(keys, key), v, nil, c.do("SET", key, v))
}

func (c *client) del(keys map[string]*history.Key, key string) {
	c.wrote(at(keys, key), "", nil, c.do("DEL", key))
}

// setNX writes if the key is missing: where it succeeds, it has read that, too.
func (c *client) setNX() {
	v, key := c.value(), c.sharedKey()
	a := c.do("SETNX", key, v)
	if a.outcome == ok && a.reply == int64(0) {
		return
	}
	if k := at(c.shared, key); c.wrote(k, v, nil, a) {
		c.saw(k, nil, a)
	}
}

func (c *client) get(keys map[string]*history.Key, key string) {
	if a := c.do("GET", key); a.outcome == ok {
		c.saw(at(keys, key), valuesOf(a.reply), a)
	}
}

// valuesOf returns the values that a reply of GET shows.
func valuesOf(reply any) []string {
	if reply == nil {
		return nil
	}
	return []string{string(reply.([]byte))}
}

func (c *client) versionKey() string { return c.key("version", versionKeys) }

func (c *client) getV() { c.versionsOf(c.versionKey()) }

// versionsOf reads a key's context and values.
func (c *client) versionsOf(key string) (seen string, values []string, read bool) {
	a := c.do("GETV", key)
	if a.outcome != ok {
		return "", nil, false
	}
	seen, values = contextOf(a.reply)
	c.saw(at(c.versions, key), values, a)
	return seen, values, true
}

// contextOf takes a reply of GETV apart.
func contextOf(reply any) (seen string, values []string) {
	fields := reply.([]any)
	for _, v := range fields[1].([]any) {
		values = append(values, string(v.([]byte)))
	}
	return string(fields[0].([]byte)), values
}

// putCtx puts a value over what it sees, or beside it; sometimes a second one over the first, by the context that the first
// put returned.
func (c *client) putCtx() {
	key, seen, over, read := c.versionKey(), "", []string(nil), true
	if c.rng.IntN(100) >= blindPercent {
		if seen, over, read = c.versionsOf(key); !read {
			return
		}
	}
	v := c.value()
	a := c.do("PUTCTX", key, seen, v)
	if !c.wrote(at(c.versions, key), v, over, a) || c.rng.IntN(4) > 0 {
		return
	}
	second := c.value()
	c.wrote(at(c.versions, key), second, append(slices.Clone(over), v), c.do("PUTCTX", key, a.reply, second))
}

func (c *client) delCtx() {
	key := c.versionKey()
	if seen, over, read := c.versionsOf(key); read {
		c.wrote(at(c.versions, key), "", over, c.do("DELCTX", key, seen))
	}
}

func (c *client) incr() {
	key := c.key("counter", counterKeys)
	a := c.do("INCR", key)
	surely, perhaps := a.executed()
	switch {
	case surely:
		k := at(c.counters, key)
		k.Answers = append(k.Answers, a.reply.(int64))
		c.acked++
	case perhaps:
		at(c.counters, key).Unsure++
	}
}
