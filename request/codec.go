package request

import (
	"encoding/binary"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/ring"
)

// How batches travel between nodes. A batch has two encodings: the request's fields one way, and the answers', in the
// same order, the other way. Every message has exactly one encoding, a decoder accepts nothing else, allocates no more
// than a small multiple of its input, and never panics.
//
// Numbers are little endian or varints in their shortest form:
//
//	batch   count uvarint, element...
//	key     space u8, name (length uvarint, bytes)
//	read    bits u8 (role, compare), key, [digest u64]
//	        answer: bits u8, error, [state]
//	write   bits u8 (role, for, reserve), key, [for 16 bytes], delta
//	        answer: bits u8, error, [survivor]
//	op      verb u8, change u8, cond uvarint, key, value, delta varint, expiry varint, flags uvarint, seen, r u8, w u8, stamp, attempt u8
//	        answer: bits u8, error, int varint, acks u8, [state], [seen]
//
// States and contexts are as package causal writes them, errors as AppendError does.

// The bits of requests and answers.
const (
	roleMask    = 0x03
	readCompare = 0x04
	writeFor    = 0x04
	writeSpare  = 0x08

	answerSame  = 0x01 // of a read
	answerWrote = 0x01 // of a write and an op
	answerState = 0x02
	answerSeen  = 0x04
)

// The fewest bytes that an element takes; they bound what a count can make a decoder allocate.
const (
	readBytesMin  = 3
	writeBytesMin = 4
	opBytesMin    = 28
	stampBytes    = 16
)

// valueBytes returns the bytes of a state's values: less than its encoding takes, and known without encoding it.
func valueBytes(s causal.State) int {
	n := 0
	for i := range s.Siblings {
		n += len(s.Siblings[i].Value)
	}
	return n
}

// Size returns about how many bytes the write takes on the wire: its key and values. Senders cut batches by it.
func (w *Write) Size() int { return len(w.Key.Name) + valueBytes(w.Delta) }

// Size returns about how many bytes the operation takes on the wire: its key and value. Senders cut batches by it.
func (o *Op) Size() int { return len(o.Key.Name) + len(o.Value) }

// Size returns about how many bytes the read takes on the wire: its key. Senders cut batches by it.
func (r *Read) Size() int { return len(r.Key.Name) }

func checkBatch(n int) {
	if n > BatchMax {
		panic("request: batch above its cap")
	}
}

func appendKey(dst []byte, k Key) []byte { return appendBytes(append(dst, k.Space), k.Name) }

// key reads a key and derives its partition, since that does not travel.
func (d *decoder) key(q int) Key {
	k := Key{Space: d.upTo(SpacesMax - 1), Name: d.bytes(KeyBytesMax)}
	if !d.bad {
		k.Partition = ring.PartitionOf(ring.Slot(k.Name), q)
	}
	return k
}

// AppendReads appends the requests of a batch of at most BatchMax reads to dst.
func AppendReads(dst []byte, reads []*Read) []byte {
	checkBatch(len(reads))
	dst = binary.AppendUvarint(dst, uint64(len(reads)))
	for _, r := range reads {
		bits := uint8(r.Role)
		if r.Compare {
			bits |= readCompare
		}
		dst = appendKey(append(dst, bits), r.Key)
		if r.Compare {
			dst = binary.LittleEndian.AppendUint64(dst, r.Digest)
		}
	}
	return dst
}

// DecodeReads returns the reads that b holds, which live in room. Key names alias b; partitions are those of a ring of q. The
// error is ErrMalformed.
func DecodeReads(room *Room[Read], b []byte, q int) ([]*Read, error) {
	d := decoder{b: b}
	reads := room.take(d.count(BatchMax, readBytesMin))
	for _, r := range reads {
		d.read(r, q)
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return reads, nil
}

// Count returns how many elements the batch of requests b holds, 0 when it cannot be decoded.
func Count(b []byte) int {
	d := decoder{b: b}
	return d.count(BatchMax, readBytesMin)
}

func (d *decoder) read(r *Read, q int) {
	bits := d.upTo(roleMask | readCompare)
	r.Role = d.role(bits & roleMask)
	r.Compare = bits&readCompare != 0
	r.Key = d.key(q)
	if r.Compare {
		r.Digest = d.fixed64()
	}
}

func (d *decoder) role(v uint8) Role {
	if v > uint8(RoleCoordinator) {
		d.fail()
	}
	return Role(v)
}

// AppendReadAnswers appends the answers of a batch. The answers take at most room bytes, except that each needs two: what
// does not fit any more is answered ErrOverloaded, or ErrTooBig if it would not fit alone.
func AppendReadAnswers(dst []byte, reads []*Read, room int) []byte {
	checkBatch(len(reads))
	dst = binary.AppendUvarint(dst, uint64(len(reads)))
	limit := len(dst) + room
	for _, r := range reads {
		start := len(dst)
		if size := valueBytes(r.State); size > limit-start {
			dst = appendRefusal(dst, tooLarge(size, room))
			continue
		}
		dst = appendReadAnswer(dst, r)
		if len(dst) > limit {
			dst = appendRefusal(dst[:start], tooLarge(len(dst)-start, room))
		}
	}
	return dst
}

// appendRefusal appends an answer without bits, which is only its error.
func appendRefusal(dst []byte, err error) []byte { return AppendError(append(dst, 0), err) }

func tooLarge(bytes, room int) error {
	if bytes > room {
		return ErrTooBig
	}
	return ErrOverloaded
}

func appendReadAnswer(dst []byte, r *Read) []byte {
	var bits uint8
	if r.Same {
		bits |= answerSame
	}
	if !r.State.IsZero() {
		bits |= answerState
	}
	dst = AppendError(append(dst, bits), r.Err)
	if bits&answerState != 0 {
		dst = r.State.Append(dst)
	}
	return dst
}

// DecodeReadAnswers puts the answers that b holds into reads, whose number must be the one that was asked. Values alias
// b; if b is lent, which is to say that its bytes will change, they alias a copy. On ErrMalformed no element has an
// answer.
func DecodeReadAnswers(b []byte, lent bool, reads []*Read) error {
	d := decoder{b: b, lent: lent}
	for _, r := range reads[:d.exactly(len(reads))] {
		bits := d.upTo(answerSame | answerState)
		r.Same = bits&answerSame != 0
		r.Err = d.error()
		r.State = d.stateIf(bits & answerState)
	}
	err := d.end()
	if err != nil {
		for _, r := range reads {
			r.Same, r.State, r.Err = false, causal.State{}, nil
		}
	}
	return err
}

// exactly reads the number of answers, which must be the number of questions.
func (d *decoder) exactly(n int) int {
	if d.count(BatchMax, 2) != n {
		d.fail()
		return 0
	}
	return n
}

// stateIf reads a state that is announced by a bit; an empty one is never announced.
func (d *decoder) stateIf(bit uint8) causal.State {
	if bit == 0 {
		return causal.State{}
	}
	s := d.state()
	if s.IsZero() {
		d.fail()
	}
	return s
}

// AppendWrites appends the requests of a batch of at most BatchMax writes to dst. Mint and Owed do not travel: a write
// that still has to mint is the caller's mistake, and panics.
func AppendWrites(dst []byte, writes []*Write) []byte {
	checkBatch(len(writes))
	dst = binary.AppendUvarint(dst, uint64(len(writes)))
	for _, w := range writes {
		dst = appendWrite(dst, w)
	}
	return dst
}

func appendWrite(dst []byte, w *Write) []byte {
	if w.Mint != nil {
		panic("request: a write that mints does not travel")
	}
	bits := uint8(w.Role)
	if !w.For.IsZero() {
		bits |= writeFor
	}
	if w.Reserve {
		bits |= writeSpare
	}
	dst = appendKey(append(dst, bits), w.Key)
	if !w.For.IsZero() {
		dst = append(dst, w.For[:]...)
	}
	return w.Delta.Append(dst)
}

// DecodeWrites returns the writes that b holds, which live in room; their states do not. Key names and values alias b; partitions
// are those of a ring of q. The error is ErrMalformed.
func DecodeWrites(room *Room[Write], b []byte, q int) ([]*Write, error) {
	d := decoder{b: b}
	writes := room.take(d.count(BatchMax, writeBytesMin))
	d.slab.States = len(writes)
	for _, w := range writes {
		d.write(w, q)
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return writes, nil
}

func (d *decoder) write(w *Write, q int) {
	bits := d.upTo(roleMask | writeFor | writeSpare)
	w.Role = d.role(bits & roleMask)
	w.Reserve = bits&writeSpare != 0
	w.Key = d.key(q)
	if bits&writeFor != 0 {
		copy(w.For[:], d.take(len(w.For)))
		if w.For.IsZero() {
			d.fail()
		}
	}
	w.Delta = d.state()
}

// AppendWriteAnswers appends the answers of a batch in at most room bytes, except that each needs two. One that does not
// fit becomes ErrInternal, perhaps executed, since the write was done and only its survivor cannot be told.
func AppendWriteAnswers(dst []byte, writes []*Write, room int) []byte {
	checkBatch(len(writes))
	dst = binary.AppendUvarint(dst, uint64(len(writes)))
	limit := len(dst) + room
	for _, w := range writes {
		start := len(dst)
		dst = appendWriteAnswer(dst, w)
		if len(dst) > limit {
			dst = appendRefusal(dst[:start], ErrInternal)
		}
	}
	return dst
}

func appendWriteAnswer(dst []byte, w *Write) []byte {
	var bits uint8
	if w.Wrote {
		bits |= answerWrote
	}
	if !w.Survivor.IsZero() {
		bits |= answerState
	}
	dst = AppendError(append(dst, bits), w.Err)
	if bits&answerState != 0 {
		dst = w.Survivor.Append(dst)
	}
	return dst
}

// DecodeWriteAnswers puts the answers that b holds into writes, whose number must be the one that was asked. Values
// alias b, or a copy if b is lent. On ErrMalformed no element has an answer.
func DecodeWriteAnswers(b []byte, lent bool, writes []*Write) error {
	d := decoder{b: b, lent: lent}
	for _, w := range writes[:d.exactly(len(writes))] {
		bits := d.upTo(answerWrote | answerState)
		w.Wrote = bits&answerWrote != 0
		w.Err = d.error()
		w.Survivor = d.stateIf(bits & answerState)
	}
	err := d.end()
	if err != nil {
		for _, w := range writes {
			w.Wrote, w.Survivor, w.Err = false, causal.State{}, nil
		}
	}
	return err
}

// AppendOps appends the requests of a batch of at most BatchMax operations to dst.
func AppendOps(dst []byte, ops []*Op) []byte {
	checkBatch(len(ops))
	dst = binary.AppendUvarint(dst, uint64(len(ops)))
	for _, o := range ops {
		dst = appendOp(dst, o)
	}
	return dst
}

func appendOp(dst []byte, o *Op) []byte {
	dst = append(dst, uint8(o.Verb), uint8(o.Change))
	dst = binary.AppendUvarint(dst, uint64(o.Cond))
	dst = appendBytes(appendKey(dst, o.Key), o.Value)
	dst = binary.AppendVarint(dst, o.Delta)
	dst = binary.AppendVarint(dst, o.ExpireAt)
	dst = binary.AppendUvarint(dst, uint64(o.Flags))
	dst = append(o.Seen.Append(dst), o.R, o.W)
	return append(appendStamp(dst, o.Stamp), o.Attempt)
}

// DecodeOps returns the operations that b holds, which live in room; their contexts do not. Key names and values alias b; partitions
// are those of a ring of q. The error is ErrMalformed.
func DecodeOps(room *Room[Op], b []byte, q int) ([]*Op, error) {
	d := decoder{b: b}
	ops := room.take(d.count(BatchMax, opBytesMin))
	d.slab.States = len(ops)
	for _, o := range ops {
		d.op(o, q)
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return ops, nil
}

func (d *decoder) op(o *Op, q int) {
	o.Verb = Verb(d.upTo(uint8(Modify)))
	o.Change = Change(d.upTo(uint8(ChangeExpire)))
	o.Cond = Cond(d.below(uint64(IfEarlier) << 1))
	o.Key = d.key(q)
	o.Value = d.bytes(ValueBytesMax)
	o.Delta = d.varint()
	o.ExpireAt = d.varint()
	o.Flags = uint32(d.below(1 << 32))
	o.Seen = d.context()
	o.R, o.W = d.byte(), d.byte()
	o.Stamp = d.stamp()
	o.Attempt = d.byte()
}

// below reads a number less than limit.
func (d *decoder) below(limit uint64) uint64 {
	v := d.uvarint()
	if v >= limit {
		d.fail()
		return 0
	}
	return v
}

// AppendOpAnswers appends the results of a batch in at most room bytes, except that each needs four. One that does not
// fit is answered truthfully: an operation that writes may have done so (ErrMaybe), a Get may be asked again
// (ErrOverloaded) unless it would not fit alone (ErrTooBig).
func AppendOpAnswers(dst []byte, ops []*Op, room int) []byte {
	checkBatch(len(ops))
	dst = binary.AppendUvarint(dst, uint64(len(ops)))
	limit := len(dst) + room
	for _, o := range ops {
		start := len(dst)
		dst = appendResult(dst, &o.Result)
		if len(dst) > limit {
			err := tooLarge(len(dst)-start, room)
			if o.Verb.Writes() {
				err = ErrMaybe
			}
			dst = appendResult(dst[:start], &Result{Err: err})
		}
	}
	return dst
}

func appendResult(dst []byte, r *Result) []byte {
	var bits uint8
	if r.Wrote {
		bits |= answerWrote
	}
	if !r.State.IsZero() {
		bits |= answerState
	}
	if !r.Seen.IsZero() {
		bits |= answerSeen
	}
	dst = AppendError(append(dst, bits), r.Err)
	dst = binary.AppendVarint(dst, r.Int)
	dst = append(dst, clampByte(r.Acks))
	if bits&answerState != 0 {
		dst = r.State.Append(dst)
	}
	if bits&answerSeen != 0 {
		dst = r.Seen.Append(dst)
	}
	return dst
}

// DecodeOpAnswers puts the results that b holds into ops, whose number must be the one that was asked. Values alias b,
// or a copy if b is lent. On ErrMalformed no element has a result.
func DecodeOpAnswers(b []byte, lent bool, ops []*Op) error {
	d := decoder{b: b, lent: lent}
	d.slab.States = d.exactly(len(ops))
	for _, o := range ops[:d.slab.States] {
		o.Result = Result{}
		d.result(&o.Result)
	}
	err := d.end()
	if err != nil {
		for _, o := range ops {
			o.Result = Result{}
		}
	}
	return err
}

func (d *decoder) result(r *Result) {
	bits := d.upTo(answerWrote | answerState | answerSeen)
	r.Wrote = bits&answerWrote != 0
	r.Err = d.error()
	r.Int = d.varint()
	r.Acks = int(d.byte())
	r.State = d.stateIf(bits & answerState)
	if bits&answerSeen != 0 {
		r.Seen = d.context()
		if r.Seen.IsZero() {
			d.fail()
		}
	}
}

// AppendNotice appends n, which lists at most NoticeRetriedMax stamps, to dst.
func AppendNotice(dst []byte, n Notice) []byte {
	if len(n.Retried) > NoticeRetriedMax {
		panic("request: notice above its cap")
	}
	dst = binary.LittleEndian.AppendUint64(dst, n.Node)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(n.Floor))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(n.Low))
	dst = append(dst, uint8(len(n.Retried)))
	for _, s := range n.Retried {
		dst = appendStamp(dst, s)
	}
	return dst
}

// DecodeNotice reads a notice from the front of b, or fails with ErrMalformed. The notice does not alias b.
func DecodeNotice(b []byte) (n Notice, rest []byte, err error) {
	d := decoder{b: b}
	n = Notice{Node: d.fixed64(), Floor: causal.Time(d.fixed64()), Low: causal.Time(d.fixed64())}
	if retried := int(d.upTo(NoticeRetriedMax)); retried > 0 && retried*stampBytes <= len(d.b) {
		n.Retried = make([]causal.Stamp, 0, retried)
		for range retried {
			n.Retried = append(n.Retried, d.stamp())
		}
	} else if retried > 0 {
		d.fail()
	}
	if d.bad {
		return Notice{}, nil, ErrMalformed
	}
	return n, d.b, nil
}
