package request

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
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
	reads, err := DecodeReads(nil, AppendReads(nil, someReads()), testQ)
	if err != nil || !reflect.DeepEqual(reads, someReads()) {
		t.Errorf("reads: %v", err)
	}
	writes, err := DecodeWrites(nil, AppendWrites(nil, someWrites()), testQ)
	if err != nil || len(writes) != 2 || !bytes.Equal(AppendWrites(nil, writes), AppendWrites(nil, someWrites())) {
		t.Errorf("writes: %v", err)
	}
	if w := writes[1]; !w.Reserve || w.For != (ring.NodeID{1}) || w.Role != RoleFallback || w.Key.Partition != someKey("b").Partition || !w.Delta.Tombstone() {
		t.Errorf("write lost a field: %+v", w)
	}
	ops, err := DecodeOps(nil, AppendOps(nil, someOps()), testQ)
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
	if err := DecodeReadAnswers(AppendReadAnswers(nil, reads, 1<<20), got); err != nil {
		t.Fatal(err)
	}
	if !got[0].Same || !got[1].State.Equal(reads[1].State) || got[2].Err != ErrNotOwner {
		t.Errorf("reads: %+v %+v %+v", got[0], got[1], got[2])
	}
	writes := []*Write{{Wrote: true, Survivor: someState("later")}, {Err: ErrDiskLow}}
	stored := []*Write{{}, {}}
	if err := DecodeWriteAnswers(AppendWriteAnswers(nil, writes, 1<<20), stored); err != nil {
		t.Fatal(err)
	}
	if !stored[0].Wrote || !stored[0].Survivor.Equal(writes[0].Survivor) || stored[1].Err != ErrDiskLow {
		t.Errorf("writes: %+v %+v", stored[0], stored[1])
	}
	ops := []*Op{{Result: Result{Int: -1, Wrote: true, State: someState("old"), Seen: someState("s").Seen, Acks: 3}}}
	done := []*Op{{}}
	if err := DecodeOpAnswers(AppendOpAnswers(nil, ops, 1<<20), done); err != nil {
		t.Fatal(err)
	}
	r := done[0].Result
	if r.Int != -1 || !r.Wrote || r.Acks != 3 || !r.State.Equal(ops[0].Result.State) || !r.Seen.Equal(ops[0].Result.Seen) {
		t.Errorf("op: %+v", r)
	}
}

func TestAnswersTouchNothingWhenMalformed(t *testing.T) {
	good := AppendReadAnswers(nil, []*Read{{Same: true}, {Err: ErrClosed}}, 1<<20)
	for n := range good {
		got := []*Read{{}, {}}
		if err := DecodeReadAnswers(good[:n], got); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if got[0].Same || got[1].Err != nil {
			t.Fatalf("cut at %d: an element was touched", n)
		}
	}
	if err := DecodeReadAnswers(good, []*Read{{}}); !errors.Is(err, ErrMalformed) {
		t.Errorf("two answers to one question: %v", err)
	}
}

func TestAnswersThatDoNotFitStayTrue(t *testing.T) {
	big := someState(strings.Repeat("x", 500))
	reads := []*Read{{State: big}, {State: big}, {State: someState(strings.Repeat("y", 2000))}, {Same: true}}
	got := []*Read{{}, {}, {}, {}}
	b := AppendReadAnswers(nil, reads, 1000)
	if err := DecodeReadAnswers(b, got); err != nil {
		t.Fatal(err)
	}
	if got[0].Err != nil || got[1].Err != ErrOverloaded || got[2].Err != ErrTooBig || !got[3].Same {
		t.Errorf("errors %v, %v, %v, %v", got[0].Err, got[1].Err, got[2].Err, got[3].Err)
	}
	ops := []*Op{{Verb: Modify, Result: Result{State: big}}, {Verb: Get, Result: Result{State: big}}}
	done := []*Op{{}, {}}
	if err := DecodeOpAnswers(AppendOpAnswers(nil, ops, 100), done); err != nil {
		t.Fatal(err)
	}
	if done[0].Result.Err != ErrMaybe || done[1].Result.Err != ErrTooBig {
		t.Errorf("errors %v, %v", done[0].Result.Err, done[1].Result.Err)
	}
	writes := []*Write{{Wrote: true, Survivor: big}}
	if err := DecodeWriteAnswers(AppendWriteAnswers(nil, writes, 100), writes); err != nil || writes[0].Err != ErrInternal {
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
		_, err := DecodeReads(nil, AppendReads(nil, []*Read{{Key: k}}), testQ)
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
		if _, err := DecodeOps(nil, AppendOps(nil, []*Op{{Value: make([]byte, n)}}), testQ); err != want {
			t.Errorf("value of %d bytes: %v", n, err)
		}
	}
	batch := make([]*Read, BatchMax)
	for i := range batch {
		batch[i] = &Read{}
	}
	b := AppendReads(nil, batch)
	if _, err := DecodeReads(nil, b, testQ); err != nil {
		t.Errorf("longest batch: %v", err)
	}
	b[0]++ // BatchMax+1 as a varint
	if _, err := DecodeReads(nil, append(b, 0, 0, 0), testQ); err != ErrMalformed {
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
		if reads, err := DecodeReads(nil, b, testQ); err == nil {
			same("reads", AppendReads(nil, reads))
		}
		if writes, err := DecodeWrites(nil, b, testQ); err == nil {
			same("writes", AppendWrites(nil, writes))
		}
		if ops, err := DecodeOps(nil, b, testQ); err == nil {
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
	if DecodeReadAnswers(b, reads) == nil {
		once := AppendReadAnswers(nil, reads, 1<<20)
		if DecodeReadAnswers(once, reads) != nil || !bytes.Equal(once, AppendReadAnswers(nil, reads, 1<<20)) {
			t.Errorf("read answers are not stable: % x", b)
		}
	}
	if DecodeWriteAnswers(b, writes) == nil {
		once := AppendWriteAnswers(nil, writes, 1<<20)
		if DecodeWriteAnswers(once, writes) != nil || !bytes.Equal(once, AppendWriteAnswers(nil, writes, 1<<20)) {
			t.Errorf("write answers are not stable: % x", b)
		}
	}
	if DecodeOpAnswers(b, ops) == nil {
		once := AppendOpAnswers(nil, ops, 1<<20)
		if DecodeOpAnswers(once, ops) != nil || !bytes.Equal(once, AppendOpAnswers(nil, ops, 1<<20)) {
			t.Errorf("op answers are not stable: % x", b)
		}
	}
}

func BenchmarkReadBatch(b *testing.B) {
	reads := []*Read{{Key: someKey("user:1000")}}
	var buf []byte
	var out []*Read
	for b.Loop() {
		buf = AppendReads(buf[:0], reads)
		out, _ = DecodeReads(out[:0], buf, testQ)
	}
}
