package model

import (
	"maps"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/ring"
)

// row, hint and the rest are package replica's, as values.
type row struct {
	actor causal.Actor
	state causal.State
}

type hintID struct {
	target int
	key    string
}

type hint struct {
	data  bool // else a marker
	since check.Moment
	owed  causal.Context
	again int // of a marker: how often it was owed without a new dot
	row
}

type markID struct {
	target, partition int
	generation        uint64
}

type bootID struct{ bits, number uint64 }

// disk is what a directory holds. Its values are immutable.
type disk struct {
	rows   map[string]row
	hints  map[hintID]hint
	marks  map[markID]bool
	peers  map[int]bootID // boots confirmed for other nodes
	boot   bootID
	spare  uint64
	clean  bool // the clean-shutdown mark
	stood  causal.Time
	actors uint64      // end of the lease of the actor sequence
	clock  causal.Time // end of the clock's lease
	doc    ring.State
	told   []byte // what the settlement saved
}

func newDisk() *disk {
	return &disk{rows: map[string]row{}, hints: map[hintID]hint{}, marks: map[markID]bool{}, peers: map[int]bootID{}}
}

func (d *disk) clone() *disk {
	cp := *d
	cp.rows, cp.hints, cp.marks, cp.peers = maps.Clone(d.rows), maps.Clone(d.hints), maps.Clone(d.marks), maps.Clone(d.peers)
	return &cp
}

// held returns all that the disk holds of a key: the row and the hints with data.
func (d *disk) held(key string, nodes int) causal.State {
	s := d.rows[key].state
	for target := range nodes {
		if h, ok := d.hints[hintID{target, key}]; ok && h.data {
			s = causal.Sync(s, h.state)
		}
	}
	return s
}

// A change is one commit. It is applied to the memory at once, and to what survives a power cut when it is synced.
type change func(*disk)

// storage is a disk with a log: changes are lost from its end.
type storage struct {
	live, safe *disk
	log        []change // not synced yet
	synced     uint64   // changes synced since the start
}

func newStorage(d *disk) *storage { return &storage{live: d, safe: d.clone()} }

func (s *storage) commit(c change) uint64 {
	c(s.live)
	s.log = append(s.log, c)
	return s.synced + uint64(len(s.log))
}

// sync makes the log up to the given change durable.
func (s *storage) sync(upTo uint64) {
	for s.synced < upTo && len(s.log) > 0 {
		s.log[0](s.safe)
		s.log, s.synced = s.log[1:], s.synced+1
	}
}

func (s *storage) syncAll() { s.sync(s.synced + uint64(len(s.log))) }

// cut returns what a crash leaves that keeps the first n unsynced changes.
func (s *storage) cut(n int) *disk {
	for _, c := range s.log[:n] {
		c(s.safe)
	}
	return s.safe
}
