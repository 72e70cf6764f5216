package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/ring"
	"github.com/holdfastdb/holdfast/ring/gossip"
)

// ringDocument is the name under which the store keeps the ring document.
const ringDocument = "ring"

// membership holds what this node knows of the cluster, persists it before it is acted on, and founds the cluster when
// it is this node's turn.
type membership struct {
	cfg   *Config
	store documents
	log   *slog.Logger
	// changed is called after the document changed, without a lock held, one call at a time.
	changed func(ring.State)
	// news is called after that, if the change is not only what another node said over the wire: that node tells all others itself.
	news  func()
	alive func(ring.NodeID) bool // gossip's view; set by start

	turn sync.Mutex // one change at a time; held while the document is written to disk
	mu   struct {
		sync.Mutex
		self    ring.Member
		first   bool // the first seed is this node, whatever name it is given by
		state   ring.State
		note    ring.Note  // of newcomers, while there is no state
		refused error      // why this node cannot join the cluster that answered last
		waiting ring.State // that cluster's document, to be looked at again
	}
	refusalLog limiter
}

func newMembership(cfg *Config, store documents, self ring.Member, changed func(ring.State)) (*membership, error) {
	m := &membership{cfg: cfg, store: store, log: cfg.Logger, changed: changed, news: func() {}, refusalLog: limiter{every: waitLogRepeat}}
	saved, err := store.GetMeta(ringDocument)
	if err != nil {
		return nil, err
	}
	m.mu.self = self
	if m.mu.state, err = savedRing(cfg, saved); err != nil {
		return nil, err
	}
	return m, nil
}

// savedRing returns the ring document that the directory holds, the zero state if it holds none, or a DirError if that is not of
// the cluster that the flags speak of.
func savedRing(cfg *Config, saved []byte) (ring.State, error) {
	if saved == nil {
		return ring.State{}, nil
	}
	s, err := ring.DecodeState(saved)
	if err != nil {
		return s, &DirError{Dir: cfg.Dir, Problem: "its ring document is damaged; restore the directory, or start with an empty one as a replacement", Err: err}
	}
	if err := cfg.fits(s.Cluster, fmt.Sprintf("--dir %s", cfg.Dir)); err != nil {
		return s, &DirError{Dir: cfg.Dir, Problem: err.Error(), Err: err}
	}
	return s, nil
}

// fits compares the flags given with what was fixed when the cluster was founded.
func (c *Config) fits(have ring.Cluster, where string) error {
	if have.Name != c.Cluster {
		return fmt.Errorf("it belongs to cluster %q, and --cluster says %q; %s is another cluster's", have.Name, c.Cluster, where)
	}
	for _, f := range []struct {
		flag        string
		given, have int
	}{{"n", c.N, have.N}, {"r", c.R, have.R}, {"w", c.W, have.W}, {"partitions", c.Partitions, have.Q}} {
		if f.given != 0 && f.given != f.have {
			return fmt.Errorf("--%s %d: cluster %q was founded with %d, which cannot change; leave the flag out", f.flag, f.given, have.Name, f.have)
		}
	}
	return nil
}

// start opens the gossip, takes over this node's present addresses, and founds a cluster at once where nobody is to be
// waited for. What others say meanwhile waits.
func (m *membership) start(ctx context.Context, open func() (*gossip.Gossip, error)) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	g, err := open()
	if err != nil {
		return err
	}
	m.alive = g.Alive
	first := len(m.cfg.Join) > 0 && g.Is(ctx, m.cfg.Join[0])
	m.mu.Lock()
	m.mu.self.Gossip, m.mu.first = m.cfg.advertised(g.Address()), first
	m.mu.Unlock()
	s := m.State()
	if !s.IsZero() {
		if now := m.withSelf(s); string(now.Encode()) != string(s.Encode()) {
			return m.take(now)
		}
		m.changed(s) // the directory's document rules from here on, though nothing in it is new
		m.news()
		return nil
	}
	if m.cfg.Proxy {
		return nil // it neither founds nor counts among those that do
	}
	m.mu.Lock()
	m.mu.note = ring.Note{Newcomers: []ring.Newcomer{m.newcomer()}}
	m.mu.Unlock()
	return m.found()
}

// newcomer is what this node says of itself while it is empty.
func (m *membership) newcomer() ring.Newcomer {
	return ring.Newcomer{Member: m.mu.self, Seeds: m.cfg.Join, Expect: m.cfg.Expect, First: m.mu.first, Cluster: ring.Cluster{
		Name: m.cfg.Cluster, Q: orDefault(m.cfg.Partitions, DefaultPartitions), N: orDefault(m.cfg.N, DefaultN),
		R: orDefault(m.cfg.R, min(DefaultR, orDefault(m.cfg.N, DefaultN))), W: orDefault(m.cfg.W, min(DefaultW, orDefault(m.cfg.N, DefaultN)))}}
}

func orDefault(v, d int) int {
	if v == 0 {
		return d
	}
	return v
}

// note is what gossip tells others.
func (m *membership) localNote() ring.Note {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.mu.state.IsZero() {
		return ring.Note{State: m.mu.state}
	}
	return m.mu.note
}

// merge takes what others say.
func (m *membership) merge(n ring.Note) {
	m.turn.Lock()
	defer m.turn.Unlock()
	own := m.State()
	if !own.IsZero() && n.State.Layout != nil && own.Layout.Has(m.selfID()) {
		// Gossip does not tell whose word this is, and a layout is taken from a fellow only: it comes over the wire between nodes.
		n.State.Layout = own.Layout
	}
	merged, err := ring.MergeNotes(m.localNote(), n)
	if err == nil && !merged.State.IsZero() {
		err = m.enter(merged.State)
	}
	m.refuse(merged.State, err)
	if err != nil || !merged.State.IsZero() {
		return
	}
	m.mu.Lock()
	m.mu.note = merged
	m.mu.Unlock()
	m.told(m.found())
}

// enter takes over a cluster's document, in which this node is from then on.
func (m *membership) enter(s ring.State) error {
	if err := m.cfg.fits(s.Cluster, "the cluster that answered at --join"); err != nil {
		return err
	}
	if _, known := s.Member(m.selfID()); known || m.cfg.Proxy {
		return m.take(m.withSelf(s))
	}
	joined, err := m.join(s)
	if err != nil {
		return err
	}
	return m.take(joined)
}

// join returns the document with this node in it, which is new to the cluster: in the place of the node that --replace names, or
// beside all others.
func (m *membership) join(s ring.State) (ring.State, error) {
	m.mu.Lock()
	self := m.mu.self
	m.mu.Unlock()
	old, err := memberNamed(s, m.cfg.Replace)
	switch {
	case m.cfg.Replace == "" || err != nil && m.cfg.Replace == self.Name:
		if taken, err := memberNamed(s, self.Name); err == nil {
			return s, fmt.Errorf("the cluster has a member called %s (%v); if this directory is to take its place, start with --replace %s; else choose another --name",
				self.Name, taken.ID, self.Name)
		}
		return s.Join(self)
	case err != nil:
		return s, fmt.Errorf("--replace %s: %w", m.cfg.Replace, err)
	case m.alive(old.ID):
		return s, fmt.Errorf("--replace %s: that node is alive; stop it first", m.cfg.Replace)
	}
	if self.Zone == "" {
		self.Zone = old.Zone
	}
	if m.cfg.Weight == 0 {
		self.Weight = old.Weight
	}
	return s.Replace(old.ID, self)
}

func (m *membership) selfID() ring.NodeID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.self.ID
}

// refuse notes why the cluster that answered cannot be joined, and says so once in a while; err nil: it was joined.
func (m *membership) refuse(s ring.State, err error) {
	m.mu.Lock()
	m.mu.refused, m.mu.waiting = err, ring.State{}
	if err != nil {
		m.mu.waiting = s
	}
	m.mu.Unlock()
	if err != nil && m.refusalLog.ok(time.Now()) {
		m.log.Error("cannot join the cluster", "error", err)
	}
}

// hear takes another node's document, which that node itself sent.
func (m *membership) hear(from ring.NodeID, told ring.State) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	own := m.State()
	if own.IsZero() {
		return errNoCluster
	}
	heard, err := ring.Hear(own, m.selfID(), from, told)
	if err != nil {
		return err
	}
	next := m.withSelf(heard)
	if !slices.Equal(next.Members, heard.Members) {
		return m.take(next)
	}
	_, err = m.rule(next)
	return err
}

var errNoCluster = errors.New("node: no cluster yet")

// update makes a new document of the present one, and lets it rule; the present one again changes nothing. It must not call
// back.
func (m *membership) update(change func(ring.State) (ring.State, error)) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	now := m.State()
	if now.IsZero() {
		return errNoCluster
	}
	next, err := change(now)
	if err != nil {
		return err
	}
	return m.take(next)
}

// found founds the cluster if it is this node's turn and everybody expected has met.
func (m *membership) found() error {
	s, wait, err := m.decide(func(b []byte) { _, _ = rand.Read(b) })
	if err != nil || wait != "" {
		return err
	}
	m.log.Info("founded the cluster", "cluster", s.Cluster.Name, "nodes", len(s.Members), "partitions", s.Cluster.Q, "n", s.Cluster.N)
	return m.take(s)
}

// decide returns the founding document, or in words what this node, which is empty, waits for.
func (m *membership) decide(random func([]byte)) (s ring.State, wait string, err error) {
	m.mu.Lock()
	self, refused := m.newcomer(), m.mu.refused
	met := slices.DeleteFunc(slices.Clone(m.mu.note.Newcomers), func(n ring.Newcomer) bool { return !m.alive(n.Member.ID) })
	m.mu.Unlock()
	switch {
	case refused != nil:
		return ring.State{}, refused.Error(), nil
	case m.cfg.Proxy && self.First:
		return ring.State{}, waitForNobody, nil
	case len(self.Seeds) > 0 && self.Expect == 0:
		return ring.State{}, waitForAny, nil
	}
	return ring.Found(self, met, random)
}

// waitForAny is what a node waits for that may only join, never found.
const waitForAny = "--join names nodes, none of which has answered with a cluster yet"

// waitForNobody is what a proxy waits for whose first seed is itself: nodes with the same list wait for it to found.
const waitForNobody = "the first of --join is this proxy itself, and a proxy does not found a cluster: name a node first"

// look tries again to found: somebody who was met may have come into reach.
func (m *membership) look() {
	m.turn.Lock()
	defer m.turn.Unlock()
	if !m.State().IsZero() {
		return
	}
	m.mu.Lock()
	waiting := m.mu.waiting
	m.mu.Unlock()
	if !waiting.IsZero() {
		m.refuse(waiting, m.enter(waiting))
		return
	}
	m.told(m.found())
}

func (m *membership) told(err error) {
	if err != nil {
		m.log.Error("cannot found the cluster", "error", err)
	}
}

// tellWaiting logs what an empty node waits for: when that is news, and again once in a while, until there is a cluster or
// ctx ends.
func (m *membership) tellWaiting(ctx context.Context) {
	tick := time.NewTicker(waitLogEvery)
	defer tick.Stop()
	told, repeat := "", limiter{every: waitLogRepeat}
	for wait := m.Waiting(); wait != ""; wait = m.Waiting() {
		if repeat.ok(time.Now()) || wait != told {
			m.log.Info("waiting for a cluster", "for", wait)
		}
		told = wait
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Waiting says in words what an empty node waits for; empty when it has a cluster.
func (m *membership) Waiting() string {
	if !m.State().IsZero() {
		return ""
	}
	_, wait, err := m.decide(func([]byte) {})
	if err != nil {
		return err.Error()
	}
	return wait
}

// withSelf returns the document with this node's record as it is now: its addresses may have changed, and a node that
// the cluster does not know yet joins it. A proxy is in no document.
func (m *membership) withSelf(s ring.State) ring.State {
	if m.cfg.Proxy {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok := s.Member(m.mu.self.ID)
	now := m.mu.self
	if known.Status == ring.Removed {
		return s
	}
	if ok {
		now.Status, now.Epoch = known.Status, known.Epoch
		if m.cfg.Zone == "" {
			now.Zone = known.Zone
		}
		if m.cfg.Weight == 0 {
			now.Weight = known.Weight
		}
		if now == known {
			return s
		}
	} else {
		now.Status, now.Epoch = ring.Joining, 0
	}
	now.Epoch++
	return s.With(now)
}

// take lets a document rule, and has the others told if it is news.
func (m *membership) take(s ring.State) error {
	isNews, err := m.rule(s)
	if isNews {
		m.news()
	}
	return err
}

// rule persists a document and then lets it rule; isNews is false if it does already, or an error keeps it from that.
func (m *membership) rule(s ring.State) (isNews bool, err error) {
	if err := s.Check(); err != nil {
		return false, err
	}
	now, encoded := m.State(), s.Encode()
	if string(encoded) == string(now.Encode()) {
		return false, nil
	}
	if err := m.keep(now, s, encoded); err != nil {
		return false, err
	}
	m.mu.Lock()
	m.mu.state, m.mu.note = s, ring.Note{}
	m.mu.Unlock()
	m.changed(s)
	return true, nil
}

// keep puts the document on disk, unless others' reports are all that is new in it: while partitions change hands most documents are
// of that kind, and the fsync of each, times the members, would be felt by clients.
func (m *membership) keep(now, next ring.State, encoded []byte) error {
	if !now.IsZero() && now.HearsayOnly(next, m.selfID()) {
		return nil
	}
	if err := m.store.PutMeta(ringDocument, encoded); err != nil {
		return fmt.Errorf("node: keep the ring document: %w", err)
	}
	return nil
}

// State returns the ring document; zero while there is no cluster.
func (m *membership) State() ring.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.state
}

// known returns the gossip addresses of everybody in the document but this node.
func (m *membership) member(id ring.NodeID) (ring.Member, bool) {
	s := m.State()
	if s.IsZero() {
		return ring.Member{}, false
	}
	return s.Member(id)
}

var errRemoved = errors.New("node: the cluster has removed this node for ever; start it with an empty directory to join anew")

// ErrLeft is why a node ends that was asked to leave: its share is with the others, its clients have gone, and the cluster has
// struck it off.
var ErrLeft = errors.New("node: left the cluster")

// limiter lets something through once in a while.
type limiter struct {
	mu    sync.Mutex
	every time.Duration
	next  time.Time
}

func (l *limiter) ok(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.next) {
		return false
	}
	l.next = now.Add(l.every)
	return true
}
