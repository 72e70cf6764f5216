package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/coordinator"
	"github.com/holdfastdb/holdfast/node/admission"
	"github.com/holdfastdb/holdfast/protocol"
	"github.com/holdfastdb/holdfast/protocol/resp"
	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/replica/peer"
	"github.com/holdfastdb/holdfast/ring"
	"github.com/holdfastdb/holdfast/ring/gossip"
)

// Node is one running server. Its methods are safe for concurrent use.
type Node struct {
	cfg     Config
	started time.Time
	wall    *wall
	ports   listeners
	secrets secrets

	id         ring.NodeID
	boot       uint64         // the random bits of this start
	store      *replica.Store // nil: a proxy
	held       holdings       // what the store holds, or nothing
	documents  documents
	members    *membership
	changer    *changer
	reaper     *reaper
	gossip     *gossip.Gossip
	wire       wire
	settlement *coordinator.Settlement
	pace       *admission.Controller
	pulls      pulls
	coord      *coordinator.Coordinator
	resp       *resp.Server
	http       *http.Server
	meters     *meters

	forming  sync.Mutex                 // held by form, so that Shutdown meets either all that it started or nothing
	views    sync.Mutex                 // one view is made at a time
	ruling   atomic.Pointer[ring.State] // the newest document for which the view in force holds: what the node may acknowledge
	slots    atomic.Pointer[protocol.Map]
	draining atomic.Bool
	met      atomic.Bool // a quorum was in reach since the start
	leaves   atomic.Bool // it was asked to leave
	opened   time.Time

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	end     sync.Once
	ended   chan struct{} // closed when the node took itself out of service
	failure error         // why; read after ended
	stop    sync.Once
	stopErr error
}

// settlementDocument is the name under which the store keeps what the Settlement saves.
const settlementDocument = "settlement"

// Version returns the program's version as the build recorded it.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "0.1.0-dev"
}

// Open starts a node: ports, directory, gossip, and, once there is a cluster, everything else. It returns when clients
// can connect; Ready says whether they are served. Errors are a *PortError, a *DirError or a *FileError where that is the matter;
// nothing was touched then.
func Open(cfg Config) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	secrets, err := openSecrets(&cfg)
	if err != nil {
		return nil, err
	}
	ports, err := listen(&cfg)
	if err != nil {
		return nil, err
	}
	secrets.guard(&cfg, &ports)
	n := &Node{cfg: cfg, opened: time.Now(), started: cfg.Now(), ports: ports, secrets: secrets, ended: make(chan struct{})}
	n.wall = &wall{machine: cfg.Now, log: limiter{every: clockLogEvery}}
	n.pulls.log.every = clockLogEvery
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.pace = admission.New(admission.Config{Limit: cfg.BackgroundP99, Now: func() time.Duration { return time.Since(n.opened) }})
	n.pace.Open()
	if cfg.Proxy {
		n.openNothing()
	} else if err := n.openStore(); err != nil {
		return nil, errors.Join(err, ports.close(), n.pace.Close())
	}
	if err := n.openCluster(); err != nil {
		return nil, errors.Join(err, n.Shutdown(canceled()))
	}
	n.serve()
	return n, nil
}

// canceled is a context for a shutdown that waits for nobody.
func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// checkDir refuses a directory of another cluster before anything in it is touched.
func (n *Node) checkDir() error {
	saved, err := replica.PeekMeta(n.cfg.FS, n.cfg.Dir, ringDocument)
	if err != nil {
		return dirError(n.cfg.Dir, err)
	}
	_, err = savedRing(&n.cfg, saved)
	return err
}

func (n *Node) openStore() error {
	level, err := replica.ParseSyncLevel(n.cfg.Sync)
	if err == nil {
		err = n.checkDir()
	}
	if err != nil {
		return err
	}
	var settlement atomic.Pointer[coordinator.Settlement] // the store settles nothing until the settlement stands on it
	n.store, err = replica.Open(replica.Config{
		Dir: n.cfg.Dir, FS: n.cfg.FS, Sync: level, Partitions: PartitionsMax, MemoryBytes: n.cfg.Memory, Now: n.wall.Now, Sure: n.wall.sure, Logger: n.cfg.Logger,
		Admit: n.pace.Admit, Worked: n.pace.Worked,
		Settled: func(s causal.Stamp) bool {
			settled := settlement.Load()
			return settled != nil && settled.Settled(s)
		},
		Fatal: func(err error) {
			n.fail(fmt.Errorf("node: the disk failed, and what is written can no longer be relied on: %w", err))
		},
	})
	if err != nil {
		return dirError(n.cfg.Dir, err)
	}
	n.id, n.boot, n.held, n.documents = n.store.Node(), n.store.Boot().Bits, n.store, n.store
	n.settlement = coordinator.NewSettlement(n.boot, n.store.Clock())
	settlement.Store(n.settlement)
	saved, err := n.store.GetMeta(settlementDocument)
	if err == nil && saved != nil {
		err = n.settlement.Load(saved)
	}
	if err != nil {
		n.cfg.Logger.Warn("what is known of retried writes is lost; contexts stay longer for it", "error", err)
	}
	return nil
}

// openCluster starts what finds the others; the ring document, when there is one, starts the rest.
func (n *Node) openCluster() (err error) {
	n.changer = newChanger(n)
	n.reaper = newReaper(n)
	n.meters = newMeters(n)
	n.coord = coordinator.New(coordinator.Config{
		Self: n.id, Store: n.ownStore(), Peers: &n.wire, Settlement: n.settlement, Now: n.wall.Now,
		Behind: func() { wake(n.changer.news) }, Budget: n.cfg.Budget, Logger: n.cfg.Logger, Observe: n.meters.coordinated,
	})
	n.coord.Open()
	n.resp = resp.New(resp.Config{Store: front{n}, Cluster: front{n}, Info: n.info, Metrics: n.meters, Logger: n.cfg.Logger})
	n.meters.commands(n.resp.Commands(), resp.Outcomes())
	if n.members, err = newMembership(&n.cfg, n.documents, n.self(), n.ringChanged); err != nil {
		return err
	}
	n.members.news = func() { wake(n.changer.news) }
	if err := n.members.start(n.ctx, n.openGossip); err != nil {
		return err
	}
	n.gossip.Announce()
	return nil
}

func (n *Node) openGossip() (g *gossip.Gossip, err error) {
	cfg := gossip.Config{
		Self: n.self(), Seeds: n.cfg.Join, Label: n.cfg.Cluster, Keys: n.secrets.Keys(), Bind: n.cfg.Gossip, Advertise: n.gossipAdvertised(),
		Transport: n.cfg.Network.Gossip, Local: n.members.localNote, Merge: n.members.merge, Logger: n.cfg.Logger,
	}
	if n.secrets.certs != nil {
		cfg.Guard = n.secrets.certs
	}
	n.gossip, err = gossip.Open(cfg)
	if err != nil {
		return nil, &PortError{Flag: "gossip", Addr: n.cfg.Gossip, Err: err}
	}
	return n.gossip, nil
}

// self is this node's own record. Status and epoch are the document's.
func (n *Node) self() ring.Member {
	m := ring.Member{ID: n.id, Name: n.cfg.Name, Zone: n.cfg.Zone, Weight: max(n.cfg.Weight, 1), Version: Version(), Status: ring.Joining,
		RESP: n.cfg.advertised(n.ports.resp.Addr().String()), HTTP: n.cfg.advertised(n.ports.http.Addr().String()),
		Peer: n.cfg.advertised(n.ports.peer.Addr().String()), Gossip: n.cfg.advertised(n.cfg.Gossip), Memcache: n.cfg.Memcache}
	if m.Memcache != "" {
		m.Memcache = n.cfg.advertised(m.Memcache)
	}
	return m
}

func (n *Node) gossipAdvertised() string {
	if n.cfg.Advertise == "" {
		return ""
	}
	return n.cfg.advertised(n.cfg.Gossip)
}

// serve starts what runs for as long as the node does.
func (n *Node) serve() {
	n.http = &http.Server{Handler: n.routes(), ReadHeaderTimeout: statusPatience}
	n.wg.Go(func() { _ = n.http.Serve(n.ports.http) })
	n.wg.Go(func() { _ = n.resp.Serve(n.ports.resp) })
	n.wg.Go(n.watchMembers)
	n.wg.Go(func() { n.members.tellWaiting(n.ctx) })
	n.wg.Go(func() { n.tellAbsent(n.ctx) })
	n.wg.Go(func() { n.watchClocks(n.ctx) })
	if n.secrets != (secrets{}) {
		n.wg.Go(func() { n.watchSecrets(n.ctx) })
	}
}

// ringChanged lets a new ring document rule. The first one starts the wire between nodes, the handoff, and all else
// that needs a cluster.
func (n *Node) ringChanged(s ring.State) {
	me, member := s.Member(n.id)
	if member && me.Status == ring.Removed {
		n.fail(n.struckOff(s))
		return
	}
	if me.Status == ring.Leaving {
		n.leaves.Store(true)
	}
	if n.wire.peers.Load() == nil {
		if err := n.form(s); err != nil {
			n.fail(err)
			return
		}
	}
	n.refresh()
	n.changer.changed(s)
}

// struckOff returns why this node, which the cluster has struck off, ends. One that was stopped while it left may have said that it was
// empty, and not know of it: what it says of itself since its start it said later. But it knows what it keeps.
func (n *Node) struckOff(s ring.State) error {
	said, _ := s.Report(n.id)
	if said.Empty || n.leaves.Load() && n.store.Bare() {
		return ErrLeft
	}
	return errRemoved
}

// form starts what needs a cluster, unless the node is on its way out.
func (n *Node) form(s ring.State) error {
	n.forming.Lock()
	defer n.forming.Unlock()
	if n.ctx.Err() != nil {
		return nil
	}
	p, err := peer.New(peer.Config{
		Node: n.id, Name: n.cfg.Name, Boot: n.boot, Cluster: s.Cluster.ID, Q: s.Cluster.Q,
		Listener: n.ports.peer, Dial: n.cfg.Network.Dial, Addr: n.peerAddress, Keys: n.secrets.Keys, Logger: n.cfg.Logger,
		Notice:      func() (notice notice, ok bool) { return n.settlement.Tell(), true },
		Changed:     func(ring.NodeID, bool) { n.peerChanged() },
		WritesBlock: n.cfg.Sync == "always",
	})
	if err != nil {
		return err
	}
	p.Open(server{n})
	n.wire.peers.Store(p)
	n.wg.Go(func() { n.spread(n.ctx) })
	if n.store == nil {
		return nil
	}
	n.wg.Go(func() { n.confirmBoot(n.ctx, s) })
	n.wg.Go(func() { n.changer.run(n.ctx) })
	n.wg.Go(func() { n.antiEntropy(n.ctx) })
	n.wg.Go(func() { n.reaper.run(n.ctx) })
	return n.store.StartHandoff(replica.Handoff{Ready: n.ready, Deliver: n.deliver})
}

func (n *Node) peerAddress(id ring.NodeID) (string, bool) {
	if m, ok := n.members.member(id); ok {
		return m.Peer, m.Status != ring.Removed
	}
	return n.proxyAddress(id)
}

func (n *Node) peerChanged() {
	n.refresh()
	if n.store != nil {
		n.store.PokeHandoff()
	}
}

// watchMembers makes a new view whenever gossip has news.
func (n *Node) watchMembers() {
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-n.gossip.Changes():
		}
		if n.wire.peers.Load() == nil {
			n.members.look()
			n.gossip.Announce()
			continue
		}
		n.peerChanged()
	}
}

// up reports whether a node is in reach: gossip believes it alive, and requests to it have not just failed.
func (n *Node) up(id ring.NodeID) bool {
	p := n.wire.peers.Load()
	return id == n.id || p != nil && n.gossip.Alive(id) && p.Up(id)
}

// refresh makes the view that requests go by from the document and from who is in reach now, unless the one in force holds for them.
func (n *Node) refresh() {
	n.views.Lock()
	defer n.views.Unlock()
	s := n.members.State()
	p := n.wire.peers.Load()
	if s.IsZero() || p == nil || n.gossip == nil {
		return
	}
	var ids []ring.NodeID
	for _, m := range s.Members {
		if m.Status != ring.Removed && m.ID != n.id {
			ids = append(ids, m.ID)
		}
	}
	for _, other := range n.proxies() {
		ids = append(ids, other.ID)
	}
	p.Know(ids)
	if !n.coord.View().Holds(s, n.up, n.gossip.Alive) {
		v := coordinator.NewViewWithSuspects(n.id, s, n.up, n.gossip.Alive)
		n.coord.SetView(v)
		n.slots.Store(slotMap(s, n.id, v.Up))
	}
	n.ruling.Store(&s)
	n.meetQuorum(s)
}

// meetQuorum notes that enough nodes are in reach for writes and reads, this one included. From then on the node is ready
// whatever happens to the others: that it answers NOQUORUM for a while is no reason to take it out of service.
func (n *Node) meetQuorum(s ring.State) {
	inReach, owners := 0, 0
	for _, m := range s.Members {
		if m.Eligible() && s.Layout.Has(m.ID) {
			owners++
			if n.up(m.ID) {
				inReach++
			}
		}
	}
	if inReach >= min(owners, max(s.Cluster.R, s.Cluster.W)) {
		n.met.Store(true)
	}
}

// Ready reports whether the node serves commands: it has a cluster, has met a quorum of it since it started (or waited
// for that long enough), and is not on its way out.
func (n *Node) Ready() bool {
	select {
	case <-n.ended:
		return false
	default:
	}
	met := n.met.Load() || time.Since(n.opened) > readyGrace
	return !n.draining.Load() && !n.leaving() && n.coord.View().Formed() && met
}

// Waiting says in words what a node without a cluster waits for.
func (n *Node) Waiting() string { return n.members.Waiting() }

// Wait returns a channel that is closed when the node took itself out of service; Err then says why. The caller still
// owes it a Shutdown.
func (n *Node) Wait() <-chan struct{} { return n.ended }

// Err returns why the node took itself out of service, or nil while it did not.
func (n *Node) Err() error {
	select {
	case <-n.ended:
		return n.failure
	default:
		return nil
	}
}

func (n *Node) fail(err error) {
	n.end.Do(func() {
		n.failure = err
		if !errors.Is(err, ErrLeft) {
			n.cfg.Logger.Error("out of service", "node", n.cfg.Name, "error", err)
		}
		close(n.ended)
	})
}

// Addrs returns the addresses as bound.
func (n *Node) Addrs() (resp, memcache, http, peer, gossip string) {
	return n.ports.resp.Addr().String(), n.cfg.Memcache, n.ports.http.Addr().String(), n.ports.peer.Addr().String(), n.gossip.Address()
}

// Shutdown finishes the commands that were read and what other nodes forwarded, tells them, pays the hints that are due, and closes the store
// with its clean-shutdown mark. When ctx ends first, connections are cut off; the store is closed well all the same.
// The node keeps its place in the ring. Later calls return what the first one did.
func (n *Node) Shutdown(ctx context.Context) error {
	n.stop.Do(func() { n.stopErr = n.shutdown(ctx) })
	return n.stopErr
}

// drain has every client and every other node answered, as long as ctx lasts: whoever is cut off is told nothing untrue.
// First this node's own clients, then the other nodes, and only then does gossip tell them to go on without it. They would
// carry out increments of a counter in its place while it still did so itself, and of two such results GET shows one.
func (n *Node) drain(ctx context.Context) {
	if n.resp != nil {
		clients, cancel := clientsShare(ctx)
		_ = n.resp.Shutdown(clients)
		cancel()
	}
	n.sayFarewell(ctx)
	if p := n.wire.peers.Load(); p != nil {
		_ = p.Drain(ctx)
	}
	if n.gossip != nil && ctx.Err() == nil && n.coord.View().Formed() {
		_ = n.gossip.Leave(gossipLeaveMax) // nobody may be in reach to be told: they will find out
	}
}

// clientsShare ends before ctx does, so that a client that does not read its answers leaves the other nodes time for theirs.
func clientsShare(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)/drainShare)
}

func (n *Node) shutdown(ctx context.Context) error {
	n.draining.Store(true)
	var errs []error
	n.drain(ctx)
	n.forming.Lock()
	n.cancel()
	n.forming.Unlock()
	if p := n.wire.peers.Load(); p != nil {
		errs = append(errs, p.Close())
	}
	if n.coord != nil {
		errs = append(errs, n.coord.Close())
	}
	if n.http != nil {
		_ = n.http.Close()
	}
	if n.gossip != nil {
		errs = append(errs, n.gossip.Close())
	}
	n.wg.Wait()
	if n.settlement != nil && n.wire.peers.Load() != nil {
		errs = append(errs, n.documents.PutMeta(settlementDocument, n.settlement.Save(nil)))
	}
	_ = n.ports.close() // closed already by whoever served them, mostly
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	return errors.Join(append(errs, n.pace.Close())...)
}
