package request

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/ring"
)

const testQ = 256

// someState returns a state of the given values, concurrent with each other.
func someState(values ...string) causal.State {
	var s causal.State
	for i, v := range values {
		version := causal.Version{Stamp: causal.Stamp{Time: causal.Time(100 + i), Node: 7}, ExpireAt: int64(i), Flags: 3, Value: []byte(v)}
		delta := s.Put(causal.Context{}, causal.Actor{Boot: 9, Seq: uint64(i + 1)}, []causal.Version{version}, func(causal.Stamp) bool { return false })
		s = causal.Sync(s, delta)
	}
	return s
}

func someKey(name string) Key {
	return Key{Space: 3, Name: []byte(name), Partition: ring.PartitionOf(ring.Slot([]byte(name)), testQ)}
}

func someReads() []*Read {
	return []*Read{
		{Key: someKey("")},
		{Key: someKey("user:{1}"), Role: RoleFallback, Digest: 1 << 60, Compare: true},
	}
}

func someWrites() []*Write {
	return []*Write{
		{Key: someKey("a"), Delta: someState("x", "y")},
		{Key: someKey("b"), Role: RoleFallback, For: ring.NodeID{1}, Reserve: true, Delta: causal.State{Seen: someState("gone").Seen}},
	}
}

func someOps() []*Op {
	return []*Op{
		{Verb: Get, Key: someKey("a"), Value: []byte{}, R: 2},
		{Verb: Modify, Change: ChangeAdd, Cond: KeepTTL | IfEarlier, Key: someKey("n"), Value: []byte("v"), Delta: -5, ExpireAt: 1 << 42,
			Flags: 1<<32 - 1, Seen: someState("x").Seen, R: 1, W: 3, Stamp: causal.Stamp{Time: 12, Node: 1 << 63}, Attempt: 2},
	}
}

func TestRequestsRoundTrip(t *testing.T) {
	reads, err := DecodeReads(new(Room[Read]), AppendReads(nil, someReads()), testQ)
	if err != nil || !reflect.DeepEqual(reads, someReads()) {
		t.Errorf("reads: %v", err)
	}
	writes, err := DecodeWrites(new(Room[Write]), AppendWrites(nil, someWrites()), testQ)
	if err != nil || len(writes) != 2 || !bytes.Equal(AppendWrites(nil, writes), AppendWrites(nil, someWrites())) {
		t.Errorf("writes: %v", err)
	}
	if w := writes[1]; !w.Reserve || w.For != (ring.NodeID{1}) || w.Role != RoleFallback || w.Key.Partition != someKey("b").Partition || !w.Delta.Tombstone() {
		t.Errorf("write lost a field: %+v", w)
	}
	ops, err := DecodeOps(new(Room[Op]), AppendOps(nil, someOps()), testQ)
	if err != nil || !bytes.Equal(AppendOps(nil, ops), AppendOps(nil, someOps())) {
		t.Fatalf("ops: %v", err)
	}
	ops[1].Seen = causal.Context{}
	want := someOps()[1]
	want.Seen = causal.Context{}
	if !reflect.DeepEqual(ops[1], want) {
		t.Errorf("op lost a field: %+v, want %+v", ops[1], want)
	}
}

func TestAnswersRoundTrip(t *testing.T) {
	reads := []*Read{{Same: true}, {State: someState("v")}, {Err: ErrNotOwner}}
	got := []*Read{{}, {}, {}}
	if err := DecodeReadAnswers(AppendReadAnswers(nil, reads, 1<<20), false, got); err != nil {
		t.Fatal(err)
	}
	if !got[0].Same || !got[1].State.Equal(reads[1].State) || got[2].Err != ErrNotOwner {
		t.Errorf("reads: %+v %+v %+v", got[0], got[1], got[2])
	}
	writes := []*Write{{Wrote: true, Survivor: someState("later")}, {Err: ErrDiskLow}}
	stored := []*Write{{}, {}}
	if err := DecodeWriteAnswers(AppendWriteAnswers(nil, writes, 1<<20), false, stored); err != nil {
		t.Fatal(err)
	}
	if !stored[0].Wrote || !stored[0].Survivor.Equal(writes[0].Survivor) || stored[1].Err != ErrDiskLow {
		t.Errorf("writes: %+v %+v", stored[0], stored[1])
	}
	ops := []*Op{{Result: Result{Int: -1, Wrote: true, State: someState("old"), Seen: someState("s").Seen, Acks: 3}}}
	done := []*Op{{}}
	if err := DecodeOpAnswers(AppendOpAnswers(nil, ops, 1<<20), false, done); err != nil {
		t.Fatal(err)
	}
	r := done[0].Result
	if r.Int != -1 || !r.Wrote || r.Acks != 3 || !r.State.Equal(ops[0].Result.State) || !r.Seen.Equal(ops[0].Result.Seen) {
		t.Errorf("op: %+v", r)
	}
}

func TestMalformedAnswersAnswerNothing(t *testing.T) {
	good := AppendReadAnswers(nil, []*Read{{Same: true}, {Err: ErrClosed}}, 1<<20)
	for n := range good {
		got := []*Read{{}, {}}
		if err := DecodeReadAnswers(good[:n], false, got); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if got[0].Same || got[1].Err != nil {
			t.Fatalf("cut at %d: an element has an answer", n)
		}
	}
	if err := DecodeReadAnswers(good, false, []*Read{{}}); !errors.Is(err, ErrMalformed) {
		t.Errorf("two answers to one question: %v", err)
	}
	write, op := &Write{}, &Op{}
	b := append(AppendWriteAnswers(nil, []*Write{{Wrote: true, Survivor: someState("later")}}, 1<<20), 0)
	if err := DecodeWriteAnswers(b, false, []*Write{write}); !errors.Is(err, ErrMalformed) || !reflect.DeepEqual(write, &Write{}) {
		t.Errorf("a byte behind the answers to a write: %v, %+v", err, write)
	}
	b = append(AppendOpAnswers(nil, []*Op{{Result: Result{Int: 1, State: someState("old")}}}, 1<<20), 0)
	if err := DecodeOpAnswers(b, false, []*Op{op}); !errors.Is(err, ErrMalformed) || !reflect.DeepEqual(op, &Op{}) {
		t.Errorf("a byte behind the results: %v, %+v", err, op)
	}
}

func TestAnswersOutliveLentBytes(t *testing.T) {
	read, write, op := &Read{}, &Write{}, &Op{}
	for name, decode := range map[string]func() ([]byte, *causal.State, error){
		"read": func() ([]byte, *causal.State, error) {
			b := AppendReadAnswers(nil, []*Read{{State: someState("v", "w")}}, 1<<20)
			return b, &read.State, DecodeReadAnswers(b, true, []*Read{read})
		},
		"write": func() ([]byte, *causal.State, error) {
			b := AppendWriteAnswers(nil, []*Write{{Survivor: someState("v", "w")}}, 1<<20)
			return b, &write.Survivor, DecodeWriteAnswers(b, true, []*Write{write})
		},
		"op": func() ([]byte, *causal.State, error) {
			b := AppendOpAnswers(nil, []*Op{{Result: Result{State: someState("v", "w"), Err: fmt.Errorf("so: %w", ErrCorrupt)}}}, 1<<20)
			return b, &op.Result.State, DecodeOpAnswers(b, true, []*Op{op})
		},
	} {
		b, state, err := decode()
		clear(b)
		if err != nil || !state.Equal(someState("v", "w")) {
			t.Errorf("%s: %v, %+v", name, err, state)
		}
	}
	if !strings.Contains(op.Result.Err.Error(), "so") {
		t.Errorf("error %q", op.Result.Err)
	}
}

// What a room gave stays where it is until Reset, and is zero whenever it is given.
func TestRoomGivesZeroElementsApart(t *testing.T) {
	var room Room[Read]
	for range 3 {
		seen := map[*Read]bool{}
		var all [][]*Read
		for _, n := range []int{1, 2, 0, 7, 30, roomItemsMax, 3} {
			all = append(all, room.take(n))
			for _, r := range all[len(all)-1] {
				if seen[r] || r.Role != 0 || r.Err != nil {
					t.Fatalf("%p was given before, or is not zero", r)
				}
				seen[r], r.Role, r.Err = true, RoleFallback, ErrClosed
			}
		}
		for i, n := range []int{1, 2, 0, 7, 30, roomItemsMax, 3} {
			if len(all[i]) != n || slices.Contains(all[i], nil) {
				t.Fatalf("batch %d has %d elements, or lost one", i, len(all[i]))
			}
		}
		room.Reset()
	}
	room.take(roomItemsMax + 1)
	if room.Reset(); cap(room.items) != 0 || cap(room.at) != 0 {
		t.Errorf("kept room for %d elements", cap(room.items))
	}
}

// The frames between nodes: what each costs beside the bytes that were read from the socket. A state costs one.
func TestFramesAllocateLittle(t *testing.T) {
	state, buf := someState("v"), make([]byte, 0, 4096)
	reads, same := []*Read{{Key: someKey("a"), Compare: true}, {Key: someKey("b")}}, []*Read{{Same: true}, {Same: true}}
	writes, stored := []*Write{{Key: someKey("a"), Delta: state}, {Key: someKey("b"), Delta: state}}, []*Write{{Wrote: true}, {}}
	ops, done := []*Op{{Verb: Put, Key: someKey("a")}, {Verb: Put, Key: someKey("b")}}, []*Op{{Result: Result{Wrote: true, Seen: state.Seen}}, {}}
	readBytes, writeBytes, opBytes := AppendReads(nil, reads), AppendWrites(nil, writes), AppendOps(nil, ops)
	sameBytes, storedBytes, doneBytes := AppendReadAnswers(nil, same, 1<<20), AppendWriteAnswers(nil, stored, 1<<20), AppendOpAnswers(nil, done, 1<<20)
	var readRoom Room[Read]
	var writeRoom Room[Write]
	var opRoom Room[Op]
	for name, c := range map[string]struct {
		want float64
		f    func()
	}{
		"append reads":            {0, func() { AppendReads(buf, reads) }},
		"append writes":           {0, func() { AppendWrites(buf, writes) }},
		"append ops":              {0, func() { AppendOps(buf, ops) }},
		"append answers to reads": {0, func() { AppendReadAnswers(buf, same, 1<<20) }},
		"append answers to write": {0, func() { AppendWriteAnswers(buf, stored, 1<<20) }},
		"append results":          {0, func() { AppendOpAnswers(buf, done, 1<<20) }},
		"decode reads":            {0, func() { _, _ = DecodeReads(&readRoom, readBytes, testQ); readRoom.Reset() }},
		"decode two writes":       {2, func() { _, _ = DecodeWrites(&writeRoom, writeBytes, testQ); writeRoom.Reset() }},
		"decode ops":              {0, func() { _, _ = DecodeOps(&opRoom, opBytes, testQ); opRoom.Reset() }},
		"decode answers to reads": {0, func() { _ = DecodeReadAnswers(sameBytes, true, same) }},
		"decode answers to write": {0, func() { _ = DecodeWriteAnswers(storedBytes, true, stored) }},
		"decode results":          {1, func() { _ = DecodeOpAnswers(doneBytes, true, done) }},
	} {
		if got := testing.AllocsPerRun(100, c.f); got != c.want {
			t.Errorf("%s: %v allocations, want %v", name, got, c.want)
		}
	}
}

func TestAnswersThatDoNotFitStayTrue(t *testing.T) {
	big := someState(strings.Repeat("x", 500))
	reads := []*Read{{State: big}, {State: big}, {State: someState(strings.Repeat("y", 2000))}, {Same: true}}
	got := []*Read{{}, {}, {}, {}}
	b := AppendReadAnswers(nil, reads, 1000)
	if err := DecodeReadAnswers(b, false, got); err != nil {
		t.Fatal(err)
	}
	if got[0].Err != nil || got[1].Err != ErrOverloaded || got[2].Err != ErrTooBig || !got[3].Same {
		t.Errorf("errors %v, %v, %v, %v", got[0].Err, got[1].Err, got[2].Err, got[3].Err)
	}
	ops := []*Op{{Verb: Modify, Result: Result{State: big}}, {Verb: Get, Result: Result{State: big}}}
	done := []*Op{{}, {}}
	if err := DecodeOpAnswers(AppendOpAnswers(nil, ops, 100), false, done); err != nil {
		t.Fatal(err)
	}
	if done[0].Result.Err != ErrMaybe || done[1].Result.Err != ErrTooBig {
		t.Errorf("errors %v, %v", done[0].Result.Err, done[1].Result.Err)
	}
	writes := []*Write{{Wrote: true, Survivor: big}}
	if err := DecodeWriteAnswers(AppendWriteAnswers(nil, writes, 100), false, writes); err != nil || writes[0].Err != ErrInternal {
		t.Errorf("write: %v, %v", err, writes[0].Err)
	}
}

func TestErrorsRoundTrip(t *testing.T) {
	for _, e := range errorCodes {
		got, rest, err := DecodeError(AppendError(nil, e.err))
		if got != e.err || len(rest) != 0 || err != nil {
			t.Errorf("%v came back as %v, %v", e.err, got, err)
		}
		wrapped := fmt.Errorf("replica: %w: disk 3", e.err)
		got, _, _ = DecodeError(AppendError(nil, wrapped))
		if !errors.Is(got, e.err) || got.Error() != wrapped.Error() {
			t.Errorf("%v came back as %v", wrapped, got)
		}
	}
	if got, _, _ := DecodeError(AppendError(nil, ErrTooManySiblings)); !errors.Is(got, ErrTooBig) {
		t.Errorf("too many siblings is not too big any more: %v", got)
	}
	quorum := &QuorumError{Op: "put", Need: 2, Have: 1, Cause: ErrNoQuorum}
	got, _, _ := DecodeError(AppendError(nil, fmt.Errorf("x: %w", quorum)))
	if q, ok := errors.AsType[*QuorumError](got); !ok || *q != *quorum {
		t.Errorf("quorum error came back as %#v", got)
	}
	if got, _, _ := DecodeError(AppendError(nil, errors.New("odd"))); !errors.Is(got, ErrInternal) || got.Error() != "odd" {
		t.Errorf("unknown error came back as %v", got)
	}
	if got, _, err := DecodeError([]byte{42}); got != ErrInternal || err != nil {
		t.Errorf("unknown code came back as %v, %v", got, err)
	}
	long := AppendError(nil, errors.New(strings.Repeat("e", ErrorTextMax+1)))
	if got, _, _ := DecodeError(long); len(got.Error()) != ErrorTextMax {
		t.Errorf("text of %d bytes", len(got.Error()))
	}
	long[1]++
	if _, _, err := DecodeError(append(long, 'e')); err != ErrMalformed {
		t.Errorf("text above the cap: %v", err)
	}
}

func TestCaps(t *testing.T) {
	decodes := func(k Key) error {
		_, err := DecodeReads(new(Room[Read]), AppendReads(nil, []*Read{{Key: k}}), testQ)
		return err
	}
	cases := []struct {
		name string
		key  Key
		want error
	}{
		{"longest key", Key{Name: make([]byte, KeyBytesMax)}, nil},
		{"longer key", Key{Name: make([]byte, KeyBytesMax+1)}, ErrMalformed},
		{"last space", Key{Space: SpacesMax - 1}, nil},
		{"space beyond", Key{Space: SpacesMax}, ErrMalformed},
	}
	for _, c := range cases {
		if err := decodes(c.key); err != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for n, want := range map[int]error{ValueBytesMax: nil, ValueBytesMax + 1: ErrMalformed} {
		if _, err := DecodeOps(new(Room[Op]), AppendOps(nil, []*Op{{Value: make([]byte, n)}}), testQ); err != want {
			t.Errorf("value of %d bytes: %v", n, err)
		}
	}
	batch := make([]*Read, BatchMax)
	for i := range batch {
		batch[i] = &Read{}
	}
	b := AppendReads(nil, batch)
	if _, err := DecodeReads(new(Room[Read]), b, testQ); err != nil {
		t.Errorf("longest batch: %v", err)
	}
	b[0]++ // BatchMax+1 as a varint
	if _, err := DecodeReads(new(Room[Read]), append(b, 0, 0, 0), testQ); err != ErrMalformed {
		t.Errorf("longer batch: %v", err)
	}
	notice := AppendNotice(nil, Notice{Retried: make([]causal.Stamp, NoticeRetriedMax)})
	if n, rest, err := DecodeNotice(notice); err != nil || len(rest) != 0 || len(n.Retried) != NoticeRetriedMax {
		t.Errorf("longest notice: %v", err)
	}
	notice[24]++
	if _, _, err := DecodeNotice(append(notice, make([]byte, 16)...)); err != ErrMalformed {
		t.Errorf("longer notice: %v", err)
	}
}

// A decoder accepts what the encoder writes and nothing else, so whatever it accepts it would write again.
func FuzzDecode(f *testing.F) {
	f.Add(AppendReads(nil, someReads()))
	f.Add(AppendWrites(nil, someWrites()))
	f.Add(AppendOps(nil, someOps()))
	f.Add(AppendReadAnswers(nil, []*Read{{State: someState("a", "b")}, {Err: fmt.Errorf("x %w", ErrClosed)}}, 1<<20))
	f.Add(AppendWriteAnswers(nil, []*Write{{Wrote: true}, {Err: &QuorumError{Op: "put", Cause: ErrMaybe}}}, 1<<20))
	f.Add(AppendOpAnswers(nil, []*Op{{Result: Result{Int: 5, Seen: someState("a").Seen}}, {}}, 1<<20))
	f.Add(AppendNotice(nil, Notice{Node: 1, Floor: 2, Low: 3, Retried: []causal.Stamp{{Time: 4, Node: 5}}}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{0x81, 0x00, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		same := func(kind string, again []byte) {
			if !bytes.Equal(b, again) {
				t.Errorf("%s: accepted % x, writes % x", kind, b, again)
			}
		}
		if reads, err := DecodeReads(new(Room[Read]), b, testQ); err == nil {
			same("reads", AppendReads(nil, reads))
		}
		if writes, err := DecodeWrites(new(Room[Write]), b, testQ); err == nil {
			same("writes", AppendWrites(nil, writes))
		}
		if ops, err := DecodeOps(new(Room[Op]), b, testQ); err == nil {
			same("ops", AppendOps(nil, ops))
		}
		if n, rest, err := DecodeNotice(b); err == nil {
			same("notice", append(AppendNotice(nil, n), rest...))
		}
		fuzzAnswers(t, b)
	})
}

// fuzzAnswers checks that what an answer decodes to survives another round trip. An error code that this version does not
// know reads as ErrInternal, so the bytes themselves may differ once.
func fuzzAnswers(t *testing.T, b []byte) {
	d := decoder{b: b}
	n := d.count(BatchMax, 2)
	reads, writes, ops := make([]*Read, n), make([]*Write, n), make([]*Op, n)
	for i := range n {
		reads[i], writes[i], ops[i] = &Read{}, &Write{}, &Op{}
	}
	if DecodeReadAnswers(b, false, reads) == nil {
		once := AppendReadAnswers(nil, reads, 1<<20)
		if DecodeReadAnswers(once, false, reads) != nil || !bytes.Equal(once, AppendReadAnswers(nil, reads, 1<<20)) {
			t.Errorf("read answers are not stable: % x", b)
		}
	}
	if DecodeWriteAnswers(b, false, writes) == nil {
		once := AppendWriteAnswers(nil, writes, 1<<20)
		if DecodeWriteAnswers(once, false, writes) != nil || !bytes.Equal(once, AppendWriteAnswers(nil, writes, 1<<20)) {
			t.Errorf("write answers are not stable: % x", b)
		}
	}
	if DecodeOpAnswers(b, false, ops) == nil {
		once := AppendOpAnswers(nil, ops, 1<<20)
		if DecodeOpAnswers(once, false, ops) != nil || !bytes.Equal(once, AppendOpAnswers(nil, ops, 1<<20)) {
			t.Errorf("op answers are not stable: % x", b)
		}
	}
}

func BenchmarkReadBatch(b *testing.B) {
	reads := []*Read{{Key: someKey("user:1000")}}
	var buf []byte
	var room Room[Read]
	for b.Loop() {
		buf = AppendReads(buf[:0], reads)
		_, _ = DecodeReads(&room, buf, testQ)
		room.Reset()
	}
}
