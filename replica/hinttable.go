package replica

import (
	"sync"
	"sync/atomic"

	"github.com/holdfastdb/holdfast/ring"
)

// hintTable is what the store knows of its hints without reading them.
type hintTable struct {
	bytesMax   int64
	markersMax int
	data       atomic.Int64 // data hints: mostly none, and then a read need not look
	known      atomic.Int64 // hints known to be unreadable: mostly none
	mu         struct {
		sync.Mutex
		bytes   int64 // of data hints, and reserved
		targets map[ring.NodeID]*targetHints
		places  map[place]map[ring.NodeID]int // data hints
	}
}

type targetHints struct {
	markers, data int
	bytes         int64
	places        map[place]int // hints, markers too
	marks         map[place]*mark
	unreadable    map[string]bool // keys of hints that cannot be delivered, as far as was tried
	delivering    bool
}

// mark says that the partition owes the target: more keys than there may be markers. A payment scans the partition. What
// is owed meanwhile, perhaps behind it, belongs to the next generation and the next scan.
type mark struct {
	current uint64 // generation of what is owed now
	newest  uint64 // highest generation that something is owed of; 0: none
}

func newHintTable(bytesMax int64, markersMax int) *hintTable {
	t := &hintTable{bytesMax: bytesMax, markersMax: markersMax}
	t.mu.targets = make(map[ring.NodeID]*targetHints)
	t.mu.places = make(map[place]map[ring.NodeID]int)
	return t
}

func (t *hintTable) targetLocked(id ring.NodeID) *targetHints {
	th := t.mu.targets[id]
	if th == nil {
		th = &targetHints{places: make(map[place]int), marks: make(map[place]*mark)}
		t.mu.targets[id] = th
	}
	return th
}

// add counts a hint; n is 1, or -1 when it goes. size is that of a data hint.
func (t *hintTable) add(target ring.NodeID, p place, kind hintKind, n, size int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	th := t.targetLocked(target)
	th.count(p, n)
	if kind == hintMarker {
		th.markers += n
		return
	}
	th.data += n
	th.bytes += int64(n * size)
	t.mu.bytes += int64(n * size)
	t.data.Add(int64(n))
	at := t.mu.places[p]
	if at == nil {
		at = make(map[ring.NodeID]int)
		t.mu.places[p] = at
	}
	if at[target] += n; at[target] == 0 {
		delete(at, target)
	}
	if len(at) == 0 {
		delete(t.mu.places, p)
	}
}

func (th *targetHints) count(p place, n int) {
	if th.places[p] += n; th.places[p] == 0 {
		delete(th.places, p)
	}
}

// dataTargets returns the nodes that data hints of the place are for, nil if there is none.
func (t *hintTable) dataTargets(p place) (targets []ring.NodeID) {
	if t.data.Load() == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for target := range t.mu.places[p] {
		targets = append(targets, target)
	}
	return targets
}

// reserve takes room for data hints, or reports that there is not enough.
func (t *hintTable) reserve(bytes int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if bytes > 0 && t.mu.bytes+int64(bytes) > t.bytesMax {
		return false
	}
	t.mu.bytes += int64(bytes)
	return true
}

func (t *hintTable) unreserve(bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.bytes -= int64(bytes)
}

// addMarker counts one more marker of the target, or reports that it has as many as it may.
func (t *hintTable) addMarker(target ring.NodeID, p place) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	th := t.targetLocked(target)
	if th.markers >= t.markersMax {
		return false
	}
	th.markers++
	th.count(p, 1)
	return true
}

// owePlace notes that the place owes the target, and returns of which generation. The caller holds a key's lock until
// that is written.
func (t *hintTable) owePlace(target ring.NodeID, p place) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.markLocked(target, p)
	m.newest = m.current
	return m.current
}

func (t *hintTable) markLocked(target ring.NodeID, p place) *mark {
	th := t.targetLocked(target)
	m := th.marks[p]
	if m == nil {
		m = &mark{current: 1}
		th.marks[p] = m
	}
	return m
}

// loadMark takes a mark, or a payment under way, from the disk.
func (t *hintTable) loadMark(target ring.NodeID, p place, generation uint64, owed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.markLocked(target, p)
	if owed {
		m.newest = max(m.newest, generation)
	}
	m.current = max(m.current, generation+1)
}

// nextGeneration begins the next generation of a mark and returns the one before.
func (t *hintTable) nextGeneration(target ring.NodeID, p place) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.markLocked(target, p)
	m.current++
	return m.current - 1
}

// paid forgets the mark unless something is owed of a later generation.
func (t *hintTable) paid(target ring.NodeID, p place, generation uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	th := t.targetLocked(target)
	if m := th.marks[p]; m != nil && m.newest <= generation {
		m.newest = 0 // kept, for its generations must not begin anew while their rows may still be on their way
	}
}

// owing returns the places that owe the target.
func (t *hintTable) owing(target ring.NodeID) (places []place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if th := t.mu.targets[target]; th != nil {
		for p, m := range th.marks {
			if m.newest > 0 {
				places = append(places, p)
			}
		}
	}
	return places
}

// partitions returns those of which anything is owed to the target, hints and marks.
func (t *hintTable) partitions(target ring.NodeID) map[ring.Partition]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	owed := make(map[ring.Partition]bool)
	th := t.mu.targets[target]
	if th == nil {
		return owed
	}
	for p := range th.places {
		owed[p.partition] = true
	}
	for p, m := range th.marks {
		if m.newest > 0 {
			owed[p.partition] = true
		}
	}
	return owed
}

// owes reports whether the place owes the target.
func (t *hintTable) owes(target ring.NodeID, p place) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	th := t.mu.targets[target]
	return th != nil && th.marks[p] != nil && th.marks[p].newest > 0
}

func (th *targetHints) owes() (marks int) {
	for _, m := range th.marks {
		if m.newest > 0 {
			marks++
		}
	}
	return marks
}

// pending returns the targets that something is owed to.
func (t *hintTable) pending() (targets []ring.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, th := range t.mu.targets {
		if th.markers > 0 || th.data > 0 || th.owes() > 0 {
			targets = append(targets, id)
		}
	}
	return targets
}

// begin lets one delivery to the target at a time, and HandoffTargetsMax in all.
func (t *hintTable) begin(target ring.NodeID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	busy := 0
	for _, th := range t.mu.targets {
		if th.delivering {
			busy++
		}
	}
	th := t.targetLocked(target)
	if th.delivering || busy >= HandoffTargetsMax {
		return false
	}
	th.delivering = true
	return true
}

func (t *hintTable) end(target ring.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.targetLocked(target).delivering = false
}

func (t *hintTable) stats() map[ring.NodeID]TargetHints {
	t.mu.Lock()
	defer t.mu.Unlock()
	stats := make(map[ring.NodeID]TargetHints)
	for id, th := range t.mu.targets {
		one := TargetHints{Markers: th.markers, Data: th.data, Bytes: th.bytes, Marks: th.owes(), Unreadable: len(th.unreadable)}
		if one.Pending() > 0 {
			stats[id] = one
		}
	}
	return stats
}
