package gossip

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/ring"
)

// rejoin joins, at once and then for ever, whoever is known and absent.
func (g *Gossip) rejoin(ctx context.Context) {
	for ctx.Err() == nil {
		g.joinAll(ctx, g.absent(ctx))
		g.awaitRejoin(ctx)
	}
}

// awaitRejoin waits until the next round is due. That is soon after somebody was lost: a node that was started again elsewhere was
// not believed while its old address passed for alive, and is there to be asked.
func (g *Gossip) awaitRejoin(ctx context.Context) {
	timer := time.NewTimer(rejoinEvery - rejoinJitter + rand.N(2*rejoinJitter))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-g.left:
		wait(ctx, rejoinSoon)
	}
}

// wait returns after d, or false when ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// absent returns the addresses, ip:port, of members and seeds that are not up: at most rejoinsMax, at random.
func (g *Gossip) absent(ctx context.Context) []string {
	addresses := g.known()
	rand.Shuffle(len(addresses), func(i, k int) { addresses[i], addresses[k] = addresses[k], addresses[i] })
	up := map[string]bool{g.Address(): true}
	for _, p := range g.view.load() {
		up[p.Gossip] = true
	}
	var absent []string
	for _, address := range addresses[:min(len(addresses), rejoinsMax)] {
		for _, resolved := range resolve(ctx, address) {
			if !up[resolved] {
				up[resolved] = true
				absent = append(absent, resolved)
			}
		}
	}
	return absent[:min(len(absent), rejoinsMax)]
}

// known returns the gossip addresses of the seeds, and of members and newcomers that are not up.
func (g *Gossip) known() []string {
	note := g.local.Load().note
	addresses := slices.Clone(g.cfg.Seeds)
	add := func(m ring.Member) {
		if m.Gossip != "" && m.Status != ring.Removed && !g.Alive(m.ID) {
			addresses = append(addresses, m.Gossip)
		}
	}
	for _, m := range note.State.Members {
		add(m)
	}
	for _, n := range note.Newcomers {
		add(n.Member)
	}
	return addresses
}

// Is reports whether a host:port resolves to the address that this node gossips at: whether a seed is the node itself, under whatever
// name.
func (g *Gossip) Is(ctx context.Context, address string) bool {
	return slices.Contains(resolve(ctx, address), g.Address())
}

// resolve returns the ip:port forms of a host:port; none when the name is unknown, which is tried again in the next round.
func resolve(ctx context.Context, address string) []string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	if ip := net.ParseIP(host); ip != nil {
		return []string{net.JoinHostPort(ip.String(), port)}
	}
	ctx, cancel := context.WithTimeout(ctx, resolveMax)
	defer cancel()
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil
	}
	var resolved []string
	for _, ip := range ips {
		resolved = append(resolved, net.JoinHostPort(ip.String(), port))
	}
	return resolved
}

// joinAll joins the addresses, a few at a time, and returns when all have answered or failed.
func (g *Gossip) joinAll(ctx context.Context, addresses []string) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, rejoinsAtOnce)
	for _, address := range addresses {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wg.Go(func() {
			g.pull(address)
			<-slots
		})
	}
}

// pull exchanges everything with the node at an address. memberlist logs what fails, but for a key or a certificate that the other
// side does not take; the next round tries again.
func (g *Gossip) pull(address string) {
	if _, err := g.list.Join([]string{address}); err != nil {
		_ = g.tellRefused(err.Error())
	}
}

// A difference is a pair of hashes that set two nodes apart.
type difference struct {
	ours, theirs uint64
	tried        time.Time
}

// syncPeers pulls from peers that know something else of the ring than this node, one at a time, soon after a change.
func (g *Gossip) syncPeers(ctx context.Context) {
	tried := map[ring.NodeID]difference{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.sync:
		}
		for {
			// Many changes come together, and all others see them too: let some of it pass.
			if !wait(ctx, settle+rand.N(settle)) {
				return
			}
			p, found := g.different(tried)
			if !found {
				break
			}
			g.pull(p.Gossip)
		}
	}
}

// different picks, at random, a peer whose hash differs from ours and has not been tried about that lately.
func (g *Gossip) different(tried map[ring.NodeID]difference) (Peer, bool) {
	ours, now := g.local.Load().hash, time.Now()
	var candidates []Peer
	peers := g.view.load()
	for id, d := range tried {
		if _, up := peers[id]; !up || now.Sub(d.tried) >= pullAgainAfter {
			delete(tried, id)
		}
	}
	for id, p := range peers {
		d := tried[id]
		if id != g.self.ID && p.hash != ours && !g.foreign(p.Cluster) && (d.ours != ours || d.theirs != p.hash) {
			candidates = append(candidates, p)
		}
	}
	if len(candidates) == 0 {
		return Peer{}, false
	}
	p := candidates[rand.IntN(len(candidates))]
	tried[p.ID] = difference{ours: ours, theirs: p.hash, tried: now}
	return p, true
}
