package coordinator

import (
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/fault"
	"github.com/holdfastdb/holdfast/ring"
)

// Get is the quorum decision of one read, as a value: whom to ask, when R have answered, what the answer is, who is
// stale. Source: Dynamo (SOSP 2007) 4.5, 5 (read repair).
type Get struct {
	r      int
	asks   []Ask
	next   int // asks[next:] were not asked yet
	have   int // answers
	merged causal.State
}

// Ask is one replica that a read asks.
type Ask struct {
	Node     ring.NodeID
	Fallback bool // answers from its hints; never repaired
	State    AskState
	answer   causal.State // what it holds
	same     bool         // it holds what self holds
	again    bool         // it failed on the way: it may be asked again
}

// AskState is what became of a question.
type AskState uint8

// The states of an ask.
const (
	AskUnused AskState = iota
	AskOpen
	AskAnswered
	AskFailed
)

// NewGet plans a read: the first N healthy nodes of the preference list, self first, then near (when it is among
// them), then in ring order; of a partition that is changing owners, those that are read. With primariesOnly, fallbacks are not asked: their emptiness must not grant a lock.
// ok is false when fewer than r are in reach.
func NewGet(pl *Place, self, near ring.NodeID, r int, primariesOnly bool) (g Get, ok bool) {
	return newGetIn(make([]Ask, 0, len(pl.Primaries)), pl, self, near, r, primariesOnly)
}

// newGetIn is NewGet with memory for the asks, which it may outgrow.
func newGetIn(asks []Ask, pl *Place, self, near ring.NodeID, r int, primariesOnly bool) (g Get, ok bool) {
	g = Get{r: r, asks: asks}
	down := 0
	for i, id := range pl.Readers() {
		if pl.Up[i] {
			g.asks = append(g.asks, Ask{Node: id})
		} else {
			down++
		}
	}
	g.prefer(near)
	g.prefer(self)
	if !primariesOnly {
		for _, id := range pl.Fallbacks[:min(down, len(pl.Fallbacks))] {
			g.asks = append(g.asks, Ask{Node: id, Fallback: true})
		}
	}
	return g, len(g.asks) >= r
}

func (g *Get) prefer(id ring.NodeID) {
	for i := range g.asks {
		if g.asks[i].Node == id {
			g.asks[0], g.asks[i] = g.asks[i], g.asks[0]
			return
		}
	}
}

// Asks returns the replicas to ask, in order. Read only.
func (g *Get) Asks() []Ask { return g.asks }

// Reach returns how many replicas could be asked.
func (g *Get) Reach() int { return len(g.asks) }

// Next takes the next replica to ask: the first R at the start, one more for each failure and each hedge. -1: none is left.
func (g *Get) Next() int {
	if g.next == len(g.asks) {
		return -1
	}
	i := g.next
	g.asks[i].State = AskOpen
	g.next++
	return i
}

// Wanted returns how many more replicas must be asked so that R can answer.
func (g *Get) Wanted() int {
	open := 0
	for i := range g.asks[:g.next] {
		if g.asks[i].State == AskOpen {
			open++
		}
	}
	return max(0, g.r-g.have-open)
}

// Answer records what a replica holds.
func (g *Get) Answer(ask int, s causal.State) {
	a := &g.asks[ask]
	if a.State == AskAnswered {
		return
	}
	a.State, a.answer = AskAnswered, s
	g.have++
	if g.have == 1 {
		g.merged = s
	} else {
		g.merged = causal.Sync(g.merged, s)
	}
}

// Same records that a replica holds the same as the one that answered first (the asker's own).
func (g *Get) Same(ask int) {
	a := &g.asks[ask]
	if a.State == AskAnswered {
		return
	}
	a.State, a.same = AskAnswered, true
	g.have++
}

// Fail records that a replica will not answer.
func (g *Get) Fail(ask int) {
	if g.asks[ask].State == AskOpen {
		g.asks[ask].State = AskFailed
	}
}

// Broken records, after Fail, that a question failed on its way rather than was refused: it may be asked again.
func (g *Get) Broken(ask int) { g.asks[ask].again = true }

// AskAgain queues the questions again that broke and whose node is in reach, for Next to take, and returns how many.
func (g *Get) AskAgain(up func(ring.NodeID) bool) (n int) {
	for i := range g.asks[:g.next] {
		if a := &g.asks[i]; a.State == AskFailed && a.again && up(a.Node) {
			a.again = false
			g.asks = append(g.asks, Ask{Node: a.Node, Fallback: a.Fallback})
			n++
		}
	}
	return n
}

// Enough reports whether R replicas answered.
func (g *Get) Enough() bool {
	return g.have >= g.r || g.have == g.r-1 && fault.On(fault.ReadTooFew)
}

// Have returns how many answered.
func (g *Get) Have() int { return g.have }

// Hopeless reports whether R can no longer be reached.
func (g *Get) Hopeless() bool { return !g.Enough() && g.Wanted() > len(g.asks)-g.next }

// Result returns the synced state of all that answered so far.
func (g *Get) Result() causal.State { return g.merged }

// Stale returns the primaries among those that answered whose state lacks something of the result. Those that answered
// Same are as stale as the first answer is.
func (g *Get) Stale(yield func(node ring.NodeID) bool) {
	if g.have < 2 || fault.On(fault.SkipRepair) {
		return
	}
	var first *Ask
	for i := range g.asks[:g.next] {
		if a := &g.asks[i]; a.State == AskAnswered && !a.same {
			first = a
			break
		}
	}
	for i := range g.asks[:g.next] {
		a := &g.asks[i]
		if a.State != AskAnswered || a.Fallback {
			continue
		}
		held := a.answer
		if a.same {
			held = first.answer
		}
		if !held.Covers(g.merged) && !yield(a.Node) {
			return
		}
	}
}
