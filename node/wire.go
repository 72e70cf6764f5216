package node

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/replica/peer"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

type notice = request.Notice

// wire is the coordinator's way to the other nodes. There is none until the node has a cluster.
type wire struct{ peers atomic.Pointer[peer.Peers] }

// Read implements coordinator.Peers.
func (w *wire) Read(to ring.NodeID, rs []*request.Read, layout uint64, deadline time.Time, done func(error)) {
	w.peers.Load().Read(to, rs, layout, deadline, done)
}

// Write implements coordinator.Peers.
func (w *wire) Write(to ring.NodeID, ws []*request.Write, layout uint64, deadline time.Time, done func(error)) {
	w.peers.Load().Write(to, ws, layout, deadline, done)
}

// Coordinate implements coordinator.Peers.
func (w *wire) Coordinate(to ring.NodeID, ops []*request.Op, layout uint64, n notice, deadline, mint time.Time, done func(error)) {
	w.peers.Load().Coordinate(to, ops, layout, n, deadline, mint, done)
}

// RTT implements coordinator.Peers.
func (w *wire) RTT(to ring.NodeID) time.Duration { return w.peers.Load().RTT(to) }

// hints is the store as the coordinator sees it.
type hints struct{ *replica.Store }

// Owe implements coordinator.Store.
func (h hints) Owe(target ring.NodeID, key request.Key, owed causal.Context, minted bool) error {
	return h.AddHints(context.Background(), []replica.Owed{{Target: target, Key: key, Seen: owed, Minted: minted}})
}

// server executes what other nodes ask of this one.
type server struct{ n *Node }

// ServeReads implements peer.Handler.
func (s server) ServeReads(_ ring.NodeID, layout uint64, reads []*request.Read) {
	s.n.coord.ServeReads(layout, reads)
}

// ServeWrites implements peer.Handler.
func (s server) ServeWrites(ctx context.Context, _ ring.NodeID, layout uint64, writes []*request.Write) error {
	return s.n.coord.ServeWrites(ctx, layout, writes)
}

// ServeCoordinate implements peer.Handler.
func (s server) ServeCoordinate(ctx context.Context, _ ring.NodeID, layout uint64, from notice, mint time.Time, ops []*request.Op) {
	s.n.coord.ServeCoordinate(ctx, layout, from, mint, ops)
}

// ServeNotice implements peer.Handler.
func (s server) ServeNotice(_ ring.NodeID, from notice) { s.n.settlement.Hear(from) }

// ServeHandoff implements peer.Handler: hints come home. What it calls stored is on disk.
func (s server) ServeHandoff(ctx context.Context, _ ring.NodeID, layout uint64, writes []*request.Write) error {
	for _, w := range writes {
		w.Reserve = true
	}
	if err := s.n.coord.ServeWrites(ctx, layout, writes); err != nil {
		return err
	}
	if fault.On(fault.ConfirmBeforeSync) {
		return nil
	}
	if s.n.store == nil {
		return nil // nothing was stored: all were refused
	}
	return s.n.store.Durable(ctx)
}
