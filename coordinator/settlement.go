package coordinator

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/request"
)

// Settlement answers one question: may a twin of this write still turn up?
//
// A write whose reply is lost is retried at another coordinator under the same stamp, so that two siblings, twins, may
// exist. When either is overwritten or deleted the other must die too, whenever it appears; for that its stamp is
// remembered in the key's context. To remember every overwritten stamp would grow contexts for ever, so each node
// tells the others (in Notices, on its forwarded requests and pings) which of its operations are settled: those below
// its oldest operation under way, apart from the few that were retried. A settled stamp need not be remembered, and
// remembered ones are dropped when the key is next written.
//
// A node that was never heard of has nothing settled: what is not known is remembered, which costs 16 bytes and is safe.
type Settlement struct {
	node  uint64
	clock *causal.Clock

	mu struct {
		sync.Mutex
		underWay []underWay     // own operations by stamp, oldest first, from the oldest that is not done
		retried  []causal.Stamp // never written once a notice may show it
		floor    causal.Time
	}
	heard struct {
		sync.RWMutex
		notices map[uint64]request.Notice
		order   []uint64         // arrival of the origins, oldest first
		former  []request.Notice // of this node's own former boots, the latest last; told to others in turn
		turn    int
	}
}

type underWay struct {
	at   causal.Time
	done bool
}

func compareUnderWay(u underWay, t causal.Time) int { return cmp.Compare(u.at, t) }

// NewSettlement starts with nothing under way. node are the random bits under which this process stamps; they are
// never used by another process, and not by a later one of the same node.
func NewSettlement(node uint64, clock *causal.Clock) *Settlement {
	s := &Settlement{node: node, clock: clock}
	s.mu.floor = clock.Now()
	s.heard.notices = make(map[uint64]request.Notice)
	return s
}

// Begin draws a stamp for an operation that arrives now, and counts it as under way until Done. Drawing and counting
// are one step: a notice in between must not call it settled.
func (s *Settlement) Begin() causal.Stamp {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.clock.Now()
	s.mu.underWay = append(s.mu.underWay, underWay{at: at})
	return causal.Stamp{Time: at, Node: s.node}
}

// Observe moves the clock past the newest stamp of a state, so that what is stamped here from now on outstamps what was
// met here. A stamp too far ahead is not followed.
func (s *Settlement) Observe(state causal.State) {
	if w, ok := state.Winner(); ok && w.Stamp.Node != s.node && w.Stamp.Time > s.clock.Last() {
		s.clock.Observe(w.Stamp.Time)
	}
}

// Retry records, before a second attempt is sent, that the operation may have twins for ever. False: the operation was
// answered meanwhile, its settlement may have been told to others, and it must not be sent again.
func (s *Settlement) Retry(stamp causal.Stamp) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := slices.BinarySearchFunc(s.mu.underWay, stamp.Time, compareUnderWay)
	if stamp.Node != s.node || !found || s.mu.underWay[i].done {
		return false
	}
	if slices.Contains(s.mu.retried, stamp) {
		return true
	}
	s.mu.retried = append(slices.Clip(s.mu.retried), stamp) // a copy, so that no notice shows what follows
	if len(s.mu.retried) > retriedMax {
		// Stamps at or below the floor count as unsettled: forgetting a name is safe, it only costs memory elsewhere.
		oldest := slices.MinFunc(s.mu.retried, causal.Stamp.Compare)
		s.mu.floor = max(s.mu.floor, oldest.Time)
		s.mu.retried = slices.DeleteFunc(s.mu.retried, func(r causal.Stamp) bool { return r.Time <= s.mu.floor })
	}
	return true
}

// Done says that an operation was answered: it will not be sent again.
func (s *Settlement) Done(stamp causal.Stamp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.mu.underWay
	i, ok := slices.BinarySearchFunc(u, stamp.Time, compareUnderWay)
	if !ok || stamp.Node != s.node {
		return
	}
	u[i].done = true
	drop := 0
	for drop < len(u) && u[drop].done {
		drop++
	}
	s.mu.underWay = u[drop:]
	if len(s.mu.underWay) == 0 {
		s.mu.underWay = nil
	}
}

// Notice says which of this node's own operations are settled. The result is read only, and valid for ever.
func (s *Settlement) Notice() request.Notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := request.Notice{Node: s.node, Floor: s.mu.floor, Retried: s.mu.retried}
	if fault.On(fault.SettleUnderWay) {
		n.Retried = nil
	}
	if len(s.mu.underWay) > 0 && !fault.On(fault.SettleUnderWay) {
		n.Low = s.mu.underWay[0].at
	} else {
		n.Low = s.clock.Now() // every stamp drawn from now on is above it
	}
	return n
}

// Tell returns what the next ping says: the present notice and, in turn with it, those of this node's former boots, for
// whoever missed their last words or has restarted since.
func (s *Settlement) Tell() request.Notice {
	s.heard.Lock()
	defer s.heard.Unlock()
	s.heard.turn = (s.heard.turn + 1) % (len(s.heard.former) + 1)
	if s.heard.turn > 0 {
		return s.heard.former[s.heard.turn-1]
	}
	return s.Notice()
}

// Save appends what is worth knowing after a restart: this boot's last notice, those of former boots, and what was heard
// from others. Without it the stamps of former boots would be remembered, and contexts grow with every restart. Call it
// when nothing is under way any more.
func (s *Settlement) Save(dst []byte) []byte {
	s.heard.RLock()
	defer s.heard.RUnlock()
	own := append(slices.Clone(s.heard.former), s.Notice())
	own = own[max(0, len(own)-formerMax):]
	dst = binary.AppendUvarint(dst, uint64(len(own)))
	for _, n := range own {
		dst = request.AppendNotice(dst, n)
	}
	for _, id := range s.heard.order {
		dst = request.AppendNotice(dst, s.heard.notices[id])
	}
	return dst
}

// Load takes over what an earlier boot saved. What a notice says stays true for ever, so an old copy does no harm. An
// error means that the bytes are damaged; what was read before the damage is kept.
func (s *Settlement) Load(saved []byte) error {
	own, size := binary.Uvarint(saved)
	if size <= 0 || own > formerMax {
		return fmt.Errorf("coordinator: saved notices: %w", request.ErrMalformed)
	}
	for saved = saved[size:]; len(saved) > 0; {
		n, rest, err := request.DecodeNotice(saved)
		if err != nil {
			return fmt.Errorf("coordinator: saved notices: %w", err)
		}
		s.Hear(n)
		if own > 0 {
			own--
			s.heard.Lock()
			s.heard.former = append(s.heard.former, n)
			s.heard.Unlock()
		}
		saved = rest
	}
	return nil
}

// Hear takes another node's notice. An older one than the last is ignored.
func (s *Settlement) Hear(n request.Notice) {
	if n.Node == 0 || n.Node == s.node {
		return
	}
	s.heard.Lock()
	defer s.heard.Unlock()
	last, known := s.heard.notices[n.Node]
	if known && (n.Low < last.Low || n.Floor < last.Floor) {
		return
	}
	if len(n.Retried) > retriedMax {
		return
	}
	if !known {
		s.heard.order = append(s.heard.order, n.Node)
		if len(s.heard.order) > originsMax {
			delete(s.heard.notices, s.heard.order[0])
			s.heard.order = s.heard.order[1:]
		}
	}
	s.heard.notices[n.Node] = n
}

// Settled reports whether no twin of the stamped write exists or ever will.
func (s *Settlement) Settled(stamp causal.Stamp) bool {
	if stamp.Node == s.node {
		return s.settledHere(stamp)
	}
	s.heard.RLock()
	defer s.heard.RUnlock()
	n, ok := s.heard.notices[stamp.Node]
	return ok && settledBy(n, stamp)
}

func (s *Settlement) settledHere(stamp causal.Stamp) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fault.On(fault.SettleUnderWay) {
		return true
	}
	if stamp.Time <= s.mu.floor || slices.Contains(s.mu.retried, stamp) {
		return false
	}
	i, found := slices.BinarySearchFunc(s.mu.underWay, stamp.Time, compareUnderWay)
	return !found || s.mu.underWay[i].done
}

func settledBy(n request.Notice, stamp causal.Stamp) bool {
	return stamp.Time > n.Floor && stamp.Time < n.Low && !slices.Contains(n.Retried, stamp)
}
