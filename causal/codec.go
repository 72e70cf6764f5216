package causal

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/holdfastdb/holdfast/fault"
)

// The encoding is canonical: equal values have equal bytes, and the decoders accept no other. Numbers are unsigned
// varints of the shortest form unless a width is given; fixed widths are big-endian.
//
//	state   = core-bytes:32 core stamps
//	core    = n sibling*n dots
//	sibling = form:8 boot:64 seq counter time:64 [node:64] [expire] [flags] n value:n*8
//	dots    = n (boot:64 seq base gaps (distance)*gaps)*n
//	stamps  = n (time:64 node:64)*n
//	context = dots stamps
//
// The newest sibling stands first, so that a read finds the value without decoding the rest, and the core is one run of
// bytes, so that its digest needs no decoding at all. form says which optional fields follow. A distance is the number
// of counters missing between one and the next; before the first, those missing beyond base+1.

// ErrCorrupt says that bytes are not a canonical encoding within the caps. Nothing of them was used.
var ErrCorrupt = errors.New("causal: corrupt encoding")

// Bits of a sibling's form.
const (
	formNode   = 1 << iota // the stamp's node is not the dot's boot, and is written out
	formExpire             // an expiry is written out
	formFlags              // flags are written out
)

// The most and the fewest bytes of the pieces; the fewest bound what a decoder allocates for a count it has read.
const (
	coreLenBytes = 4

	siblingBytesMin = 1 + 8 + 1 + 1 + 8 + 1
	siblingBytesMax = 1 + 8 + 10 + 10 + 8 + 8 + 10 + 5 + 10 // without the value
	entryBytesMin   = 8 + 1 + 1 + 1
	entryBytesMax   = 8 + 10 + 10 + 10 // without the gaps
	counterBytesMax = 10
	stampBytes      = 8 + 8
)

// Append appends the encoding of s to dst. It allocates only to grow dst. A core above CoreBytesMax panics (see Fits).
func (s State) Append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.AppendUvarint(dst, uint64(len(s.Siblings)))
	for _, x := range s.Siblings {
		dst = append(appendHead(dst, x), x.Value...)
	}
	dst = appendDots(dst, s.Seen)
	core := len(dst) - start - coreLenBytes
	if core > CoreBytesMax {
		panic("causal: state too large to encode")
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(core))
	return appendStamps(dst, s.Seen)
}

// Append appends the encoding of c to dst. It allocates only to grow dst.
func (c Context) Append(dst []byte) []byte { return appendStamps(appendDots(dst, c), c) }

// appendHead appends all of a sibling but its value's bytes.
func appendHead(dst []byte, x Sibling) []byte {
	form := len(dst)
	dst = append(dst, 0)
	dst = binary.BigEndian.AppendUint64(dst, x.Dot.Actor.Boot)
	dst = binary.AppendUvarint(dst, x.Dot.Actor.Seq)
	dst = binary.AppendUvarint(dst, x.Dot.Counter)
	dst = binary.BigEndian.AppendUint64(dst, uint64(x.Stamp.Time))
	if x.Stamp.Node != x.Dot.Actor.Boot {
		dst[form] |= formNode
		dst = binary.BigEndian.AppendUint64(dst, x.Stamp.Node)
	}
	if x.ExpireAt != 0 {
		dst[form] |= formExpire
		dst = binary.AppendUvarint(dst, uint64(x.ExpireAt))
	}
	if x.Flags != 0 {
		dst[form] |= formFlags
		dst = binary.AppendUvarint(dst, uint64(x.Flags))
	}
	return binary.AppendUvarint(dst, uint64(len(x.Value)))
}

func appendDots(dst []byte, c Context) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(c.entries)))
	for _, e := range c.entries {
		dst = appendEntry(dst, e)
	}
	return dst
}

func appendEntry(dst []byte, e entry) []byte {
	dst = binary.BigEndian.AppendUint64(dst, e.actor.Boot)
	dst = binary.AppendUvarint(dst, e.actor.Seq)
	dst = binary.AppendUvarint(dst, e.base)
	dst = binary.AppendUvarint(dst, uint64(len(e.extra)))
	next := e.base + 2
	for _, n := range e.extra {
		dst = binary.AppendUvarint(dst, n-next)
		next = n + 1
	}
	return dst
}

func appendStamps(dst []byte, c Context) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(c.stamps)))
	for _, t := range c.stamps {
		dst = binary.BigEndian.AppendUint64(dst, uint64(t.Time))
		dst = binary.BigEndian.AppendUint64(dst, t.Node)
	}
	return dst
}

// DecodeState reads one state from the front of b and returns what follows it. Values alias b. Everything is checked:
// canonical form, the invariants of State, the caps; else ErrCorrupt. It allocates a small multiple of len(b) at most,
// and for a usual state once: one sibling, and the actor that wrote it.
func DecodeState(b []byte) (s State, rest []byte, err error) { return new(Slab).DecodeState(b) }

// Slab is memory for the states of one batch: what they are made of is allocated for several at once, and lives as long
// as any of them. The zero value allocates for one at a time.
type Slab struct {
	States int // how many are expected

	siblings []Sibling
	entries  []entry
	counters []uint64
	stamps   []Stamp
}

// lone is the memory of a usual state, in one piece: its context keeps its value (Context.Apart).
type lone struct {
	sibling [1]Sibling
	entry   [1]entry
}

// begin sets memory aside for a state alone in its slab that has as many siblings as the core's first byte says.
func (m *Slab) begin(core []byte) {
	if m.States > 1 || len(m.siblings) > 0 || len(m.entries) > 0 || len(core) <= siblingBytesMin || core[0] != 1 {
		return
	}
	one := new(lone)
	m.siblings, m.entries = one.sibling[:], one.entry[:]
}

// DecodeState is the function of that name, with memory from the slab.
func (m *Slab) DecodeState(b []byte) (s State, rest []byte, err error) {
	core, rest, ok := splitCore(b)
	if !ok {
		return State{}, nil, ErrCorrupt
	}
	m.begin(core)
	r := reader{b: core, slab: *m}
	siblings := r.siblings()
	entries := r.dots()
	if r.bad || len(r.b) > 0 {
		return State{}, nil, ErrCorrupt
	}
	r.b = rest
	s = State{Context{entries, r.stamps()}, siblings}
	*m = r.slab
	if r.bad || !s.valid() {
		return State{}, nil, ErrCorrupt
	}
	return s, r.b, nil
}

// piece cuts n zero elements off the free ones, of which there are then about as many again as states are expected.
func piece[T any](free *[]T, n, states int) []T {
	if n > len(*free) {
		*free = make([]T, max(n, min(states, slabStatesMax)))
	}
	out := (*free)[:n:n]
	*free = (*free)[n:]
	return out
}

// DecodeContext reads one context from the front of b and returns what follows it. It aliases nothing. Other than
// canonical form within the caps is ErrCorrupt.
func DecodeContext(b []byte) (c Context, rest []byte, err error) { return new(Slab).DecodeContext(b) }

// DecodeContext is the function of that name, with memory from the slab.
func (m *Slab) DecodeContext(b []byte) (c Context, rest []byte, err error) {
	r := reader{b: b, slab: *m}
	c = Context{r.dots(), r.stamps()}
	*m = r.slab
	if r.bad {
		return Context{}, nil, ErrCorrupt
	}
	return c, r.b, nil
}

// PeekWinner returns the newest sibling of the state at the front of b, and how many siblings there are; 0 and no
// sibling for a tombstone. The value aliases b. It checks only what it reads, and does not allocate: for bytes whose
// integrity the store vouches for.
func PeekWinner(b []byte) (winner Sibling, siblings int, err error) {
	core, _, ok := splitCore(b)
	if !ok {
		return Sibling{}, 0, ErrCorrupt
	}
	r := reader{b: core}
	n := r.count(SiblingsMax, siblingBytesMin)
	if n > 0 {
		winner = r.sibling()
	}
	if r.bad {
		return Sibling{}, 0, ErrCorrupt
	}
	return winner, n, nil
}

// Digest returns a hash of siblings and dots, but not of remembered stamps, which replicas prune each in its own time.
// 0 when there are no siblings, since a tombstone equals absence; never 0 otherwise. It does not allocate, and reads
// every value once. xxHash64: it finds differences, it does not resist forgery.
func (s State) Digest() uint64 {
	if len(s.Siblings) == 0 {
		return 0
	}
	if fault.On(fault.DigestSeenOnly) {
		s.Siblings = s.Siblings[:0]
	}
	var h xxhash.Digest
	h.Reset()
	buf := make([]byte, 0, siblingBytesMax+entryBytesMax)
	h.Write(binary.AppendUvarint(buf, uint64(len(s.Siblings))))
	for _, x := range s.Siblings {
		h.Write(appendHead(buf, x))
		h.Write(x.Value)
	}
	h.Write(binary.AppendUvarint(buf, uint64(len(s.Seen.entries))))
	for _, e := range s.Seen.entries {
		h.Write(appendEntry(buf, e))
	}
	return nonZero(h.Sum64())
}

// DigestEncoded returns the Digest of the state at the front of b without decoding it. It checks only the frame.
func DigestEncoded(b []byte) (uint64, error) {
	if fault.On(fault.DigestSeenOnly) {
		s, _, err := DecodeState(b)
		return s.Digest(), err
	}
	core, _, ok := splitCore(b)
	if !ok || len(core) == 0 {
		return 0, ErrCorrupt
	}
	if core[0] == 0 {
		return 0, nil
	}
	return nonZero(xxhash.Sum64(core)), nil
}

// HashEncoded returns a hash of the siblings and dots of the state at the front of b, a tombstone's dots included, and
// whether it holds a sibling. Like Digest it leaves out remembered stamps and is never 0; it checks only the frame.
func HashEncoded(b []byte) (hash uint64, live bool, err error) {
	core, _, ok := splitCore(b)
	if !ok || len(core) == 0 {
		return 0, false, ErrCorrupt
	}
	return nonZero(xxhash.Sum64(core)), core[0] != 0, nil
}

func nonZero(h uint64) uint64 { return max(h, 1) }

// splitCore separates the core of the state at the front of b from what follows.
func splitCore(b []byte) (core, rest []byte, ok bool) {
	if len(b) < coreLenBytes {
		return nil, nil, false
	}
	n, b := uint64(binary.BigEndian.Uint32(b)), b[coreLenBytes:]
	if n > CoreBytesMax || n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// valid checks what is not a matter of form: order, and that siblings and context agree.
func (s State) valid() bool {
	for i, x := range s.Siblings {
		if !s.Seen.Has(x.Dot) || s.Seen.HasStamp(x.Stamp) {
			return false
		}
		if i > 0 && newestFirst(s.Siblings[i-1], x) >= 0 {
			return false
		}
	}
	return distinctDots(s.Siblings)
}

// distinctDots reports whether no two siblings share a dot. The canonical order does not show it: two stamps may.
func distinctDots(siblings []Sibling) bool {
	if len(siblings) < 2 {
		return true
	}
	dots := make([]Dot, len(siblings))
	for i, x := range siblings {
		dots[i] = x.Dot
	}
	slices.SortFunc(dots, Dot.Compare)
	return len(slices.Compact(dots)) == len(siblings)
}

// reader takes pieces off the front of b. Once something was missing or not canonical, it is bad for good and yields
// zeros.
type reader struct {
	b    []byte
	bad  bool
	slab Slab // for siblings and dots
}

func (r *reader) fail() { r.bad, r.b = true, nil }

// check makes r bad unless ok.
func (r *reader) check(ok bool) {
	if !ok {
		r.fail()
	}
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	head := r.b[:n:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) fixed() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// uvarint refuses longer forms than the shortest.
func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || (n > 1 && r.b[n-1] == 0) {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a count of at most most things, each of at least size bytes that must still be there.
func (r *reader) count(most, size int) int {
	n := r.uvarint()
	if n > uint64(most) || n > uint64(len(r.b)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) actor() Actor {
	a := Actor{r.fixed(), r.uvarint()}
	r.check(!a.IsZero())
	return a
}

func (r *reader) siblings() []Sibling {
	n := r.count(SiblingsMax, siblingBytesMin)
	if n == 0 {
		return nil
	}
	out := piece(&r.slab.siblings, n, r.slab.States)
	for i := range out {
		out[i] = r.sibling()
		if r.bad {
			return nil
		}
	}
	return out
}

func (r *reader) sibling() (x Sibling) {
	form := r.byte()
	r.check(form <= formNode|formExpire|formFlags)
	x.Dot = Dot{r.actor(), r.uvarint()}
	r.check(x.Dot.Counter > 0 && x.Dot.Counter <= CounterMax)
	x.Stamp = Stamp{Time(r.fixed()), x.Dot.Actor.Boot}
	if form&formNode != 0 {
		x.Stamp.Node = r.fixed()
		r.check(x.Stamp.Node != x.Dot.Actor.Boot)
	}
	if form&formExpire != 0 {
		x.ExpireAt = int64(r.uvarint())
		r.check(x.ExpireAt != 0)
	}
	if form&formFlags != 0 {
		flags := r.uvarint()
		x.Flags = uint32(flags)
		r.check(x.Flags != 0 && uint64(x.Flags) == flags)
	}
	x.Value = r.take(r.uvarint())
	return x
}

func (r *reader) dots() []entry {
	n := r.count(ActorsMax, entryBytesMin)
	if n == 0 {
		return nil
	}
	out := piece(&r.slab.entries, n, r.slab.States)
	gaps := GapsMax
	for i := range out {
		out[i] = r.entry(gaps)
		gaps -= len(out[i].extra)
		r.check(i == 0 || out[i-1].actor.Compare(out[i].actor) < 0)
		if r.bad {
			return nil
		}
	}
	return out
}

func (r *reader) entry(gapsMax int) entry {
	e := entry{actor: r.actor(), base: r.uvarint()}
	r.check(e.base <= CounterMax)
	e.extra = r.extra(e.base, gapsMax)
	r.check(e.max() > 0)
	return e
}

func (r *reader) extra(base uint64, gapsMax int) []uint64 {
	n := r.count(gapsMax, 1)
	if n == 0 {
		return nil
	}
	out := piece(&r.slab.counters, n, r.slab.States)
	next := base + 2
	for i := range out {
		distance := r.uvarint()
		// Neither term exceeds 2^62+2 before the sum is formed, so it cannot wrap.
		if distance > CounterMax || next+distance > CounterMax {
			r.fail()
			return nil
		}
		out[i] = next + distance
		next = out[i] + 1
	}
	return out
}

func (r *reader) stamps() []Stamp {
	n := r.count(StampsMax, stampBytes)
	if n == 0 {
		return nil
	}
	out := piece(&r.slab.stamps, n, r.slab.States)
	for i := range out {
		out[i] = Stamp{Time(r.fixed()), r.fixed()}
		r.check(!out[i].IsZero() && (i == 0 || out[i-1].Compare(out[i]) < 0))
		if r.bad {
			return nil
		}
	}
	return out
}
