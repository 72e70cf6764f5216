//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/faults/history"
)

// Sizes of the key sets. Few keys make conflicts. Every epoch has its own.
const (
	ownKeys      = 3 // registers that one client alone writes, for each client
	sharedKeys   = 8 // registers that all write
	versionKeys  = 10
	counterKeys  = 4
	blindPercent = 15 // of the puts that look at nothing
	oddMax       = 100_000
)

// load is clients that read and write until they are told to stop.
type load struct {
	began   time.Time
	ending  chan struct{}
	wg      sync.WaitGroup
	clients []*client
}

// record is what one client, or all together, did and saw.
type record struct {
	own, shared, versions map[string]*history.Key
	counters              map[string]*history.Counter
	outcomes              map[outcome]int
	answers               []sample
	acked                 int // writes
	odd                   []oddity
}

// sample is one answer in time.
type sample struct{ begin, took time.Duration }

// oddity is a command that did not succeed, or not soon.
type oddity struct {
	server     int
	command    string
	outcome    outcome
	begin, end time.Duration
	text       string
}

func newRecord() record {
	return record{own: map[string]*history.Key{}, shared: map[string]*history.Key{}, versions: map[string]*history.Key{},
		counters: map[string]*history.Counter{}, outcomes: map[outcome]int{}}
}

// load starts the clients, each with a server of its own that it stays with.
func (c *cluster) load(o options) *load {
	l := &load{began: time.Now(), ending: make(chan struct{})}
	for i := range o.clients {
		w := &client{load: l, name: fmt.Sprint("c", i), server: c.servers[i%len(c.servers)], pace: o.pace,
			rng: rand.New(rand.NewPCG(o.seed, uint64(i+1))), record: newRecord()}
		l.clients = append(l.clients, w)
		l.wg.Go(w.run)
	}
	return l
}

// now is the clients' clock.
func (l *load) now() time.Duration { return time.Since(l.began) }

// stop ends the clients after the commands in flight, and returns what all did and saw.
func (l *load) stop() record {
	close(l.ending)
	l.wg.Wait()
	all := newRecord()
	for _, c := range l.clients {
		all.add(c.record)
	}
	return all
}

func (r *record) add(o record) {
	join(r.own, o.own)
	join(r.shared, o.shared)
	join(r.versions, o.versions)
	for key, c := range o.counters {
		at(r.counters, key).Add(*c)
	}
	for k, n := range o.outcomes {
		r.outcomes[k] += n
	}
	r.answers, r.acked, r.odd = append(r.answers, o.answers...), r.acked+o.acked, append(r.odd, o.odd...)
}

func join(all, some map[string]*history.Key) {
	for key, k := range some {
		at(all, key).Add(*k)
	}
}

// at returns the entry of a key, a new one if need be.
func at[V any](m map[string]*V, key string) *V {
	if m[key] == nil {
		m[key] = new(V)
	}
	return m[key]
}
