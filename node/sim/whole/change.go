package whole

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/node"
)

// newcomers adds the machines of nodes that join later. They found nothing, and know all others' addresses.
func (w *world) newcomers() {
	seeds := slices.Clone(w.cluster.Machines[0].Config.Join)
	for i := w.script.Nodes; i < w.script.machines(); i++ {
		m := w.cluster.Add(node.Config{Join: seeds})
		configure(w.script)(i, &m.Config)
	}
}

// present returns the machines on which nodes live, running or not.
func (w *world) present() []*machine {
	return slices.DeleteFunc(slices.Clone(w.machines), func(m *machine) bool { return m.absent.Load() })
}

// unborn reports whether the machine's node is still to join.
func (m *machine) unborn() bool { return m.absent.Load() && m.gone.Load() == 0 }

// changes returns the acts of a fault that changes the ring.
func (w *world) changes(f Fault, m *machine) (begin, end func()) {
	switch f.Kind {
	case Join:
		return m.enter, m.start
	case Leave:
		return func() { w.order(m.leave) }, func() {}
	case Remove:
		return m.lost, func() { w.order(func() bool { return w.remove(m) }) }
	}
	old := w.machines[f.Nodes[1]-1]
	return old.lost, func() { w.order(func() bool { return m.succeed(old) }) }
}

// order has something asked until it is granted.
func (w *world) order(ask func() bool) {
	if !ask() {
		w.orders = append(w.orders, ask)
	}
}

// watch waits, and meanwhile looks for nodes that have left and repeats what was asked.
func (w *world) watch(until time.Time) {
	for ; time.Now().Before(until); time.Sleep(min(lookEvery, time.Until(until))) {
		w.look()
	}
}

func (w *world) look() {
	for _, m := range w.present() {
		m.bury()
	}
	w.orders = slices.DeleteFunc(w.orders, func(ask func() bool) bool { return ask() })
}

// enter starts the machine's first node.
func (m *machine) enter() {
	if m.unborn() {
		m.absent.Store(false)
		m.start()
	}
}

// succeed starts the machine's first node in the place of another, unless that one had left, which its end kept it from noticing. It
// waits until those who run agree on that.
func (m *machine) succeed(old *machine) bool {
	member, left := m.w.known(old)
	switch {
	case member && !left:
		m.Config.Replace = old.Config.Name
		m.enter()
		return true
	case left && !member:
		return true
	}
	return false
}

// leave asks the node to leave.
func (m *machine) leave() bool {
	if m.absent.Load() {
		return true
	}
	if m.down() || m.paused || m.Node.Leave() != nil { // it has no cluster yet
		return false
	}
	m.leaving.Store(true)
	return true
}

// lost ends the node for ever, and its disk is gone.
func (m *machine) lost() {
	if m.absent.Load() {
		return
	}
	m.kill()
	m.part()
	m.w.lose(m)
}

// part notes that no node lives here any more.
func (m *machine) part() {
	m.kept = nil
	m.gone.Store(time.Now().UnixNano())
	m.absent.Store(true)
	m.leaving.Store(false)
}

// bury ends a node that the cluster has struck off, as its process would, and sees that it keeps nothing from the others.
func (m *machine) bury() {
	if m.down() || m.paused || m.Node.Err() == nil {
		return
	}
	if err := m.Node.Err(); !m.leaving.Load() || !errors.Is(err, node.ErrLeft) && !m.older {
		m.w.wrong("node %d ends: %v", m.index+1, err)
	}
	if !m.older {
		m.leftovers()
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopMax)
	defer cancel()
	m.ends()
	if err := m.Node.Shutdown(ctx); err != nil {
		m.w.wrong("node %d does not shut down well: %v", m.index+1, err)
	}
	m.Node = nil
	m.part()
}

// leftovers notes what a node that has left still holds.
func (m *machine) leftovers() {
	for id, n := range m.Node.Hints() {
		if n > 0 {
			m.w.wrong("node %d left with %d hints for %v", m.index+1, n, id)
		}
	}
	for key, state := range m.holds() {
		if !state.IsZero() {
			m.w.wrong("node %d left with %s: %s", m.index+1, key, show(state))
		}
	}
}

// remove has some node remove that of a machine, which it refuses as long as it believes that one alive.
func (w *world) remove(dead *machine) bool {
	return slices.ContainsFunc(w.present(), func(m *machine) bool {
		return !m.down() && !m.paused && m.Node.Remove(dead.Config.Name) == nil
	})
}

// met reports whether another node that runs knows that of the machine for a member: else nobody could remove it.
func (w *world) met(dead *machine) bool {
	member, _ := w.known(dead)
	return member
}

// known reports whether some other node that runs takes that of the machine for a member, and whether some does not.
func (w *world) known(dead *machine) (member, stranger bool) {
	for _, m := range w.present() {
		if fellows := m.fellows(); m != dead && len(fellows) > 0 {
			knows := slices.Contains(fellows, dead.Config.Name)
			member, stranger = member || knows, stranger || !knows
		}
	}
	return member, stranger
}

// fellows returns the names of the members that the node knows and that are not removed, in order.
func (m *machine) fellows() (names []string) {
	if m.down() {
		return nil
	}
	r, err := m.Node.Ring()
	if err != nil {
		return nil
	}
	for _, n := range r.Nodes {
		if n.Status != "removed" {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	return names
}

// departed reports whether nobody is leaving, or is known who lives no more.
func (w *world) departed() bool {
	w.look()
	return len(w.orders) == 0 && !slices.ContainsFunc(w.present(), func(m *machine) bool { return m.leaving.Load() })
}

// atRest reports whether no node sees the ring change, and all see the same one, of exactly those that live.
func (w *world) atRest() bool {
	var names []string
	for _, m := range w.present() {
		names = append(names, m.Config.Name)
	}
	slices.Sort(names)
	version := uint64(0)
	return !slices.ContainsFunc(w.present(), func(m *machine) bool {
		st, err := m.Node.Status()
		r, _ := m.Node.Ring()
		if version == 0 {
			version = r.Version
		}
		return err != nil || st.Change != nil || r.Version != version || !slices.Equal(m.fellows(), names)
	})
}

// tidy reports whether no node holds what is another's.
func (w *world) tidy() bool {
	for _, m := range w.present() {
		for _, key := range w.rec.keys() {
			if state, primary, err := m.Node.Copy([]byte(key)); err != nil || !primary && !state.IsZero() {
				return false
			}
		}
	}
	return true
}
