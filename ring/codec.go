package ring

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// The format: a version byte, then fields in the order of the structs; unsigned varints; strings and lists with their length
// before them. Equal documents have equal bytes.
const codecVersion = 2 // 1 knew no changes of the layout

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendMember(dst []byte, m Member) []byte {
	dst = append(dst, m.ID[:]...)
	for _, s := range m.texts() {
		dst = appendString(dst, *s)
	}
	dst = binary.AppendVarint(dst, int64(m.Weight))
	return binary.AppendUvarint(append(dst, byte(m.Status)<<1), m.Epoch) // the lowest bit is reserved
}

// texts lists the member's strings in the order in which they are encoded.
func (m *Member) texts() []*string {
	return []*string{&m.Name, &m.RESP, &m.Memcache, &m.HTTP, &m.Peer, &m.Gossip, &m.Zone, &m.Version}
}

func appendCluster(dst []byte, c Cluster) []byte {
	dst = append(dst, c.ID[:]...)
	dst = appendString(dst, c.Name)
	dst = append(dst, c.Secret[:]...)
	for _, n := range []int{c.Q, c.N, c.R, c.W} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	return dst
}

func appendLayout(dst []byte, l *Layout) []byte { return append(dst, l.encoded()...) }

// encoded returns the layout's bytes. They are worked out once: while the ring changes, each document is encoded and compared, and its
// Edition asked for, dozens of times on every node, and nearly all of it is the layout. Read them, do not change them.
func (l *Layout) encoded() []byte {
	if l == nil {
		return []byte{0}
	}
	if b := l.bytes.Load(); b != nil {
		return *b
	}
	b := l.encode()
	l.bytes.Store(&b)
	return b
}

// encode writes a table of the members' ids, and then two bytes for each copy.
func (l *Layout) encode() []byte {
	dst := make([]byte, 0, 64+len(l.Members)*len(NodeID{})+l.Q*(2+2*l.N+binary.MaxVarintLen16))
	dst = binary.AppendUvarint(append(dst, 1), l.Version)
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(l.Q)), uint64(l.N))
	dst = binary.AppendUvarint(dst, uint64(len(l.Members)))
	for _, id := range l.Members {
		dst = append(dst, id[:]...)
	}
	for p, owners := range l.Owners {
		dst = binary.AppendUvarint(l.appendOwners(dst, owners), l.Since[p])
	}
	dst = binary.AppendUvarint(dst, uint64(len(l.Changes)))
	for _, c := range l.Changes {
		dst = append(binary.AppendUvarint(dst, uint64(c.Partition)), byte(c.Phase))
		dst = l.appendOwners(binary.AppendUvarint(dst, c.Began), c.Next)
	}
	return dst
}

func (l *Layout) appendOwners(dst []byte, owners []NodeID) []byte {
	dst = append(dst, byte(len(owners)))
	for _, id := range owners {
		i, known := slices.BinarySearchFunc(l.Members, id, NodeID.Compare)
		if !known {
			i = math.MaxUint16 // Check refuses it, and so does whoever decodes it
		}
		dst = binary.BigEndian.AppendUint16(dst, uint16(i))
	}
	return dst
}

func appendReport(dst []byte, r Report) []byte {
	dst = binary.AppendUvarint(append(dst, r.Node[:]...), r.Seq)
	dst = append(binary.AppendUvarint(dst, r.Acked.Version), r.Acked.Sum[:]...)
	empty := byte(0)
	if r.Empty {
		empty = 1
	}
	dst = binary.AppendUvarint(append(dst, empty), uint64(len(r.Held)))
	for _, h := range r.Held {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(h.Partition)), h.Began)
	}
	return dst
}

func appendState(dst []byte, s State) []byte {
	dst = appendCluster(dst, s.Cluster)
	dst = binary.AppendUvarint(dst, uint64(len(s.Members)))
	for _, m := range s.Members {
		dst = appendMember(dst, m)
	}
	dst = appendLayout(dst, s.Layout)
	dst = binary.AppendUvarint(dst, uint64(len(s.Reports)))
	for _, r := range s.Reports {
		dst = appendReport(dst, r)
	}
	return dst
}

// A reader takes values off the front of bytes. After the first that does not fit, all are zero and bad is set.
type reader struct {
	b   []byte
	bad error
}

func (r *reader) fail(what string) {
	if r.bad == nil {
		r.bad = fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
	r.b = nil
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.fail("cut short")
		return make([]byte, min(n, 64))
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) byte() byte { return r.take(1)[0] }

// number reads a varint of at most most, in its shortest form.
func (r *reader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most || n != len(binary.AppendUvarint(nil, v)) {
		r.fail("number")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) signed() int {
	u := r.number(math.MaxUint64)
	return int(int64(u>>1) ^ -int64(u&1))
}

func (r *reader) string(most int) string { return string(r.take(int(r.number(uint64(most))))) }

func (r *reader) id() (id NodeID) {
	copy(id[:], r.take(len(id)))
	return id
}

// count reads the length of a list whose elements take at least size bytes each, so that no list is allocated that the bytes
// cannot fill.
func (r *reader) count(most, size int) int {
	n := int(r.number(uint64(most)))
	if n*size > len(r.b) {
		r.fail("list longer than the document")
		return 0
	}
	return n
}

func (r *reader) member() (m Member) {
	m.ID = r.id()
	for i, s := range m.texts() {
		most := NameBytesMax
		if i >= 1 && i <= 5 {
			most = AddressBytesMax
		}
		*s = r.string(most)
	}
	m.Weight = r.signed()
	status := r.byte()
	if status&1 != 0 {
		r.fail("reserved bit")
	}
	m.Status = Status(status >> 1)
	m.Epoch = r.number(math.MaxUint64)
	return m
}

func (r *reader) cluster() (c Cluster) {
	c.ID = r.id()
	c.Name = r.string(NameBytesMax)
	copy(c.Secret[:], r.take(len(c.Secret)))
	c.Q = int(r.number(PartitionsMax))
	for _, n := range []*int{&c.N, &c.R, &c.W} {
		*n = int(r.number(ReplicasMax))
	}
	return c
}

func (r *reader) layout() *Layout {
	if r.number(1) == 0 {
		return nil
	}
	l := &Layout{Version: r.number(math.MaxUint64), Q: int(r.number(PartitionsMax)), N: int(r.number(ReplicasMax))}
	l.Members = make([]NodeID, r.count(RecordsMax, len(NodeID{})))
	for i := range l.Members {
		l.Members[i] = r.id()
	}
	if l.Q*ownersBytesMin > len(r.b) {
		r.fail("layout longer than the document")
		return nil
	}
	l.Owners, l.Since = make([][]NodeID, l.Q), make([]uint64, l.Q)
	for p := range l.Owners {
		l.Owners[p], l.Since[p] = r.owners(l.Members), r.number(math.MaxUint64)
	}
	l.Changes = make([]Change, r.count(l.Q, ownersBytesMin+2))
	for i := range l.Changes {
		l.Changes[i] = r.change(l.Members)
	}
	return l
}

func (r *reader) change(table []NodeID) (c Change) {
	c.Partition = Partition(r.number(PartitionsMax))
	c.Phase = Phase(r.byte())
	c.Began = r.number(math.MaxUint64)
	c.Next = r.owners(table)
	return c
}

func (r *reader) owners(table []NodeID) []NodeID {
	owners := make([]NodeID, min(int(r.byte()), ReplicasMax+1))
	for k := range owners {
		i := int(binary.BigEndian.Uint16(r.take(2)))
		if i >= len(table) {
			r.fail("owner beyond the table")
			return nil
		}
		owners[k] = table[i]
	}
	return owners
}

func (r *reader) report() (report Report) {
	report.Node, report.Seq = r.id(), r.number(math.MaxUint64)
	report.Acked.Version = r.number(math.MaxUint64)
	copy(report.Acked.Sum[:], r.take(len(report.Acked.Sum)))
	report.Empty = r.number(1) == 1
	report.Held = make([]Held, r.count(ChangesMax, 2))
	for i := range report.Held {
		report.Held[i] = Held{Partition(r.number(PartitionsMax)), r.number(math.MaxUint64)}
	}
	return report
}

func (r *reader) state() (s State) {
	s.Cluster = r.cluster()
	s.Members = make([]Member, r.count(RecordsMax, memberBytesMin))
	for i := range s.Members {
		s.Members[i] = r.member()
	}
	s.Layout = r.layout()
	s.Reports = make([]Report, r.count(RecordsMax, reportBytesMin))
	for i := range s.Reports {
		s.Reports[i] = r.report()
	}
	return s
}

// memberBytesMin is the encoded size of a member of empty strings: id, eight lengths, weight, status, epoch.
const memberBytesMin = 16 + 8 + 1 + 1 + 1

// ownersBytesMin is the encoded size of a partition's owners when there are none, and of the version that they have been since;
// reportBytesMin that of a report of nothing.
const (
	ownersBytesMin = 1 + 1
	reportBytesMin = 16 + 1 + 1 + 16 + 1 + 1
)

// decode reads one whole document with read.
func decode[T any](b []byte, read func(*reader) T) (T, error) {
	var none T
	r := &reader{b: b}
	if len(b) > NoteBytesMax {
		return none, fmt.Errorf("%w: %d bytes", ErrCorrupt, len(b))
	}
	if r.byte() != codecVersion {
		r.fail("version")
	}
	v := read(r)
	if r.bad == nil && len(r.b) > 0 {
		r.fail("bytes left over")
	}
	if r.bad != nil {
		return none, r.bad
	}
	return v, nil
}
