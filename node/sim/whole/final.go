package whole

import (
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/node/sim/check"
)

// replicas returns what the primaries hold of every key.
func (w *world) replicas() (all []check.Replica) {
	for _, m := range w.present() {
		for _, key := range w.rec.keys() {
			state, primary, err := m.Node.Copy([]byte(key))
			if err != nil {
				w.wrong("node %d cannot read its copy of %s: %v", m.index+1, key, err)
			}
			if primary {
				all = append(all, check.Replica{Node: m.index, Key: key, State: state})
			}
		}
	}
	return all
}

// roots returns what the primaries' hash trees say.
func (w *world) roots() (all []check.Root) {
	for _, m := range w.present() {
		for p, root := range m.Node.Roots() {
			all = append(all, check.Root{Node: m.index, Partition: int(p), Complete: root.Depth != 0, Sum: root.Sum})
		}
	}
	return all
}

// reaped reports whether no node holds a tombstone.
func (w *world) reaped() bool {
	return !slices.ContainsFunc(w.present(), func(m *machine) bool { return m.Node.Tombstones() > 0 })
}

// treesComplete reports whether every node has counted its rows up since its last start.
func (w *world) treesComplete() bool {
	return !slices.ContainsFunc(w.roots(), func(r check.Root) bool { return !r.Complete })
}

// repair has all copies compared over the hash trees, without a single read.
func (w *world) repair() {
	w.await(drainMax, "the hash trees are complete", w.treesComplete)
	if err, failed := w.present()[0].Do("HOLDFAST", "REPAIR").(error); failed {
		w.wrong("HOLDFAST REPAIR: %v", err)
	}
}

// finish puts the history together.
func (w *world) finish() *check.History {
	h := w.rec.history(w.script.Nodes == copies && !w.script.has(changing()...))
	h.Wall = time.Now().UnixMilli()
	h.Final, h.Roots, h.Hints = w.final, w.finalRoots, w.left
	if !slices.ContainsFunc(w.script.Faults, func(f Fault) bool { return !slices.Contains(gentle(), f.Kind) }) {
		h.Quiet = w.quiet
	}
	for _, skewed := range w.skewed {
		h.Lawless = h.Lawless || skewed
	}
	return h
}

// odd reports whether the answer is none that this workload can lawfully get.
func (a *asked) odd() bool {
	return strings.HasPrefix(a.Err, "BADCONTEXT") || strings.HasPrefix(a.Err, "ERR")
}
