package nodetest

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/nettest"
	"github.com/holdfastdb/holdfast/protocol"
	"github.com/holdfastdb/holdfast/replica/replicatest"
)

// Machine is a host with a disk and a clock, on which a node runs or does not.
type Machine struct {
	IP     string
	Config node.Config
	Disk   *replicatest.Disk // may be replaced while no node runs
	Node   *node.Node        // nil while none runs
	Log    *Log              // of all its nodes

	c     *Cluster
	host  *nettest.Host
	ahead atomic.Int64
}

// SetClock makes the machine's wall clock run ahead by that much.
func (m *Machine) SetClock(ahead time.Duration) { m.ahead.Store(int64(ahead)) }

// Start starts a node on the machine's disk.
func (m *Machine) Start() (err error) {
	m.host = m.c.Net.Host(m.IP)
	cfg := m.Config
	cfg.FS, cfg.Logger = m.Disk.FS(), m.c.logger(m)
	transport := m.host.Gossip(cfg.Gossip)
	cfg.Network = node.Network{Listen: m.host.Listen, Dial: m.host.Dial, Gossip: transport}
	if m.Node, err = node.Open(cfg); err != nil {
		m.Node = nil
		_ = transport.Shutdown()
	}
	return err
}

// MustStart is Start for a node that has to start.
func (m *Machine) MustStart() {
	m.c.t.Helper()
	if err := m.Start(); err != nil {
		m.c.t.Fatalf("%s: %v", m.Config.Name, err)
	}
}

// Stop shuts the node down in good order. It fails the test where that fails.
func (m *Machine) Stop() {
	m.c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := m.Node.Shutdown(ctx); err != nil {
		m.c.t.Errorf("%s: shut down: %v", m.Config.Name, err)
	}
	m.Node = nil
}

// Kill ends the node as kill -9 does: the disk keeps all that was written, fsynced or not.
func (m *Machine) Kill() { m.end(func() *replicatest.Disk { return m.Disk.Kill() }) }

// PowerCut ends the node as a power cut does: of what was not fsynced, each write survives with a probability of percent.
func (m *Machine) PowerCut(percent int, rng *rand.Rand) {
	m.end(func() *replicatest.Disk { return m.Disk.PowerCut(percent, rng) })
}

// end takes the machine off the network first, so that whatever the node acknowledged to anybody is on the disk that is kept.
func (m *Machine) end(keep func() *replicatest.Disk) {
	m.host.Crash()
	kept := keep()
	_ = m.Node.Shutdown(canceled()) // the process is gone: what it writes now goes to a disk that nobody looks at
	m.Disk, m.Node = kept, nil
}

// Sees reports whether the node believes all of these machines in reach.
func (m *Machine) Sees(machines ...*Machine) bool {
	alive := map[string]bool{}
	for _, n := range m.Ring().Nodes {
		alive[n.Name] = n.Alive
	}
	for _, other := range machines {
		if !alive[other.Config.Name] {
			return false
		}
	}
	return true
}

// Ring asks the node for HOLDFAST RING; it is zero while there is no cluster.
func (m *Machine) Ring() (r protocol.Ring) {
	m.c.t.Helper()
	text, _ := m.Do("HOLDFAST", "RING").(string)
	if text != "" {
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			m.c.t.Fatal(err)
		}
	}
	return r
}

// Hints returns how many hints the node holds, by HOLDFAST STATUS.
func (m *Machine) Hints() int64 {
	m.c.t.Helper()
	var st protocol.Status
	text, _ := m.Do("HOLDFAST", "STATUS").(string)
	if err := json.Unmarshal([]byte(text), &st); err != nil {
		m.c.t.Fatalf("HOLDFAST STATUS at %s: %q: %v", m.Config.Name, text, err)
	}
	for _, n := range st.Nodes {
		if n.Name == m.Config.Name {
			return n.Hints
		}
	}
	m.c.t.Fatalf("%s is not in its own status: %s", m.Config.Name, text)
	return 0
}

// Do asks the node one command over a connection of its own, from a client on the same machine.
func (m *Machine) Do(args ...any) any {
	m.c.t.Helper()
	c, err := m.Dial(m.IP)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Do(args...)
}

// Client connects to the node from beside the cluster: no cut between machines is in the way.
func (m *Machine) Client() *Client {
	m.c.t.Helper()
	c, err := m.Dial(clientIP)
	if err != nil {
		m.c.t.Fatal(err)
	}
	return c
}
