package peer

import (
	"container/heap"
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/request"
)

// call is one request on its way: what is asked, whom to tell, and where a link keeps it meanwhile. It ends once: whoever
// takes it out of its link tells done, and nobody else looks at the elements again.
type call struct {
	kind     uint8
	layout   uint64
	deadline time.Duration // on our clock
	done     func(error)

	// What is asked, by kind.
	reads   []*request.Read
	writes  []*request.Write
	ops     []*request.Op
	notice  request.Notice
	spare   time.Duration // of operations: from so long before the deadline on nothing is minted
	termed  bool          // and that is told apart from the deadline
	control uint8
	payload []byte // of a control request; then its answer

	link   atomic.Pointer[link] // the link that sends it
	gone   atomic.Bool          // abandoned: not to be sent any more
	id     uint64
	buffer uint64 // the writer's buffer that its frame is in
	at     int    // in the link's heap of deadlines
}

// told returns the deadline that the other side is told: what it cannot be told apart, until when it may mint, is the deadline.
func (c *call) told() time.Duration {
	if c.kind == kindCoord && !c.termed {
		return c.deadline - c.spare
	}
	return c.deadline
}

func (c *call) appendPayload(dst []byte) []byte {
	if c.kind == kindControl {
		return append(append(dst, c.control), c.payload...)
	}
	dst = binary.LittleEndian.AppendUint64(dst, c.layout)
	switch c.kind {
	case kindRead:
		return request.AppendReads(dst, c.reads)
	case kindWrite, kindHandoff:
		return request.AppendWrites(dst, c.writes)
	case kindCoord:
		if c.termed {
			dst = appendSpare(dst, c.spare)
		}
		return request.AppendOps(request.AppendNotice(dst, c.notice), c.ops)
	}
	panic("peer: call of unknown kind")
}

// abandon ends the call before its deadline, if it is under way, and keeps it from being sent later. It looks at link
// after it has set gone, and the sender the other way round, so that one of them sees the other.
func (c *call) abandon() {
	c.gone.Store(true)
	if l := c.link.Load(); l != nil {
		l.abandon(c)
	}
}

// settle puts the answers of a frame into the elements and returns the error for the whole batch.
func (c *call) settle(f frame) error {
	if f.flags&flagError != 0 {
		answered, rest, err := request.DecodeError(f.payload)
		if err != nil || len(rest) != 0 || answered == nil {
			return errMalformedAnswer
		}
		return answered
	}
	if c.decode(f.payload, f.lent) != nil {
		return errMalformedAnswer
	}
	return nil
}

// decode reads the answers out of b, and copies what they keep of it if it is lent.
func (c *call) decode(b []byte, lent bool) error {
	switch c.kind {
	case kindRead:
		return request.DecodeReadAnswers(b, lent, c.reads)
	case kindWrite, kindHandoff:
		return request.DecodeWriteAnswers(b, lent, c.writes)
	case kindCoord:
		return request.DecodeOpAnswers(b, lent, c.ops)
	}
	c.payload = b
	return nil
}

// deadlines is a heap of calls, the earliest deadline first. See container/heap.
type deadlines []*call

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].deadline < d[j].deadline }
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].at, d[j].at = i, j
}

// Push is heap.Interface's.
func (d *deadlines) Push(x any) {
	c := x.(*call)
	c.at = len(*d)
	*d = append(*d, c)
}

// Pop is heap.Interface's.
func (d *deadlines) Pop() any {
	last := len(*d) - 1
	c := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	return c
}

func (d *deadlines) add(c *call)    { heap.Push(d, c) }
func (d *deadlines) remove(c *call) { heap.Remove(d, c.at) }
