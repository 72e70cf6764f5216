//go:build linux

package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/faults/history"
	"github.com/holdfastdb/holdfast/faults/journal"
)

// pipelined is how many commands a reader has on the way at once.
const pipelined = 200

// copies is N of the cluster.
const copies = 3

// final is what the cluster holds when all is over.
type final struct {
	hintsTook time.Duration           // from the last heal until no hint was left
	stableIn  time.Duration           // from there until all copies were equal
	unequal   []string                // keys whose copies differ for good
	first     int                     // keys whose copies differed when the hints were gone
	values    map[string]*history.Key // what GETV shows at each node
	plain     map[string]*history.Key // what GET shows
	copies    []journal.Copy          // what GETV shows, with its context
	journal   *journal.Journal        // of all nodes
	epoch     time.Time               // of the clients' clock
}

func newFinal() *final {
	return &final{values: map[string]*history.Key{}, plain: map[string]*history.Key{}, journal: journal.New()}
}

// settle starts every node anew, waits until no hint is left and all copies of each key are equal, and reads everything
// through every node.
func (c *cluster) settle(ctx context.Context, done record, l *load) (*final, error) {
	f := newFinal()
	f.epoch = l.began
	began := l.now()
	for _, s := range c.servers {
		if err := errors.Join(s.kill(), s.start(0)); err != nil {
			return f, err
		}
	}
	if err := c.awaitQuiet(ctx, settleMax); err != nil {
		return f, err
	}
	quiet := l.now()
	f.hintsTook = quiet - began
	if err := c.awaitEqual(ctx, f, done.keys()); err != nil {
		return f, err
	}
	f.stableIn = l.now() - quiet
	for _, s := range c.servers {
		if err := f.read(s, done, l); err != nil {
			return f, err
		}
	}
	return f, c.readJournals(f.journal)
}

// readJournals reads what the nodes wrote down.
func (c *cluster) readJournals(j *journal.Journal) error {
	for _, s := range c.servers {
		file, err := os.Open(s.wrote())
		if err != nil {
			return err
		}
		if err := errors.Join(j.Read(s.name(), file), file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// keys returns all keys, sorted.
func (r *record) keys() []string {
	return slices.Sorted(seqOf(maps.Keys(r.own), maps.Keys(r.shared), maps.Keys(r.versions), maps.Keys(r.counters)))
}

// seqOf joins sequences.
func seqOf[V any](all ...func(yield func(V) bool)) func(yield func(V) bool) {
	return func(yield func(V) bool) {
		for _, seq := range all {
			for v := range seq {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// awaitEqual returns when each primary's own copy of every key is the same. What differs is read with all copies, which repairs
// those that are behind. The first look comes before any of that.
func (c *cluster) awaitEqual(ctx context.Context, f *final, keys []string) error {
	ctx, cancel := context.WithTimeout(ctx, stableMax)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for round := 0; ; round++ {
		unequal, err := c.unequal(keys)
		if round == 0 {
			f.first = len(unequal)
		}
		if f.unequal = unequal; err == nil && len(unequal) == 0 {
			return nil
		}
		err = errors.Join(err, c.repair(unequal))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%d keys differ between their copies after %v", len(unequal), stableMax), err)
		}
	}
}

// repair reads the keys with all copies through every node.
func (c *cluster) repair(unequal []string) error {
	var errs []error
	for _, s := range c.servers {
		_, err := fetch(s, copies, "GETV", keysOnly(unequal))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// keysOnly takes what unequal adds to the keys away.
func keysOnly(told []string) []string {
	keys := make([]string, len(told))
	for i, t := range told {
		keys[i], _, _ = strings.Cut(t, " ")
	}
	return keys
}

// unequal returns the keys whose copies differ, each with what its primaries hold.
func (c *cluster) unequal(keys []string) (told []string, err error) {
	lists, err := fetch(c.servers[0], 0, "HOLDFAST PREFLIST", keys)
	if err != nil {
		return nil, err
	}
	held := make([]map[string]any, len(c.servers))
	for i, s := range c.servers {
		if held[i], err = fetch(s, 1, "GETV", keysAt(s, lists)); err != nil {
			return nil, err
		}
	}
	for _, key := range keys {
		if different, text := c.compare(key, held); different {
			told = append(told, key+text)
		}
	}
	return told, nil
}

// keysAt returns the keys of which the node is a primary.
func keysAt(s *server, lists map[string]any) (keys []string) {
	for key, list := range lists {
		for i, name := range list.([]any) {
			if i < copies && string(name.([]byte)) == s.name() {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// compare reports whether the copies of a key differ, in dots or values, and what they are. A tombstone is as good as nothing.
func (c *cluster) compare(key string, held []map[string]any) (different bool, text string) {
	first := ""
	for i, s := range c.servers {
		reply, ok := held[i][key]
		if !ok {
			continue
		}
		token, values := contextOf(reply)
		whole := "nothing"
		if len(values) > 0 {
			whole = fmt.Sprintf("%q under %s", values, dotsOf(token))
		}
		different = different || first != "" && whole != first
		first = cmp.Or(first, whole)
		text += fmt.Sprintf(" %s: %s", s.name(), whole)
	}
	return different, text
}

// tokenMACBytes is how much of a token's end authenticates it.
const tokenMACBytes = 16

// dotsOf returns the dots of a token's context as text to compare. The stamps that it remembers, which every replica prunes in
// its own time, are left out; so is what authenticates it.
func dotsOf(token string) string {
	seen, ok := seenIn(token)
	if !ok {
		return token
	}
	return hex.EncodeToString(seen.Prune(func(causal.Stamp) bool { return true }).Append(nil))
}

// seenIn returns the context that a token is of.
func seenIn(token string) (seen causal.Context, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) <= 1+tokenMACBytes {
		return seen, false
	}
	seen, _, err = causal.DecodeContext(raw[1 : len(raw)-tokenMACBytes])
	return seen, err == nil
}

// read asks one node for everything, with all copies.
func (f *final) read(s *server, done record, l *load) error {
	begin := l.now()
	values, err := fetch(s, copies, "GETV", done.keys())
	if err != nil {
		return err
	}
	plain, err := fetch(s, copies, "GET", done.keys())
	if err != nil {
		return err
	}
	for key, reply := range values {
		token, shown := contextOf(reply)
		f.values[key] = seenBy(f.values[key], s, shown, begin, l.now())
		if seen, ok := seenIn(token); ok && done.counters[key] == nil { // two increments can have the same value
			f.copies = append(f.copies, journal.Copy{Node: s.name(), Key: key, Seen: seen, Values: shown})
		}
	}
	for key, reply := range plain {
		f.plain[key] = seenBy(f.plain[key], s, valuesOf(reply), begin, l.now())
	}
	return nil
}

func seenBy(k *history.Key, s *server, values []string, begin, end time.Duration) *history.Key {
	if k == nil {
		k = &history.Key{}
	}
	k.Reads = append(k.Reads, history.Read{Values: values, Begin: begin, End: end, By: s.name() + " at the end"})
	return k
}

// fetch sends one command for each key, with this R unless it is 0, and returns the replies by key.
func fetch(s *server, r int, command string, keys []string) (map[string]any, error) {
	conn, err := s.dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if r > 0 {
		if _, err := conn.Do("HOLDFAST", "QUORUM", "R", r); err != nil {
			return nil, err
		}
	}
	replies := make(map[string]any, len(keys))
	for chunk := range slices.Chunk(keys, pipelined) {
		if err := fetchSome(conn, command, chunk, replies); err != nil {
			return nil, fmt.Errorf("%s at %s: %w", command, s.name(), err)
		}
	}
	return replies, nil
}

func fetchSome(conn redis.Conn, command string, keys []string, replies map[string]any) error {
	words := strings.Fields(command)
	for _, key := range keys {
		if err := conn.Send(words[0], redis.Args{}.AddFlat(words[1:]).Add(key)...); err != nil {
			return err
		}
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	for _, key := range keys {
		reply, err := conn.Receive()
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		replies[key] = reply
	}
	return nil
}
