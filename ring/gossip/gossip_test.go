package gossip_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/ring"
	"github.com/holdfastdb/holdfast/ring/gossip"
	"github.com/holdfastdb/holdfast/ring/gossip/gossiptest"
)

// A host is what a node does around its gossip: it keeps a note, merges what comes, and founds when ring.Found says so.
type host struct {
	t    *testing.T
	net  *gossiptest.Network
	self ring.Newcomer
	log  *logText
	g    *gossip.Gossip
	stop chan struct{}
	wg   sync.WaitGroup

	mu   sync.Mutex
	note ring.Note
}

func nodeID(i int) ring.NodeID { return ring.NodeID{0: 0xee, 15: byte(i)} }

func address(i int) string { return fmt.Sprintf("10.0.0.%d:7946", i) }

// newcomer returns node i, which expects k nodes and whose first seed is node 1.
func newcomer(i, k int) ring.Newcomer {
	return ring.Newcomer{
		Member:  ring.Member{ID: nodeID(i), Name: fmt.Sprintf("node-%d", i), Gossip: address(i), Peer: fmt.Sprintf("10.0.0.%d:7379", i), RESP: fmt.Sprintf("10.0.0.%d:6379", i)},
		Cluster: ring.Cluster{Name: "test", Q: 16, N: 3, R: 2, W: 2},
		Seeds:   []string{address(1), address(2), address(3)},
		Expect:  k,
	}
}

// start runs a host at its address until the test ends or it is killed.
func start(t *testing.T, net *gossiptest.Network, self ring.Newcomer, note ring.Note) *host {
	t.Helper()
	return startTrusted(t, net, self, note, "", nil)
}

// startTrusted is start with a cluster key for each letter, and under TLS where there is a guard.
func startTrusted(t *testing.T, net *gossiptest.Network, self ring.Newcomer, note ring.Note, letters string, guard gossip.Guard) *host {
	t.Helper()
	h := &host{t: t, net: net, self: self, note: note, log: &logText{}, stop: make(chan struct{})}
	if note.State.IsZero() {
		h.note = ring.Note{Newcomers: []ring.Newcomer{self}}
	}
	transport, err := net.Listen(self.Member.Gossip)
	if err != nil {
		t.Fatal(err)
	}
	h.g, err = gossip.Open(gossip.Config{
		Self: self.Member, Seeds: self.Seeds, Label: "test", Keys: keysOf(letters), Guard: guard, Transport: transport, Local: h.local, Merge: h.merge,
		Logger: slog.New(slog.NewTextHandler(h.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.wg.Go(h.founds)
	return h
}

func (h *host) local() ring.Note {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.note
}

func (h *host) merge(note ring.Note) {
	h.mu.Lock()
	defer h.mu.Unlock()
	merged, err := ring.MergeNotes(h.note, note)
	if err != nil {
		h.t.Errorf("%s: %v", h.self.Member.Name, err)
		return
	}
	h.note = merged
}

func (h *host) set(note ring.Note) {
	h.mu.Lock()
	h.note = note
	h.mu.Unlock()
	h.g.Announce()
}

// founds founds the cluster when it is time.
func (h *host) founds() {
	for {
		select {
		case <-h.stop:
			return
		case <-h.g.Changes():
		}
		note := h.local()
		if !note.State.IsZero() {
			continue
		}
		met := slices.DeleteFunc(slices.Clone(note.Newcomers), func(n ring.Newcomer) bool { return !h.g.Alive(n.Member.ID) })
		s, wait, err := ring.Found(h.self, met, h.random)
		if err != nil {
			h.t.Error(err)
		}
		if wait == "" {
			h.set(ring.Note{State: s})
		}
	}
}

func (h *host) random(b []byte) {
	sum := sha256.Sum256([]byte(h.self.Member.Name))
	copy(b, sum[:])
}

func (h *host) kill() {
	close(h.stop)
	if err := h.g.Close(); err != nil {
		h.t.Error(err)
	}
	h.wg.Wait()
}

// sees reports whether the host believes exactly these nodes up, itself included.
func (h *host) sees(nodes ...int) bool {
	members := h.g.Members()
	for _, i := range nodes {
		if !h.g.Alive(nodeID(i)) {
			return false
		}
	}
	return len(members) == len(nodes)
}

// bubble runs f on a fake clock, and waits out what memberlist leaves behind.
func bubble(t *testing.T, f func(t *testing.T, net *gossiptest.Network)) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(10 * time.Second)
		f(t, gossiptest.New(1))
	})
}

// within waits until something holds, and fails the test if it takes longer than limit.
func within(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for begin := time.Now(); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

func startAll(t *testing.T, net *gossiptest.Network, n int) []*host {
	hosts := make([]*host, n)
	for i := range hosts {
		hosts[i] = start(t, net, newcomer(i+1, n), ring.Note{})
	}
	return hosts
}

func numbers(from, to int) (list []int) {
	for i := from; i <= to; i++ {
		list = append(list, i)
	}
	return list
}

func every(hosts []*host, holds func(*host) bool) bool {
	return !slices.ContainsFunc(hosts, func(h *host) bool { return !holds(h) })
}

// agreed reports whether all have the same ring document.
func agreed(hosts []*host) bool {
	first := hosts[0].local()
	return !first.State.IsZero() && every(hosts, func(h *host) bool { return bytes.Equal(h.local().Encode(), first.Encode()) })
}

func killAll(hosts ...*host) {
	for _, h := range hosts {
		h.kill()
	}
}

func TestNodesConverge(t *testing.T) {
	for _, n := range []int{3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, func(t *testing.T, net *gossiptest.Network) {
				hosts := startAll(t, net, n)
				defer killAll(hosts...)
				within(t, 10*time.Second, "all see all and agree", func() bool {
					return agreed(hosts) && every(hosts, func(h *host) bool { return h.sees(numbers(1, n)...) })
				})
				for i, p := range hosts[0].g.Members() {
					if m := hosts[i].self.Member; p.Name != m.Name || p.Peer != m.Peer || p.RESP != m.RESP || p.Gossip != m.Gossip {
						t.Errorf("metadata of %s: %+v", m.Name, p)
					}
				}
				if hosts[0].g.HealthScore() != 0 {
					t.Error("unhealthy in fair weather")
				}
			})
		})
	}
}

func TestChangeReachesAllSoon(t *testing.T) {
	bubble(t, func(t *testing.T, net *gossiptest.Network) {
		hosts := startAll(t, net, 5)
		defer killAll(hosts...)
		within(t, 10*time.Second, "agreement", func() bool { return agreed(hosts) })
		time.Sleep(3 * time.Second)
		note := hosts[3].local()
		m, _ := note.State.Member(nodeID(4))
		m.Zone, m.Epoch = "elsewhere", m.Epoch+1
		hosts[3].set(ring.Note{State: note.State.With(m)})
		within(t, time.Second, "a change known to all", func() bool { return agreed(hosts) })
		if got, _ := hosts[0].local().State.Member(nodeID(4)); got.Zone != "elsewhere" {
			t.Error("agreed on the old record")
		}
	})
}

func TestCutNodeIsNoticed(t *testing.T) {
	for _, n := range []int{3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, func(t *testing.T, net *gossiptest.Network) {
				hosts := startAll(t, net, n)
				defer killAll(hosts...)
				within(t, 10*time.Second, "all see all", func() bool { return every(hosts, func(h *host) bool { return h.sees(numbers(1, n)...) }) })
				time.Sleep(time.Second)
				var others []string
				for i := 1; i < n; i++ {
					others = append(others, address(i))
				}
				net.Split([]string{address(n)}, others)
				within(t, 2*time.Second, "both sides notice", func() bool {
					// The one that is cut off finds the others dead one by one; of three it has to notice as quickly as they do.
					return every(hosts[:n-1], func(h *host) bool { return h.sees(numbers(1, n-1)...) }) && (n > 3 || hosts[2].sees(3))
				})
			})
		})
	}
}

func TestLeavingIsToldAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, net *gossiptest.Network) {
		hosts := startAll(t, net, 3)
		within(t, 10*time.Second, "agreement", func() bool { return agreed(hosts) })
		time.Sleep(time.Second)
		if err := hosts[2].g.Leave(time.Second); err != nil {
			t.Error(err)
		}
		within(t, 200*time.Millisecond, "the others know", func() bool { return hosts[0].sees(1, 2) && hosts[1].sees(1, 2) })
		killAll(hosts...)
	})
}

func TestLongPartitionHealsByItself(t *testing.T) {
	bubble(t, func(t *testing.T, net *gossiptest.Network) {
		hosts := startAll(t, net, 5)
		defer killAll(hosts...)
		within(t, 10*time.Second, "agreement", func() bool { return agreed(hosts) })
		one, other := []string{address(1), address(2)}, []string{address(3), address(4), address(5)}
		net.Split(one, other)
		time.Sleep(2 * time.Minute)
		if !hosts[0].sees(1, 2) || !hosts[4].sees(3, 4, 5) {
			t.Fatal("the partition was not noticed")
		}
		net.Join(one, other)
		within(t, 10*time.Second, "all see all again", func() bool { return every(hosts, func(h *host) bool { return h.sees(numbers(1, 5)...) }) })
	})
}

func TestOneWayCutIsSurvived(t *testing.T) {
	bubble(t, func(t *testing.T, net *gossiptest.Network) {
		hosts := startAll(t, net, 3)
		defer killAll(hosts...)
		within(t, 10*time.Second, "agreement", func() bool { return agreed(hosts) })
		net.Cut(address(1), address(2))
		time.Sleep(20 * time.Second)
		if !hosts[2].sees(1, 2, 3) {
			t.Error("the third lost somebody")
		}
		net.Heal(address(1), address(2))
		within(t, 10*time.Second, "all see all", func() bool { return every(hosts, func(h *host) bool { return h.sees(1, 2, 3) }) })
	})
}

func TestFoundingInAnyOrder(t *testing.T) {
	for _, order := range [][3]int{{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			bubble(t, func(t *testing.T, net *gossiptest.Network) {
				first := start(t, net, newcomer(order[0], 3), ring.Note{})
				second := start(t, net, newcomer(order[1], 3), ring.Note{})
				time.Sleep(30 * time.Second)
				if !first.local().State.IsZero() || !second.local().State.IsZero() {
					t.Fatal("two of three founded a cluster")
				}
				hosts := []*host{first, second, start(t, net, newcomer(order[2], 3), ring.Note{})}
				defer killAll(hosts...)
				within(t, 10*time.Second, "one cluster of three", func() bool { return agreed(hosts) })
				if got := len(first.local().State.Members); got != 3 {
					t.Errorf("%d members", got)
				}
			})
		})
	}
}

func TestNodeReturnsAtAnotherAddress(t *testing.T) {
	bubble(t, func(t *testing.T, net *gossiptest.Network) {
		hosts := startAll(t, net, 3)
		within(t, 10*time.Second, "agreement", func() bool { return agreed(hosts) })
		note := hosts[2].local()
		hosts[2].kill()
		moved := newcomer(3, 3)
		moved.Member.Gossip = address(9)
		moved.Seeds = []string{address(1)}
		hosts[2] = start(t, net, moved, note)
		defer killAll(hosts...)
		within(t, 15*time.Second, "the others know it at its new address", func() bool {
			return every(hosts, func(h *host) bool {
				members := h.g.Members()
				return h.sees(1, 2, 3) && members[2].Gossip == address(9)
			})
		})
	})
}

func TestForeignClusterIsVetoed(t *testing.T) {
	bubble(t, func(t *testing.T, net *gossiptest.Network) {
		ours := startAll(t, net, 3)
		within(t, 10*time.Second, "agreement", func() bool { return agreed(ours) })
		// The stranger founded a cluster of its own and was then told to join this one.
		stranger := newcomer(7, 1)
		stranger.Seeds = nil
		s, _, err := ring.Found(stranger, nil, func(b []byte) { b[0] = 0xff })
		if err != nil {
			t.Fatal(err)
		}
		stranger.Seeds = []string{address(1)}
		theirs := start(t, net, stranger, ring.Note{State: s})
		before := ours[0].local().Encode()
		time.Sleep(150 * time.Second)
		for _, h := range ours {
			if !h.sees(1, 2, 3) || !bytes.Equal(h.local().Encode(), before) {
				t.Errorf("%s was harmed", h.self.Member.Name)
			}
		}
		if !theirs.sees(7) || len(theirs.local().State.Members) != 1 {
			t.Error("the stranger was drawn in")
		}
		killAll(append(ours, theirs)...)
		if lines := strings.Count(ours[0].log.String(), "another cluster"); lines < 1 || lines > 3 {
			t.Errorf("%d lines in 150 s:\n%s", lines, ours[0].log)
		}
	})
}

func TestLabelFences(t *testing.T) {
	bubble(t, func(t *testing.T, net *gossiptest.Network) {
		open := func(i int, label string) *gossip.Gossip {
			transport, err := net.Listen(address(i))
			if err != nil {
				t.Fatal(err)
			}
			n := newcomer(i, 2)
			note := ring.Note{Newcomers: []ring.Newcomer{n}}
			g, err := gossip.Open(gossip.Config{
				Self: n.Member, Seeds: n.Seeds, Label: label, Transport: transport,
				Local: func() ring.Note { return note }, Merge: func(ring.Note) { t.Error("heard through the fence") },
				Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		a, b := open(1, "blue"), open(2, "green")
		time.Sleep(20 * time.Second)
		if len(a.Members()) != 1 || len(b.Members()) != 1 {
			t.Error("met across labels")
		}
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	})
}

// Over the real transport, in one process, on the machine's own loopback.
func TestTwoInOneProcess(t *testing.T) {
	notes := make(chan ring.Note, 64)
	open := func(i int, seeds ...string) *gossip.Gossip {
		self := newcomer(i, 2)
		self.Seeds = seeds
		g, err := gossip.Open(gossip.Config{
			Self: self.Member, Seeds: seeds, Label: "test", Bind: "127.0.0.1:0",
			Local:  func() ring.Note { return ring.Note{Newcomers: []ring.Newcomer{self}} },
			Merge:  func(n ring.Note) { notes <- n },
			Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	a := open(1)
	b := open(2, a.Address())
	for range 2 {
		n := <-notes
		if len(n.Newcomers) != 1 {
			t.Errorf("%d newcomers in a note", len(n.Newcomers))
		}
	}
	for _, g := range []*gossip.Gossip{a, b} {
		for len(g.Members()) < 2 {
			<-g.Changes()
		}
	}
	if !a.Is(t.Context(), a.Address()) || a.Is(t.Context(), b.Address()) {
		t.Error("a node does not know its own address")
	}
	_, err := gossip.Open(gossip.Config{Self: newcomer(3, 1).Member, Bind: a.Address(), Local: func() ring.Note { return ring.Note{} }, Logger: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a taken port: %v", err)
	}
	if err := errors.Join(a.Leave(time.Second), a.Close(), b.Close()); err != nil {
		t.Error(err)
	}
}

func TestOpenRefusesBadAddresses(t *testing.T) {
	for _, bind := range []string{"", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999"} {
		g, err := gossip.Open(gossip.Config{Self: newcomer(1, 1).Member, Bind: bind, Local: func() ring.Note { return ring.Note{} }, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			t.Errorf("Bind %q was taken", bind)
			_ = g.Close()
		}
	}
}
