package node

import (
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/protocol"
)

// progress counts what a node takes over, from the first partition that it is given until none is left.
type progress struct {
	mu      sync.Mutex
	began   time.Time
	pending int
	done    int
	got     pulled
}

// begin is told how many partitions are to be taken over now.
func (p *progress) begin(pending int, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pending > 0 && p.pending == 0 {
		p.began, p.done, p.got = now, 0, pulled{}
	}
	p.pending = pending
}

// add counts what one pull brought, and whether the partition is complete with it.
func (p *progress) add(got pulled, complete bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got.add(got)
	if complete {
		p.done++
	}
}

// status shows it; nil while nothing is taken over. toCome is how many partitions this node has still to take over, those included that
// it was not given yet.
func (p *progress) status(toCome int, now time.Time) *protocol.Transfer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending == 0 {
		return nil
	}
	took := max(now.Sub(p.began), time.Millisecond)
	t := &protocol.Transfer{Pending: max(toCome, p.pending), Done: p.done, Rows: int64(p.got.Rows), Bytes: p.got.Bytes,
		BytesPerSecond: int64(float64(p.got.Bytes) / took.Seconds()), SecondsLeft: -1}
	if p.done > 0 {
		t.SecondsLeft = int64(took.Seconds() / float64(p.done) * float64(t.Pending))
	}
	return t
}
