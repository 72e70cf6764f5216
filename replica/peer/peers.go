package peer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// Peers is one node's wire to all others: it asks them, and has its Handler answer what they ask. Safe for concurrent
// use. New allocates, Open starts, Close ends.
type Peers struct {
	cfg     Config
	handler Handler
	beat    *beat
	counts  counts
	life    context.Context // ends with Close; every goroutine and wait here ends with it
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	changes chan struct{} // capacity 1: some remote's up has changed
	proved  chan struct{} // a token for each accepted connection whose dialer has proved itself
	coords  chan struct{} // a token for each forwarded batch that executes
	served  *served
	rooms   spareRooms // of forwarded batches
	knocked *strangers
	mu      struct {
		sync.RWMutex
		remotes map[ring.NodeID]*remote
		conns   map[net.Conn]struct{} // all that a pause or Close must end
		refusal map[ring.NodeID]time.Duration
		open    bool
	}
}

// counts are what Stats shows.
type counts struct {
	socketWrites, late, damaged, malformed, expired, overloaded, refused, crowded, panics, pauses atomic.Uint64
}

// Stats counts what has happened since New.
type Stats struct {
	SocketWrites uint64 // writes to sockets; each carries all frames that had gathered
	Late         uint64 // answers to calls that had ended
	Damaged      uint64 // connections closed for bytes that are no frames
	Malformed    uint64 // frames whose checksum is right and whose content is not
	Expired      uint64 // requests dropped unexecuted, past their deadline
	Overloaded   uint64 // requests refused unexecuted, above a cap
	Refused      uint64 // hellos refused, by either side
	Crowded      uint64 // connections closed because there were too many
	Panics       uint64 // panics while serving a peer
	Pauses       uint64 // pauses of this process
	Conns        int    // connections now, both directions
}

// Status is what is known of one peer.
type Status struct {
	Node      ring.NodeID
	Name      string // empty before the first hello
	Boot      uint64 // the boot bits of its last hello
	Up        bool
	Connected bool          // a small connection exists
	RTT       time.Duration // moving average of pings; 0 when there is none
}

// New checks the configuration and allocates. Until Open every call ends with ErrClosed.
func New(cfg Config) (*Peers, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	p := &Peers{
		cfg:     cfg,
		beat:    newBeat(cfg.Now),
		changes: make(chan struct{}, 1),
		proved:  make(chan struct{}, ConnsMax),
		coords:  make(chan struct{}, CoordinateAllMax),
		served:  newServed(),
		knocked: newStrangers(),
	}
	p.life, p.cancel = context.WithCancel(context.Background())
	p.mu.remotes = make(map[ring.NodeID]*remote)
	p.mu.conns = make(map[net.Conn]struct{})
	p.mu.refusal = make(map[ring.NodeID]time.Duration)
	return p, nil
}

// Open starts to accept and to dial.
func (p *Peers) Open(h Handler) {
	p.handler = h
	p.beat.last.Store(int64(p.cfg.Now()))
	p.mu.Lock()
	p.mu.open = true
	p.mu.Unlock()
	p.wg.Go(p.watchPauses)
	p.wg.Go(p.tellChanges)
	p.wg.Go(p.accept)
}

// Close ends all connections and waits for everything that Open started. Calls in flight end with ErrLost, or with
// ErrUnreachable if they had not left; later ones with ErrClosed.
func (p *Peers) Close() error {
	p.mu.Lock()
	p.mu.open = false
	p.mu.Unlock()
	p.cancel()
	err := p.cfg.Listener.Close()
	p.closeConns()
	p.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Know makes the given nodes, this one apart, the peers to keep connections to: it starts to dial those that are new, and
// drops those that are not among them. At most PeersMax are kept.
func (p *Peers) Know(nodes []ring.NodeID) {
	for _, id := range nodes {
		p.remote(id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, r := range p.mu.remotes {
		if !slices.Contains(nodes, id) {
			delete(p.mu.remotes, id)
			r.stop()
		}
	}
}

// remote returns the peer of that id, or nil when there is no address for it, or no room. It starts to dial a new one.
func (p *Peers) remote(id ring.NodeID) *remote {
	p.mu.RLock()
	r := p.mu.remotes[id]
	p.mu.RUnlock()
	if r != nil || id == p.cfg.Node {
		return r
	}
	if _, ok := p.cfg.Addr(id); !ok {
		return nil
	}
	return p.addRemote(id)
}

func (p *Peers) addRemote(id ring.NodeID) *remote {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.mu.remotes[id]
	if r != nil || !p.mu.open || len(p.mu.remotes) >= PeersMax {
		return r
	}
	ctx, stop := context.WithCancel(p.life)
	r = newRemote(p, id, stop)
	p.mu.remotes[id] = r
	p.wg.Go(func() { r.hope(ctx) })
	for c := range classes {
		p.wg.Go(func() { r.keep(ctx, c) })
	}
	return r
}

// Up reports whether a node is worth asking: not suspect, or not tried yet. Cheap: a map look-up. A node that is no peer
// and has no address is not up.
func (p *Peers) Up(id ring.NodeID) bool {
	r := p.remote(id)
	return r != nil && r.up.Load()
}

// RTT returns the moving average of a peer's ping times, 0 when there is none yet.
func (p *Peers) RTT(id ring.NodeID) time.Duration {
	p.mu.RLock()
	r := p.mu.remotes[id]
	p.mu.RUnlock()
	if r == nil {
		return 0
	}
	if l := r.link[small].Load(); l != nil {
		return time.Duration(l.offset.rtt.Load())
	}
	return 0
}

// Status returns what is known of each peer, sorted by id.
func (p *Peers) Status() []Status {
	p.mu.RLock()
	all := make([]Status, 0, len(p.mu.remotes))
	remotes := make([]*remote, 0, len(p.mu.remotes))
	for _, r := range p.mu.remotes {
		remotes = append(remotes, r)
	}
	p.mu.RUnlock()
	for _, r := range remotes {
		all = append(all, r.status())
	}
	slices.SortFunc(all, func(a, b Status) int { return a.Node.Compare(b.Node) })
	return all
}

func (r *remote) status() Status {
	r.mu.Lock()
	name := r.mu.name
	r.mu.Unlock()
	connected := r.link[small].Load() != nil
	return Status{Node: r.id, Name: name, Boot: r.boot.Load(), Up: r.up.Load(), Connected: connected, RTT: r.peers.RTT(r.id)}
}

// Stats returns the counts so far.
func (p *Peers) Stats() Stats {
	p.mu.RLock()
	conns := len(p.mu.conns)
	p.mu.RUnlock()
	c := &p.counts
	return Stats{
		SocketWrites: c.socketWrites.Load(), Late: c.late.Load(), Damaged: c.damaged.Load(), Malformed: c.malformed.Load(),
		Expired: c.expired.Load(), Overloaded: c.overloaded.Load(), Refused: c.refused.Load(), Crowded: c.crowded.Load(), Panics: c.panics.Load(),
		Pauses: c.pauses.Load(), Conns: conns,
	}
}

// signal lets tellChanges look.
func (p *Peers) signal() {
	select {
	case p.changes <- struct{}{}:
	default:
	}
}

// tellChanges tells Config.Changed of each peer whose Up is not what it was told last. One goroutine does it, so that the
// last thing told is always the last thing true.
func (p *Peers) tellChanges() {
	for {
		select {
		case <-p.life.Done():
			return
		case <-p.changes:
		}
		if p.cfg.Changed == nil {
			continue
		}
		for _, r := range p.all() {
			if up := r.up.Load(); up != r.told {
				r.told = up
				p.cfg.Changed(r.id, up)
			}
		}
	}
}

func (p *Peers) all() []*remote {
	p.mu.RLock()
	defer p.mu.RUnlock()
	all := make([]*remote, 0, len(p.mu.remotes))
	for _, r := range p.mu.remotes {
		all = append(all, r)
	}
	return all
}

// watchPauses is the beat.
func (p *Peers) watchPauses() {
	ticker := time.NewTicker(BeatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.life.Done():
			return
		case <-ticker.C:
		}
		if p.beat.stamp() {
			p.counts.pauses.Add(1)
			p.cfg.Logger.Warn("this process was paused; peer connections dropped")
			p.closeConns()
		}
	}
}

// Pauses returns how often the process was paused. Unlike that of Stats it counts one at once, whoever runs first after it. For a moment it
// may be one too many.
func (p *Peers) Pauses() uint64 { return p.beat.count() }

// paused reports whether the process was paused since pauses was read from the beat, and if so ends every connection:
// what they hold was asked by nodes that have long gone on without us.
func (p *Peers) paused(pauses uint64) bool {
	if !p.beat.pausedSince(pauses) {
		return false
	}
	p.closeConns()
	return true
}

// track notes a connection, to be closed by a pause or by Close; false when this is closed already.
func (p *Peers) track(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.open {
		p.mu.conns[conn] = struct{}{}
	}
	return p.mu.open
}

func (p *Peers) untrack(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.mu.conns, conn)
}

func (p *Peers) closeConns() {
	p.mu.RLock()
	conns := make([]net.Conn, 0, len(p.mu.conns))
	for conn := range p.mu.conns {
		conns = append(conns, conn)
	}
	p.mu.RUnlock()
	for _, conn := range conns {
		conn.Close()
	}
}

// complain logs a refusal, for each peer once in refusalEvery.
func (p *Peers) complain(id ring.NodeID, side string, err error) {
	if p.mayComplain(id) {
		p.cfg.Logger.Warn("peer refused", "node", id, "side", side, "reason", err)
	}
}

func (p *Peers) mayComplain(id ring.NodeID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Now()
	last, known := p.mu.refusal[id]
	if known && now-last < refusalEvery {
		return false
	}
	if !known && len(p.mu.refusal) >= refusalsMax {
		p.forgetRefusalsLocked(now)
	}
	if !known && len(p.mu.refusal) >= refusalsMax {
		return false // whoever invents ids does not fill the log either
	}
	p.mu.refusal[id] = now
	return true
}

func (p *Peers) forgetRefusalsLocked(now time.Duration) {
	for id, last := range p.mu.refusal {
		if now-last >= refusalEvery {
			delete(p.mu.refusal, id)
		}
	}
}

// damaged counts an error of the stream itself, and returns it.
func (p *Peers) damaged(err error) error {
	if err != nil {
		p.counts.damaged.Add(1)
	}
	return err
}

// settle is call.settle with the last line of defence against what another node sends.
func (p *Peers) settle(c *call, f frame) (err error) {
	err = request.ErrLost
	p.guard(func() { err = c.settle(f) })
	if err == errMalformedAnswer {
		p.counts.malformed.Add(1)
	}
	return err
}

// guard runs f and survives its panic: whatever bytes a peer sends, the process lives.
func (p *Peers) guard(f func()) {
	defer func() {
		if v := recover(); v != nil {
			p.counts.panics.Add(1)
			p.cfg.Logger.LogAttrs(p.life, slog.LevelError, "panic while serving a peer",
				slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
		}
	}()
	f()
}
