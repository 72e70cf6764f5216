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
		begin, end := w.acts(f)
		acts = append(acts, act{f.At, func() { w.injected[f.Kind]++; begin() }}, act{f.At + f.For, end})
		if period := 2 * time.Duration(f.Amount) * time.Millisecond; f.Kind == Flap {
			for at := period / 2; at < f.For; at += period {
				acts = append(acts, act{f.At + at, end}, act{f.At + at + period/2, begin})
			}
			acts = append(acts, act{f.At + f.For + period, end})
		}
	}
	slices.SortStableFunc(acts, func(a, b act) int { return int(a.at - b.at) })
	began := time.Now() // of the clients
	for _, a := range acts {
		time.Sleep(a.at - time.Since(began))
		a.do()
	}
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
		return func() {
			m.Config.Replace = m.Config.Name // its own replacement, whoever starts it
			m.replace(replicatest.NewDisk())
			m.deletions++
		}, m.start
	case Restore:
		var old *replicatest.Disk // this fault's own: several may overlap
		var deletions int
		return func() { old, deletions = m.backUp(f.Amount == 0), m.deletions }, func() {
			if m.deletions == deletions { // its replacement is in service, and what the old disk holds is fenced
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
		m.SetClock(0)
		m.Disk.SetFull(false)
		m.start()
	}
	if !w.await(readyMax, "all nodes are ready and see each other", w.ready) {
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
	w.await(drainMax, "the hash trees are complete", w.treesComplete)
	w.final, w.finalRoots, w.left = w.replicas(), w.roots(), w.hints()
}

// atRest reports whether no node sees the ring change.
func (w *world) atRest() bool {
	return !slices.ContainsFunc(w.machines, func(m *machine) bool {
		st, err := m.Node.Status()
		return err != nil || st.Change != nil
	})
}

// probe does one of everything at each node while nothing is wrong: all must succeed.
func (w *world) probe() {
	c := w.client(clients)
	defer c.close()
	c.calm = true
	for at := range w.machines {
		for _, name := range []string{"SET", "GETV", "PUTCTX", "GET", "EXPIRE", "SETNX", "DEL", "INCR"} {
			q := c.named(command{key: probeKey, with: "fresh"}, name)
			c.ask(at, q)
		}
	}
}

// readAll reads every key at some node, from all primaries that live.
func (w *world) readAll() {
	all, live := w.rec.keys(), map[string]int{}
	for _, r := range w.replicas() {
		live[r.Key]++
	}
	for at, m := range w.machines {
		conn, err := m.Dial(m.IP)
		if err != nil {
			w.wrong("node %d is not reached: %v", m.index+1, err)
			continue
		}
		for i := at; i < len(all); i += len(w.machines) {
			key, r := all[i], live[all[i]]
			if err, failed := conn.Do("GETV", key, "R", r).(error); failed {
				w.wrong("GETV %s R %d at node %d in calm: %v", key, r, m.index+1, err)
			}
		}
		_ = conn.Close()
	}
}
