package whole

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/replica/replicatest"
)

// act is one end of a fault.
type act struct {
	at time.Duration
	do func()
}

// inject carries out the script's faults, one after another, and returns when the last is over.
func (w *world) inject() {
	var acts []act
	for _, f := range w.script.Faults {
		begin, end := w.whole(f)
		acts = append(acts, act{f.At, begin}, act{f.At + f.For, end})
		if period := 2 * time.Duration(f.Amount) * time.Millisecond; f.Kind == Flap {
			for at := period / 2; at < f.For; at += period {
				acts = append(acts, act{f.At + at, end}, act{f.At + at + period/2, begin})
			}
			acts = append(acts, act{f.At + f.For + period, end})
		}
		if period := time.Duration(f.Amount) * time.Millisecond; f.Kind == Reset {
			for at := period; at < f.For; at += period {
				acts = append(acts, act{f.At + at, begin})
			}
		}
	}
	slices.SortStableFunc(acts, func(a, b act) int { return int(a.at - b.at) })
	began := time.Now() // of the clients
	for _, a := range acts {
		w.watch(began.Add(a.at))
		a.do()
	}
}

// whole returns the acts of a fault that happens as a whole or, where the nodes that it is for do not live, not at all.
func (w *world) whole(f Fault) (begin, end func()) {
	do, undo := w.acts(f)
	begun := false
	return func() {
			if !begun && !w.befalls(f) {
				return
			}
			if !begun {
				w.injected[f.Kind]++
			}
			begun = true
			do()
		}, func() {
			if begun {
				undo()
			}
		}
}

// befalls reports whether there is somebody whom the fault can befall.
func (w *world) befalls(f Fault) bool {
	m := w.machines[f.Nodes[0]-1]
	switch f.Kind {
	case Split, OneWay, Flap, Slow, Reset, Lossy:
		return true
	case Join:
		return m.unborn()
	case Replace:
		return m.unborn() && w.met(w.machines[f.Nodes[1]-1])
	case Remove:
		return w.met(m)
	}
	return !m.absent.Load()
}

// acts returns what begins a fault and what ends it.
func (w *world) acts(f Fault) (begin, end func()) {
	m := w.machines[f.Nodes[0]-1]
	switch f.Kind {
	case Split:
		return func() { w.cluster.Net.Split(w.sides(f)) }, func() { w.cluster.Net.Join(w.sides(f)) }
	case OneWay, Flap:
		from, to := w.link(f)
		return func() { w.cluster.Net.Cut(from, to) }, func() { w.cluster.Net.Heal(from, to) }
	case Slow:
		from, to := w.link(f)
		extra := time.Duration(f.Amount) * time.Millisecond
		return func() { w.cluster.Net.Slow(from, to, extra) }, func() { w.cluster.Net.Slow(from, to, w.delay(from, to)) }
	case Clock:
		return func() { m.SetClock(time.Duration(f.Amount) * time.Millisecond) }, func() { m.SetClock(0) }
	case Full:
		return func() { m.Disk.SetFull(true) }, func() { m.Disk.SetFull(false) }
	case Pause:
		return m.pause, m.wake
	case Reset:
		from, to := w.link(f)
		return func() { w.cluster.Net.Tear(from, to); w.cluster.Net.Tear(to, from) }, func() {}
	case Lossy:
		return func() { w.cluster.Net.Lossy(m.IP, f.Amount) }, func() { w.cluster.Net.Lossy(m.IP, 0) }
	case Join, Leave, Remove, Replace:
		return w.changes(f, m)
	}
	return w.ends(f, m)
}

// ends returns the acts of a fault that ends a node and starts one.
func (w *world) ends(f Fault, m *machine) (begin, end func()) {
	switch f.Kind {
	case Stop:
		return m.stop, m.start
	case Kill:
		return m.kill, m.start
	case Power:
		return func() { m.powerCut(f.Amount, w.rng) }, m.start
	case Broken:
		return m.fail, m.start
	case Delete:
		return m.wipe, m.start
	case Restore:
		var old *replicatest.Disk // this fault's own: several may overlap
		var deletions int
		var empty bool
		return func() { old, deletions, empty = m.backUp(f.Amount == 0), m.deletions, m.empty }, func() {
			switch {
			case m.deletions != deletions || m.absent.Load(): // its replacement is in service, and what the old disk holds is fenced
			case empty: // a copy of nothing
				m.wipe()
			default:
				m.replace(old)
			}
			m.start()
		}
	}
	panic("whole: unknown fault " + f.Kind)
}

// delay is what every message of a link takes at least, all through the run.
func (w *world) delay(from, to string) time.Duration {
	if w.script.Delay == 0 {
		return 0
	}
	h := fnv.New64a()
	fmt.Fprintln(h, w.script.Seed, from, to)
	return time.Duration(h.Sum64() % uint64(w.script.Delay))
}

// slowAll gives every link between nodes its delay.
func (w *world) slowAll() {
	for _, from := range w.machines {
		for _, to := range w.machines {
			if from != to {
				w.cluster.Net.Slow(from.IP, to.IP, w.delay(from.IP, to.IP))
			}
		}
	}
}

// sides are the addresses of the nodes of a split, and of the others.
func (w *world) sides(f Fault) (one, other []string) {
	for i, m := range w.machines {
		if slices.Contains(f.Nodes, i+1) {
			one = append(one, m.IP)
		} else {
			other = append(other, m.IP)
		}
	}
	return one, other
}

func (w *world) link(f Fault) (from, to string) {
	return w.machines[f.Nodes[0]-1].IP, w.machines[f.Nodes[1]-1].IP
}

// settle mends everything, waits until the cluster has caught up, and reads every key everywhere, so that read repair,
// the only anti-entropy there is, makes all copies agree.
func (w *world) settle() {
	w.cluster.Net.HealAll()
	for _, m := range w.machines {
		m.wake()
		m.SetClock(0)
		m.Disk.SetFull(false)
		m.start()
	}
	if !w.await(drainMax, "who leaves has left, and who was given up is removed", w.departed) ||
		!w.await(readyMax, "all nodes are ready and see each other", w.ready) {
		return
	}
	time.Sleep(calmAfter)
	w.probe()
	time.Sleep(expireMax + driftMax + sweepMax) // a sibling is removed by each copy in its own time
	w.await(drainMax, "the ring is at rest", w.atRest)
	w.await(drainMax, "the hints are delivered", func() bool { return w.hints() == 0 })
	w.quiet = w.replicas()
	if w.script.Seed%2 == 0 { // each way to agree must do without the other
		w.repair()
	} else {
		for range 2 { // the second time for what the repairs of the first made stale elsewhere
			w.readAll()
			time.Sleep(repairMax)
		}
	}
	w.await(drainMax, "the hints of repairs are delivered", func() bool { return w.hints() == 0 })
	w.await(drainMax, "nobody holds what is another's", w.tidy)
	if w.script.Reap {
		w.await(reapMax, "all tombstones are reaped", w.reaped)
	}
	w.await(drainMax, "the hash trees are complete", w.treesComplete)
	w.final, w.finalRoots, w.left = w.replicas(), w.roots(), w.hints()
}

// probe does one of everything at each node while nothing is wrong: all must succeed.
func (w *world) probe() {
	c := w.client(clients)
	defer c.close()
	c.calm = true
	for _, m := range w.present() {
		for _, name := range []string{"SET", "GETV", "PUTCTX", "GET", "EXPIRE", "SETNX", "DEL", "INCR"} {
			q := c.named(command{key: probeKey, with: "fresh"}, name)
			c.ask(m.index, q)
		}
	}
}

// readAll reads every key at some node, from all primaries that live.
func (w *world) readAll() {
	all, live := w.rec.keys(), map[string]int{}
	for _, r := range w.replicas() {
		live[r.Key]++
	}
	members := w.present()
	for at, m := range members {
		conn, err := m.Dial(m.IP)
		if err != nil {
			w.wrong("node %d is not reached: %v", m.index+1, err)
			continue
		}
		for i := at; i < len(all); i += len(members) {
			key, r := all[i], live[all[i]]
			if err, failed := conn.Do("GETV", key, "R", r).(error); failed {
				w.wrong("GETV %s R %d at node %d in calm: %v", key, r, m.index+1, err)
			}
		}
		_ = conn.Close()
	}
}
