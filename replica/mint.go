package replica

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// An actor is the boot bits and a number of a node-wide sequence that never repeats in the life of a directory. Two
// directories of one origin (a copy, a restored backup) repeat the sequence, but not the bits.
//
// A row whose local actor has the current bits is minted under it again, with the next counter. A row without one (new,
// come from another node) or with older bits gets the next number of the sequence.

// hintSeq is the bit in an actor's number that says that it minted in a hint rather than in the key's own row. Its dots
// come back to the key's own row as news, and are no evidence that the row was lost.
const hintSeq = 1 << 63

// ErrNotResumable: the previous boot bits cannot be taken up again.
var ErrNotResumable = errors.New("replica: previous boot cannot be resumed")

// BootID names one start of a node.
type BootID struct {
	Node   ring.NodeID
	Bits   uint64 // random, never 0: the Boot of the actors under which the node mints, and the Node of its stamps
	Number uint64 // 1 at the first start, then one more each
}

// boot is under which bits the node mints.
type boot struct {
	sync.Mutex
	current   BootID
	spare     uint64 // fsynced, not used yet; 0: none
	previous  BootID
	clean     bool                    // the previous boot ended with the clean-shutdown mark
	resumable bool                    // and nothing has been seen since that speaks against its bits
	gaveUp    map[ring.Partition]bool // under these bits: what was written there may come back and is not lost
}

// Boot returns the boot in use. Its number is known to be new to a member when that member's ConfirmBoot says so.
func (s *Store) Boot() BootID {
	s.boot.Lock()
	defer s.boot.Unlock()
	return s.boot.current
}

// PreviousBoot returns the boot before this one (zero when there was none), and whether it ended with the
// clean-shutdown mark.
func (s *Store) PreviousBoot() (id BootID, clean bool) {
	s.boot.Lock()
	defer s.boot.Unlock()
	return s.boot.previous, s.boot.clean
}

// ResumeBoot takes the previous boot's bits up again, durably. The caller must have had Boot() confirmed as fresh by
// every other member in reach, and by most of those that the directory knows: else it may be a copy. ErrNotResumable without the
// clean-shutdown mark, or once a dot under the previous bits turned up that the store lacks.
func (s *Store) ResumeBoot() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	s.lease.turn <- struct{}{}
	defer func() { <-s.lease.turn }()
	s.boot.Lock()
	old, resumable := s.boot.previous.Bits, s.boot.resumable
	rec := bootRecord{s.boot.current.Number, old, s.boot.spare}
	s.boot.Unlock()
	if !resumable {
		return ErrNotResumable
	}
	if err := s.putDurable(metaKey(metaBoot), rec.append(nil)); err != nil {
		return err
	}
	return s.boot.resume()
}

func (b *boot) resume() error {
	b.Lock()
	defer b.Unlock()
	if !b.resumable {
		return ErrNotResumable // lost while the record was written
	}
	b.current.Bits, b.resumable = b.previous.Bits, false
	return nil
}

// ConfirmBoot records another node's boot, durably, and reports whether it is fresh: its number is above all that were
// confirmed for that node, or the very same boot asks again.
func (s *Store) ConfirmBoot(id BootID) (fresh bool, err error) {
	if err := s.enter(); err != nil {
		return false, err
	}
	defer s.gate.leave()
	s.lease.turn <- struct{}{} // one at a time: what is compared must not change before it is recorded
	defer func() { <-s.lease.turn }()
	known, err := s.confirmedBoot(id.Node)
	if err != nil || id.Number < known.Number {
		return false, err
	}
	if id.Number == known.Number {
		return id.Bits == known.Bits, nil
	}
	value := binary.BigEndian.AppendUint64(nil, id.Number)
	return true, s.putDurable(peerKey(id.Node), binary.BigEndian.AppendUint64(value, id.Bits))
}

func (s *Store) confirmedBoot(node ring.NodeID) (BootID, error) {
	b, err := s.get(peerKey(node))
	if err != nil || b == nil {
		return BootID{}, err
	}
	if len(b) != 16 {
		return BootID{}, fmt.Errorf("replica: confirmed boot of %v: %w", node, request.ErrCorrupt)
	}
	return BootID{node, binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b)}, nil
}

// bits returns the current boot bits.
func (b *boot) bits() uint64 {
	b.Lock()
	defer b.Unlock()
	return b.current.Bits
}

// renew goes over to the spare bits. It reports false when they are not there yet: nothing may be minted until then.
func (b *boot) renew() bool {
	b.Lock()
	defer b.Unlock()
	if b.spare == 0 {
		return false
	}
	b.current.Bits, b.spare, b.resumable, b.gaveUp = b.spare, 0, false, nil
	return true
}

func (b *boot) givesUp(p ring.Partition) {
	b.Lock()
	defer b.Unlock()
	if b.gaveUp == nil {
		b.gaveUp = make(map[ring.Partition]bool)
	}
	b.gaveUp[p] = true
}

func (b *boot) hasGivenUp(p ring.Partition) bool {
	b.Lock()
	defer b.Unlock()
	return b.gaveUp[p]
}

// minted is the dots that a delta adds under an actor: those that follow on what the row has seen.
type minted struct {
	actor causal.Actor
	count uint64
}

// lost reports whether seen holds a counter of this node's own that the key's row has not seen, and that was not minted
// just now: the row is older than what was once acknowledged. A dot under the previous bits speaks against resuming those.
func (b *boot) lost(seen, local causal.Context, just minted) (lost bool) {
	b.Lock()
	defer b.Unlock()
	seen.Each(func(a causal.Actor, n uint64) bool {
		if a.Boot != b.current.Bits && a.Boot != b.previous.Bits || a.Seq&hintSeq != 0 || !just.beyond(a, n, local) {
			return true
		}
		if a.Boot == b.previous.Bits {
			b.resumable = false
		}
		lost = lost || a.Boot == b.current.Bits
		return true
	})
	return lost
}

// beyond reports whether counter n of the actor is one that the row neither has seen nor minted just now.
func (m minted) beyond(a causal.Actor, n uint64, local causal.Context) bool {
	known := local.Max(a)
	if a == m.actor {
		known += m.count
	}
	return n > known
}

// bootRecord is what is kept of the boot in the directory: format byte, number, bits, spare.
type bootRecord struct{ number, bits, spare uint64 }

const bootRecordSize = 1 + 3*8

func (r bootRecord) append(dst []byte) []byte {
	dst = append(dst, rowFormat)
	for _, v := range []uint64{r.number, r.bits, r.spare} {
		dst = binary.BigEndian.AppendUint64(dst, v)
	}
	return dst
}

func decodeBootRecord(b []byte) (r bootRecord, err error) {
	if len(b) != bootRecordSize || b[0] != rowFormat {
		return r, fmt.Errorf("replica: boot record: %w", request.ErrCorrupt)
	}
	return bootRecord{binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:]), binary.BigEndian.Uint64(b[17:])}, nil
}

// drawBits returns 64 random bits that are not all zero.
func drawBits(random io.Reader) (uint64, error) {
	var b [8]byte
	for {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return 0, fmt.Errorf("replica: draw boot bits: %w", err)
		}
		if v := binary.BigEndian.Uint64(b[:]); v != 0 {
			return v, nil
		}
	}
}

// startBoot begins a boot: it reads how the last one ended, and adds to the batch what must be durable before the store
// serves: the new boot, the lease of the actor sequence, the clock's lease, and that the clean-shutdown mark is gone.
func (s *Store) startBoot(b *pebble.Batch) error {
	rec, mark, err := s.readBoot()
	if err != nil {
		return err
	}
	s.boot.previous = BootID{s.node, rec.bits, rec.number}
	s.boot.clean = mark != nil
	s.boot.resumable = s.boot.clean
	if s.boot.spare, err = drawBits(s.cfg.Rand); err != nil {
		return err
	}
	bits, err := drawBits(s.cfg.Rand)
	if err != nil {
		return err
	}
	s.boot.current = BootID{s.node, bits, rec.number + 1}
	if rec.number == 0 {
		s.boot.previous = BootID{}
	}
	if err := s.startLease(mark); err != nil {
		return err
	}
	s.addLeases(b)
	return errors.Join(b.Set(metaKey(metaBoot), bootRecord{rec.number + 1, bits, s.boot.spare}.append(nil), nil),
		b.Delete(metaKey(metaClean), nil))
}

func (s *Store) readBoot() (rec bootRecord, mark []byte, err error) {
	b, err := s.get(metaKey(metaBoot))
	if err != nil || b == nil {
		return rec, nil, err
	}
	if rec, err = decodeBootRecord(b); err != nil {
		return rec, nil, err
	}
	mark, err = s.get(metaKey(metaClean))
	return rec, mark, err
}

// refillSpare draws and fsyncs the next spare bits, if the last were used.
func (s *Store) refillSpare() error {
	s.lease.turn <- struct{}{}
	defer func() { <-s.lease.turn }()
	s.boot.Lock()
	number, bits, have := s.boot.current.Number, s.boot.current.Bits, s.boot.spare != 0
	s.boot.Unlock()
	if have {
		return nil
	}
	spare, err := drawBits(s.cfg.Rand)
	if err != nil {
		return err
	}
	if err := s.putDurable(metaKey(metaBoot), bootRecord{number, bits, spare}.append(nil)); err != nil {
		return err
	}
	s.boot.Lock()
	defer s.boot.Unlock()
	s.boot.spare = spare
	return nil
}

// stateLost goes over to new boot bits because of a dot that the key's row should have and lacks.
func (s *Store) stateLost(k request.Key) error {
	known := s.boot.hasGivenUp(k.Partition)
	if !s.boot.renew() {
		s.lease.poke()
		return fmt.Errorf("replica: waiting for new boot bits: %w", request.ErrOverloaded)
	}
	s.lease.poke()
	s.events.bootsRenewed.Add(1)
	if known {
		s.log.Info("a partition that this node gave up came back: minting under new boot bits from now on", "partition", k.Partition)
		return nil
	}
	s.log.Warn("a write of this node came back that its disk does not hold: minting under new boot bits from now on",
		"partition", k.Partition, "space", k.Space)
	return nil
}

// takeActors reserves n numbers of the actor sequence and returns the first. It waits for an fsync when the lease is
// used up, and holds no lock meanwhile.
func (s *Store) takeActors(ctx context.Context, n int) (uint64, error) {
	if n == 0 {
		return 0, nil
	}
	for {
		if first, ok := s.lease.take(uint64(n)); ok {
			return first, nil
		}
		if err := s.extendLease(ctx, uint64(n)); err != nil {
			return 0, err
		}
	}
}
