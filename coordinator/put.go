package coordinator

import (
	"slices"

	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/ring"
)

// Put is the quorum decision of one write, as a value: whom to send copies to, when enough have acknowledged, who is
// owed a hint. It knows no clock and sends nothing; its driver tells it what happened and does what it asks.
// Source: Dynamo (SOSP 2007) 4.5, 4.6.
//
// While an owner of the partition is being exchanged the write needs W of each of two sets of nodes (Place). A fallback's copy
// counts where that of the primary would for which it stands in, and not beside it: it is gone when it was delivered.
//
// A leg is one copy on its way. Legs 0 to N-1 stand for the primaries in ring order: sent to the primary itself if it
// is in reach, else to a fallback, else to nobody (the copy is owed). A leg that fails or is slow is stood in for by a
// further leg to a fallback not used yet.
type Put struct {
	w     [setCount]int // needed of each set
	self  ring.NodeID
	legs  []Leg
	spare []ring.NodeID // fallbacks not used yet; shared with the view, never written
	held  [setCount]int // primaries of each set whose copy was acknowledged
	acks  int           // by nodes
	open  int           // legs sent and not answered
}

// Leg is one copy of a write on its way to a node.
type Leg struct {
	Node  ring.NodeID // who stores the copy; zero: nobody was left, the copy is owed
	For   ring.NodeID // not zero: Node is a fallback and keeps it as a hint for this primary
	State LegState
	in    sets // where its acknowledgement counts
	mute  bool // a fallback's that has become an owner: it counts by the copy of its own, no node twice
	stood bool // another leg stands in for this one
	owed  bool // the coordinator keeps a hint for this one
	again bool // it failed on the way: it may be sent again
}

// LegState is what became of a copy.
type LegState uint8

// The states of a leg.
const (
	LegOpen   LegState = iota // sent, not answered
	LegAcked                  // stored
	LegFailed                 // refused, lost or timed out; perhaps stored all the same
	LegOwed                   // sent to nobody: the coordinator keeps a hint
)

// NewPut plans a write at a place for the coordinator self, which must be one of its primaries or fallbacks. ok is
// false when fewer than w nodes (of each set) are in reach: nothing may be minted then, and Reach says how many there were.
func NewPut(pl *Place, self ring.NodeID, w int) (p Put, ok bool) {
	return newPutIn(make([]Leg, 0, len(pl.Primaries)+1), pl, self, w)
}

// newPutIn is NewPut with memory for the legs, which it may outgrow.
func newPutIn(legs []Leg, pl *Place, self ring.NodeID, w int) (p Put, ok bool) {
	p = Put{w: pl.need(w), self: self, spare: pl.Fallbacks, legs: legs}
	selfFor := -1 // the leg that self takes as a fallback: the first primary out of reach
	if !pl.IsPrimary(self) {
		for i := range pl.Primaries {
			if !pl.Up[i] {
				selfFor = i
				break
			}
		}
	}
	for i, id := range pl.Primaries {
		switch {
		case i == selfFor:
			p.legs = append(p.legs, Leg{Node: self, For: id})
		case pl.Up[i]:
			p.legs = append(p.legs, Leg{Node: id})
		default:
			p.legs = append(p.legs, p.standIn(id))
		}
		p.legs[i].in = pl.of(i)
		if p.legs[i].State == LegOpen {
			p.open++
		}
	}
	if selfFor < 0 && !pl.IsPrimary(self) { // all primaries are in reach, but they refused this operation's earlier attempts
		i := pl.doubtful()
		p.legs = append(p.legs, Leg{Node: self, For: pl.Primaries[i], in: pl.of(i)})
		p.open++
	}
	return p, covers(p.within(), p.w) || fault.On(fault.MintWithoutQuorum)
}

// within counts the primaries of each set that hold the write or are being sent it.
func (p *Put) within() [setCount]int { return p.tally(true) }

// tally counts the primaries of each set whose copy was acknowledged, or is on its way if open: a copy of their own, one that is kept
// for them, or both.
func (p *Put) tally(open bool) (n [setCount]int) {
	for i := range p.legs {
		if l := &p.legs[i]; l.counts(open) && !brings(p.legs[:i], l.primary(), open) {
			l.in.count(&n)
		}
	}
	return n
}

// brings reports whether one of the legs has brought a primary's copy, or is to bring it if open.
func brings(legs []Leg, primary ring.NodeID, open bool) bool {
	for i := range legs {
		if l := &legs[i]; l.counts(open) && l.primary() == primary {
			return true
		}
	}
	return false
}

func (l *Leg) counts(open bool) bool {
	return !l.mute && (l.State == LegAcked || open && l.State == LegOpen)
}

// Replan goes on with a write after the place changed under it: copies that are held count where they belong now, and nodes that are new
// get one. It returns the copies to send; those that broke are for Resend. owed are the primaries for which nobody keeps the write
// yet.
func (p *Put) Replan(pl *Place, w int) (legs []int, owed []ring.NodeID) {
	p.w = pl.need(w)
	for i := range p.legs {
		l := &p.legs[i]
		l.in, l.mute = pl.ofNode(l.primary()), !l.For.IsZero() && pl.IsPrimary(l.Node)
	}
	p.held = p.tally(false)
	p.spare = slices.DeleteFunc(slices.Clone(pl.Fallbacks), func(id ring.NodeID) bool {
		return slices.ContainsFunc(p.legs, func(l Leg) bool { return l.Node == id })
	})
	for i, id := range pl.Primaries {
		if slices.ContainsFunc(p.legs, func(l Leg) bool { return l.primary() == id && !l.mute }) {
			continue
		}
		l := Leg{Node: id}
		if !pl.Up[i] {
			l = p.standIn(id)
		}
		l.in = pl.of(i)
		p.legs = append(p.legs, l)
		if l.State == LegOwed {
			owed = append(owed, id)
			continue
		}
		p.open++
		legs = append(legs, len(p.legs)-1)
	}
	return legs, owed
}

// primary returns whose copy the leg is.
func (l *Leg) primary() ring.NodeID {
	if l.For.IsZero() {
		return l.Node
	}
	return l.For
}

// standIn returns the leg of the next unused fallback for a primary, or an owed one when none is left.
func (p *Put) standIn(primary ring.NodeID) Leg {
	for len(p.spare) > 0 {
		next := p.spare[0]
		p.spare = p.spare[1:]
		if next != p.self {
			return Leg{Node: next, For: primary}
		}
	}
	return Leg{For: primary, State: LegOwed}
}

// Legs returns the copies so far, in the order in which they were planned. Read only.
func (p *Put) Legs() []Leg { return p.legs }

// Reach returns how many nodes the plan could reach.
func (p *Put) Reach() int { return p.open + p.acks }

// Acks returns how many nodes hold the write for certain.
func (p *Put) Acks() int { return p.acks }

// Have returns of how many primaries a copy was acknowledged, in the set that lacks most.
func (p *Put) Have() int {
	if p.w[1]-p.held[1] > p.w[0]-p.held[0] {
		return p.held[1]
	}
	return p.held[0]
}

// Primaries returns how many primaries hold the write for certain, fallbacks not counted. While an owner is being exchanged it is
// that of the set that has fewer of them: two of both sets together may be one of those that are read.
func (p *Put) Primaries() int {
	var n [setCount]int
	together := 0
	for i := range p.legs {
		if l := &p.legs[i]; l.State == LegAcked && l.For.IsZero() {
			l.in.count(&n)
			together++
		}
	}
	switch {
	case fault.On(fault.CountTogether):
		return together
	case p.w[1] == 0:
		return n[0]
	}
	return min(n[0], n[1])
}

// Ack records that a leg's node holds the write. cancel is set when the coordinator keeps a hint for that very node
// because it was late: the hint can be cancelled.
func (p *Put) Ack(leg int) (cancel bool) {
	l := &p.legs[leg]
	if l.State != LegOpen {
		return false
	}
	p.open--
	p.acks++
	l.State = LegAcked
	p.held = p.tally(false)
	return l.owed
}

// Fail records that a leg was refused, lost, or timed out. It returns the leg that now stands in, if a fallback is
// left (send it), else -1 and, if nobody keeps a copy for the primary yet, the primary (keep a hint).
func (p *Put) Fail(leg int) (next int, owed ring.NodeID) {
	l := &p.legs[leg]
	if l.State != LegOpen {
		return -1, ring.NodeID{}
	}
	l.State = LegFailed
	p.open--
	return p.replace(leg)
}

// Broken records, after Fail, that a leg failed on its way rather than was refused: the copy may be sent again, for a
// delta that arrives twice changes nothing the second time.
func (p *Put) Broken(leg int) { p.legs[leg].again = true }

// Resend opens the legs again that broke and whose node is in reach. It returns them; their hints stay until they answer.
func (p *Put) Resend(up func(ring.NodeID) bool) (legs []int) {
	for i := range p.legs {
		if l := &p.legs[i]; l.State == LegFailed && l.again && up(l.Node) {
			l.State, l.again = LegOpen, false
			p.open++
			legs = append(legs, i)
		}
	}
	return legs
}

// brokeInReach reports whether Resend would find a leg to send.
func (p *Put) brokeInReach(up func(ring.NodeID) bool) bool {
	for i := range p.legs {
		if l := &p.legs[i]; l.State == LegFailed && l.again && up(l.Node) {
			return true
		}
	}
	return false
}

// Slow says that the open legs take too long. It returns the legs to fallbacks that now stand in for primaries, and
// the primaries for which a hint is to be kept until they answer: those for whom no fallback is left, or for whom none
// is needed any more, because W was reached without them.
func (p *Put) Slow() (next []int, owed []ring.NodeID) {
	for i, n := 0, len(p.legs); i < n; i++ {
		if p.legs[i].State != LegOpen || p.legs[i].Node == p.self {
			continue
		}
		leg, owes := p.replace(i)
		if leg >= 0 {
			next = append(next, leg)
		}
		if !owes.IsZero() {
			owed = append(owed, owes)
		}
	}
	return next, owed
}

// replace finds somebody to keep the copy of a leg that is late or lost, once.
func (p *Put) replace(leg int) (next int, owed ring.NodeID) {
	if p.legs[leg].stood || p.legs[leg].owed {
		return -1, ring.NodeID{}
	}
	primary := p.legs[leg].primary()
	if brings(p.legs, primary, false) { // another leg has
		p.legs[leg].stood = true
		return -1, ring.NodeID{}
	}
	in := Leg{For: primary, State: LegOwed}
	if !p.Enough() {
		in = p.standIn(primary)
	}
	in.in = p.legs[leg].in
	if in.State == LegOwed && fault.On(fault.ForgetOwed) {
		return -1, ring.NodeID{}
	}
	if in.State == LegOwed {
		p.legs[leg].owed = true
		return -1, primary
	}
	p.legs[leg].stood = true
	p.legs = append(p.legs, in)
	p.open++
	return len(p.legs) - 1, ring.NodeID{}
}

// Enough reports whether the copies of W primaries were acknowledged, of each set.
func (p *Put) Enough() bool {
	return covers(p.held, p.w) || p.acks >= p.w[0]-1 && fault.On(fault.AckTooSoon) || p.acks >= p.w[0] && fault.On(fault.CountTogether)
}

// Hopeless reports whether W can no longer be reached: every copy was answered, and too few of them well.
func (p *Put) Hopeless() bool { return p.open == 0 && !covers(p.held, p.w) }

// need returns W, of the larger set.
func (p *Put) need() int { return max(p.w[0], p.w[1]) }
