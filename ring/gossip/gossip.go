// Package gossip tells nodes of each other: who is up, and what each knows of the ring. It is memberlist, wrapped once.
//
// Liveness is memberlist's failure detector, tuned to about a second. The ring document (or, before there is one, the list of
// empty nodes) travels by push/pull only; node metadata carries a hash of it, so that a change is seen at the next
// gossip and pulled at once by those who lack it. memberlist forgets dead nodes and does not heal after a long partition:
// members that are known and absent, and seeds, are joined again for ever.
//
// Nothing here decides anything: what nodes say is merged by the ring's rules, and handed to the node.
package gossip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/holdfastdb/holdfast/ring"
)

// Config is what a Gossip needs. Self, Local and Merge are required.
type Config struct {
	Self  ring.Member // ID, Name, Peer, RESP and Gossip are used
	Seeds []string    // gossip addresses, host:port, to join besides the known members
	Label string      // cluster name: nodes with another label do not hear each other; at most 255 bytes
	Keys  [][]byte    // of 16, 24 or 32 bytes: gossip is encrypted with the first and understood under any; none: it is in the clear

	Guard Guard // nil: streams are not under TLS

	// Bind and Advertise are host:port. Port 0 of Bind takes a free one. Advertise may be empty: Bind's. A host name in Advertise
	// is looked up once. Both are ignored when Transport is given.

	Bind, Advertise string
	Transport       memberlist.Transport // nil: UDP and TCP

	// Local answers what this node knows: the ring document, or itself and the other newcomers that it met. It is called by Open,
	// Announce, and after each Merge, never concurrently with itself, and must not wait for gossip.
	Local func() ring.Note
	// Merge is given what others know when it may be news: the node merges it into its own (ring.MergeNotes), persists it,
	// acts on it. Notes that arrive while it runs are merged into one. It is called by one goroutine, and may take its time.
	Merge func(ring.Note)

	Logger *slog.Logger // nil: slog.Default()
}

// Gossip is a running node of the gossip. Its methods may be called concurrently.
type Gossip struct {
	self  ring.Member
	cfg   Config
	log   *slog.Logger
	list  *memberlist.Memberlist
	keys  *memberlist.Keyring // nil: none
	at    string              // ip:port
	view  *view
	local atomic.Pointer[said]

	saying      sync.Mutex // held while Local is asked and its answer stored
	pending     pending
	changes     chan struct{} // for the node
	sync        chan struct{} // for syncPeers: somebody's hash changed
	merge       chan struct{} // for mergeNotes: pending is not empty
	update      chan struct{} // for spreadMeta: our own hash changed
	left        chan struct{} // for rejoin: somebody was lost
	foreignLog  limiter
	conflictLog limiter
	keyLog      limiter
	tlsLog      limiter

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// said is what this node tells others, as last asked of Local.
type said struct {
	note    ring.Note
	bytes   []byte
	hash    uint64
	cluster ring.NodeID
	meta    []byte
}

// pending holds what others said until Merge takes it.
type pending struct {
	sync.Mutex
	note ring.Note
	full bool
}

// Open starts gossiping. Nobody need be in reach: the known members and the seeds are joined in the background. It fails
// where the address cannot be listened at (the cause is in the error) or Advertise not be looked up.
func Open(cfg Config) (*Gossip, error) {
	g := &Gossip{
		self: cfg.Self, cfg: cfg, log: cfg.Logger, view: newView(),
		changes: make(chan struct{}, 1), sync: make(chan struct{}, 1), merge: make(chan struct{}, 1), update: make(chan struct{}, 1), left: make(chan struct{}, 1),
		foreignLog: limiter{most: 1, every: foreignLogEvery}, conflictLog: limiter{most: 1, every: foreignLogEvery},
		keyLog: limiter{most: 1, every: keyLogEvery}, tlsLog: limiter{most: 1, every: keyLogEvery},
	}
	if g.log == nil {
		g.log = slog.Default()
	}
	g.ask()
	var err error
	if g.keys, err = newKeyring(cfg.Keys); err != nil {
		return nil, err
	}
	mc, err := g.settings()
	if err == nil {
		err = g.guardStreams(mc)
	}
	if err != nil {
		return nil, err
	}
	if g.list, err = memberlist.Create(mc); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	g.at = g.list.LocalNode().Address()
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.wg.Go(func() { g.mergeNotes(ctx) })
	g.wg.Go(func() { g.spreadMeta(ctx) })
	g.wg.Go(func() { g.syncPeers(ctx) })
	g.wg.Go(func() { g.rejoin(ctx) })
	return g, nil
}

// settings are memberlist's, tuned for detection within about a second.
func (g *Gossip) settings() (*memberlist.Config, error) {
	mc := memberlist.DefaultLANConfig()
	mc.Name = g.self.ID.String()
	mc.Label, mc.Keyring = g.cfg.Label, g.keys // with keys, what is not encrypted is neither sent nor heard
	mc.ProbeInterval = 200 * time.Millisecond
	mc.ProbeTimeout = 100 * time.Millisecond
	mc.GossipInterval = 50 * time.Millisecond
	mc.SuspicionMult = 3
	// Lifeguard lets a node that is in doubt about itself wait longer before it believes others dead. A node that is cut off has
	// nobody to confirm its suspicions, and would go on taking writes for seconds; so it waits hardly longer: of three nodes, the one
	// cut off knows within four probes, the last two twice as slow, and one suspicion: 0.2 + 0.2 + 0.4 + 0.4 + 0.6 s.
	mc.SuspicionMaxTimeoutMult = 1
	mc.AwarenessMaxMultiplier = 2
	// A node that comes back at another address is believed once its old address is dead for this long.
	mc.DeadNodeReclaimTime = reclaimAfter
	mc.PushPullInterval = 5 * time.Second
	mc.TCPTimeout = streamMax
	mc.EnableCompression = false
	mc.DNSConfigPath = os.DevNull // names are resolved before memberlist sees them
	mc.Delegate, mc.Events, mc.Alive, mc.Conflict = delegate{g}, delegate{g}, delegate{g}, delegate{g}
	mc.Logger = log.New(&bridge{log: g.log, warn: limiter{most: logsPerMinute, every: time.Minute}, refused: g.tellRefused}, "", 0)
	if g.cfg.Transport != nil {
		mc.Transport = g.cfg.Transport
		return mc, nil
	}
	if err := listens(g.cfg.Bind); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	return mc, g.addresses(mc)
}

// listens tries an address, TCP and UDP, because memberlist's own error does not keep its cause (syscall.EADDRINUSE).
func listens(addr string) error {
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		return errors.Join(err, tcp.Close())
	}
	return errors.Join(tcp.Close(), udp.Close())
}

func (g *Gossip) addresses(mc *memberlist.Config) (err error) {
	if mc.BindAddr, mc.BindPort, err = splitAddress(g.cfg.Bind); err != nil {
		return err
	}
	if mc.BindAddr, err = bindIP(mc.BindAddr); err != nil {
		return err
	}
	advertise := g.cfg.Advertise
	if advertise == "" {
		advertise = g.cfg.Bind
	}
	host, port, err := splitAddress(advertise)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), resolveMax)
	defer cancel()
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return fmt.Errorf("gossip: advertised address: %w", err)
	}
	if ips[0].IP.IsUnspecified() {
		return nil // memberlist picks a private address of this machine
	}
	mc.AdvertiseAddr, mc.AdvertisePort = ips[0].String(), port
	return nil
}

// bindIP returns the IP address to listen at for a host; a name is looked up. memberlist takes every name for all addresses.
func bindIP(host string) (string, error) {
	if host == "" || net.ParseIP(host) != nil {
		return host, nil
	}
	ip, err := net.ResolveIPAddr("ip", host)
	if err != nil {
		return "", fmt.Errorf("gossip: %w", err)
	}
	return ip.String(), nil
}

func splitAddress(addr string) (host string, port int, err error) {
	host, digits, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("gossip: address: %w", err)
	}
	number, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("gossip: address %q: %w", addr, err)
	}
	return host, int(number), nil
}

// Alive reports whether a node is believed up. A node of another cluster is not; this node is. It costs a map look-up, without
// a lock.
func (g *Gossip) Alive(id ring.NodeID) bool {
	p, up := g.view.load()[id]
	return id == g.self.ID || up && !g.foreign(p.Cluster)
}

// Members returns the nodes that are believed up, this one included, sorted by id; none of another cluster.
func (g *Gossip) Members() []Peer {
	var ours []Peer
	for _, p := range sorted(g.view.load()) {
		if !g.foreign(p.Cluster) {
			ours = append(ours, p)
		}
	}
	return ours
}

// Changes has an element when who is up, or what they know, may have changed since it was last received from. It has one
// receiver, and is never closed.
func (g *Gossip) Changes() <-chan struct{} { return g.changes }

// Announce tells others that what Local answers has changed. It does not wait for them.
func (g *Gossip) Announce() {
	if g.ask() {
		signal(g.update)
		signal(g.sync)
	}
}

// spreadMeta tells others our hash. It is alone in calling UpdateNode, which waits, and reads without a lock what another call
// would write. The error says that the update is queued and not yet sent, which is what is wanted.
func (g *Gossip) spreadMeta(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.update:
			_ = g.list.UpdateNode(metaQueueWait)
		}
	}
}

// Address returns the ip:port that this node gossips at.
func (g *Gossip) Address() string { return g.at }

// HealthScore is memberlist's opinion of this node's own timeliness: 0 is well, higher is worse.
func (g *Gossip) HealthScore() int { return g.list.GetHealthScore() }

// Leave tells others that this node stops, so that they need not find out, and waits until one was told or the timeout ends. It keeps
// its place in the ring. Only Close may follow.
func (g *Gossip) Leave(timeout time.Duration) error {
	if timeout <= 0 {
		timeout = leaveMax
	}
	if err := g.list.Leave(timeout); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	return nil
}

// Close stops gossiping and waits for what it started; a push/pull under way is waited for at most for its deadline. Probes of
// memberlist's own outlive it by up to a second.
func (g *Gossip) Close() error {
	g.cancel()
	err := g.list.Shutdown()
	g.wg.Wait()
	return err
}

// ask asks Local, and reports whether it says anything new.
func (g *Gossip) ask() bool {
	g.saying.Lock()
	defer g.saying.Unlock()
	note := g.cfg.Local()
	s := &said{note: note, bytes: note.Encode(), cluster: note.State.Cluster.ID}
	sum := fnv.New64a()
	sum.Write(s.bytes)
	s.hash = sum.Sum64()
	s.meta = meta{cluster: s.cluster, hash: s.hash, peer: g.self.Peer, resp: g.self.RESP, name: g.self.Name}.encode()
	old := g.local.Swap(s)
	return old == nil || old.hash != s.hash
}

// received takes another node's note. It runs in memberlist's goroutines.
func (g *Gossip) received(b []byte) {
	own := g.local.Load()
	if bytes.Equal(b, own.bytes) {
		return
	}
	note, err := ring.DecodeNote(b)
	if err == nil && g.foreign(note.State.Cluster.ID) {
		g.logForeign(note.State.Cluster.Name, "", note.State.Cluster.ID)
		return
	}
	if err == nil {
		err = g.pending.add(note)
	}
	if errors.Is(err, ring.ErrForeign) {
		g.logForeign(note.State.Cluster.Name, "", note.State.Cluster.ID)
		return
	}
	if err != nil {
		g.log.Warn("ignoring a peer's ring document", "error", err)
		return
	}
	signal(g.merge)
}

func (p *pending) add(note ring.Note) error {
	p.Lock()
	defer p.Unlock()
	merged, err := ring.MergeNotes(p.note, note)
	if err == nil {
		p.note, p.full = merged, true
	}
	return err
}

func (p *pending) take() (note ring.Note, full bool) {
	p.Lock()
	defer p.Unlock()
	note, full = p.note, p.full
	p.note, p.full = ring.Note{}, false
	return note, full
}

func (g *Gossip) mergeNotes(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.merge:
		}
		if note, full := g.pending.take(); full {
			g.cfg.Merge(note)
			g.Announce()
			signal(g.changes)
		}
	}
}

// changed is called when who is up or what they know has changed.
func (g *Gossip) changed() {
	signal(g.changes)
	signal(g.sync)
}

// signal makes sure that the channel, of capacity one, has an element.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
