package whole

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/nodetest"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/replica/replicatest"
)

// machine is a host of the cluster, and what the run must know of it while no node runs there. The script's goroutine
// alone starts and ends nodes.
type machine struct {
	*nodetest.Machine
	index int
	w     *world
	turns atomic.Int64              // odd while a node runs
	runs  atomic.Pointer[node.Node] // the node that runs, while it is not about to end
	kept  map[string]causal.State   // what its disk holds for sure while it is down; nil: nothing

	leaving   atomic.Bool  // its node was asked to leave: clients go elsewhere
	absent    atomic.Bool  // no node lives here: it is still to join, or has left, or was removed
	gone      atomic.Int64 // since when, in Unix nanoseconds; 0: it is still to join
	deletions int          // of its directory
	empty     bool         // so is its directory, and no node was started on it since
	paused    bool         // it stands still
	woke      atomic.Int64 // when it last ceased to, in Unix nanoseconds
	older     bool         // its disk lost something, or was put back to an older state
}

// life names the node that runs here; false while none does, or it is about to end.
func (m *machine) life() (turn int, runs bool) {
	turn = int(m.turns.Load())
	return turn, turn%2 == 1
}

// ends says that the node is about to end.
func (m *machine) ends() {
	m.turns.Add(1)
	m.runs.Store(nil)
	m.goesOn()
}

// pause has the machine stand still, unless no node runs there.
func (m *machine) pause() {
	if !m.down() && !m.paused {
		m.paused = true
		m.w.cluster.Net.Pause(m.IP)
	}
}

// wake has the machine go on.
func (m *machine) wake() {
	m.w.cluster.Net.Wake(m.IP)
	m.goesOn()
}

func (m *machine) goesOn() {
	if m.paused {
		m.paused = false
		m.woke.Store(time.Now().UnixNano())
	}
}

func (m *machine) down() bool { return m.Node == nil }

// start starts a node, unless one runs, or none lives here any more.
func (m *machine) start() {
	if !m.down() || m.absent.Load() {
		return
	}
	m.Config.Witness = eyes{m.w.rec, m.index, int(m.turns.Add(1))}
	if err := m.Start(); err != nil {
		m.w.wrong("node %d does not start: %v", m.index+1, err)
	}
	m.runs.Store(m.Node)
	m.empty = false
}

// holds returns what the machine's node holds of every key, or of a machine that is down what it kept.
func (m *machine) holds() map[string]causal.State {
	if m.down() {
		return m.kept
	}
	held := make(map[string]causal.State)
	for _, key := range m.w.rec.keys() {
		if state, _, err := m.Node.Copy([]byte(key)); err == nil {
			held[key] = state
		}
	}
	return held
}

// mayHold reports whether the machine holds a write, as far as is known: of one that is down, or about to be, it is not.
// What was given a new expiry elsewhere meanwhile may stand beside the write that had seen it.
func (m *machine) mayHold(key string, delta causal.State) bool {
	n := m.runs.Load()
	if n == nil {
		return !m.absent.Load() || time.Since(time.Unix(0, m.gone.Load())) < budget+grace
	}
	state, _, err := n.Copy([]byte(key))
	return err != nil || check.Holds(state, delta)
}

// kill ends the node as kill -9 does.
func (m *machine) kill() {
	if !m.down() {
		m.kept = m.holds()
		m.ends()
		m.Kill()
	}
}

// stop ends the node in good order.
func (m *machine) stop() {
	if m.down() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopMax)
	defer cancel()
	m.wake()
	m.ends()
	if err := m.Node.Shutdown(ctx); err != nil {
		m.w.wrong("node %d does not shut down well: %v", m.index+1, err)
	}
	m.kept = m.holds()
	m.Node = nil
}

// powerCut ends the node as a power cut does.
func (m *machine) powerCut(percent int, rng *rand.Rand) {
	if m.down() {
		return
	}
	m.kept = nil
	if m.w.script.Sync == "always" {
		m.kept = m.holds()
	}
	m.ends()
	m.PowerCut(percent, rng)
	if m.kept == nil {
		m.older = true
		m.w.lose(m)
	}
}

// replace ends the node and gives the machine another disk.
func (m *machine) replace(disk *replicatest.Disk) {
	m.kill()
	m.Disk, m.kept, m.older = disk, nil, true
	m.w.lose(m)
}

// wipe deletes the directory: whoever starts on it is its node's own replacement.
func (m *machine) wipe() {
	m.Config.Replace = m.Config.Name
	m.replace(replicatest.NewDisk())
	m.leaving.Store(false) // that was the other
	m.deletions++
	m.empty = true
}

// backUp returns a copy of the directory, of the running node or between a shutdown in good order and a start.
func (m *machine) backUp(running bool) *replicatest.Disk {
	if running || m.down() {
		return m.Disk.Kill()
	}
	m.stop()
	defer m.start()
	return m.Disk.Copy(m.Config.Dir)
}

// fail lets the disk fail and the node take itself out of service, upon which its process ends.
func (m *machine) fail() {
	if m.down() {
		return
	}
	m.wake()
	m.Disk.Break()
	select {
	case <-m.Node.Wait():
	case <-time.After(brokenMax): // nothing was written
	}
	m.kept, m.older = nil, true // what it holds cannot be asked any more
	m.ends()
	m.Kill()
}

const probeKey = "probe"

func configure(s *Script) func(int, *node.Config) {
	return func(_ int, cfg *node.Config) {
		cfg.Sync, cfg.Partitions = s.Sync, partitions
		if cfg.AntiEntropy = -1; s.Seed%3 == 0 { // in the others hints and read repair are to do without it
			cfg.AntiEntropy = comparedEvery
		}
	}
}
