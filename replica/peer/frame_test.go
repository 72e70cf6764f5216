package peer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"reflect"
	"slices"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

func someFrames() (all []byte, frames []frame) {
	for i, payload := range [][]byte{nil, []byte("hi"), bytes.Repeat([]byte{7}, readBufferBytes), bytes.Repeat([]byte{8}, 5*readBufferBytes+3), {9}} {
		f := frame{kind: [...]uint8{kindWrite, kindRead}[i%2], flags: uint8(i), id: uint64(i) << 40, deadline: time.Duration(-i), payload: payload}
		all = appendFrame(all, f, raw(payload))
		frames = append(frames, f)
	}
	return all, frames
}

// cut reads all frames of a stream and copies nothing but what is lent, so that a payload that is overwritten later shows.
func cut(src io.Reader, max int) (frames []frame, err error) {
	r := newReader(src, max)
	for {
		for {
			f, ok, err := r.next()
			if err != nil {
				return frames, err
			}
			if !ok {
				break
			}
			if f.lent {
				f.payload = bytes.Clone(f.payload)
			}
			frames = append(frames, f)
		}
		if err := r.fill(); err != nil {
			return frames, err
		}
	}
}

func TestFramesArriveHoweverTheStreamIsSplit(t *testing.T) {
	all, want := someFrames()
	for name, src := range map[string]io.Reader{
		"whole":  bytes.NewReader(all),
		"bytes":  iotest.OneByteReader(bytes.NewReader(all)),
		"halves": iotest.HalfReader(bytes.NewReader(all)),
		"eof":    iotest.DataErrReader(bytes.NewReader(all)),
	} {
		got, err := cut(src, FrameBytesMax)
		if err != io.EOF || len(got) != len(want) {
			t.Fatalf("%s: %d frames, %v", name, len(got), err)
		}
		for i := range want {
			if !bytes.Equal(got[i].payload, want[i].payload) {
				t.Errorf("%s: frame %d has another payload", name, i)
			}
			if g, w := got[i], want[i]; g.kind != w.kind || g.flags != w.flags || g.id != w.id || g.deadline != w.deadline {
				t.Errorf("%s: frame %d is %+v", name, i, g)
			}
		}
	}
}

func TestFrameSizeIsCapped(t *testing.T) {
	at := appendFrame(nil, frame{kind: kindRead}, raw(make([]byte, HelloBytesMax-headerBytes)))
	if got, err := cut(bytes.NewReader(at), HelloBytesMax); len(got) != 1 || err != io.EOF {
		t.Errorf("at the cap: %d frames, %v", len(got), err)
	}
	over := appendFrame(nil, frame{kind: kindRead}, raw(make([]byte, HelloBytesMax-headerBytes+1)))
	if got, err := cut(bytes.NewReader(over), HelloBytesMax); len(got) != 0 || err != errFrameLength {
		t.Errorf("one over: %d frames, %v", len(got), err)
	}
	head := binary.LittleEndian.AppendUint32(nil, FrameBytesMax-checkedBytes+1)
	if _, err := frameBytes(head, FrameBytesMax); err != errFrameLength {
		t.Errorf("one over FrameBytesMax: %v", err)
	}
	head = binary.LittleEndian.AppendUint32(nil, lengthMin-1)
	if _, err := frameBytes(head, FrameBytesMax); err != errFrameLength {
		t.Errorf("shorter than a header: %v", err)
	}
}

func TestDeclaredLengthAllocatesLittle(t *testing.T) {
	head := binary.LittleEndian.AppendUint32(nil, FrameBytesMax-checkedBytes)
	r := newReader(bytes.NewReader(append(head, make([]byte, 100)...)), FrameBytesMax)
	if err := r.fill(); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := r.next(); ok || err != nil || cap(r.big) > 2*readBufferBytes {
		t.Errorf("%d bytes for a promise of %d, %v", cap(r.big), FrameBytesMax, err)
	}
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	good := appendFrame(nil, frame{kind: kindWrite, id: 3, deadline: 4}, raw("payload"))
	for i := range len(good) * 8 {
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		if got, err := cut(bytes.NewReader(b), FrameBytesMax); len(got) != 0 || err == nil {
			t.Errorf("bit %d: %d frames, %v", i, len(got), err)
		}
	}
}

func TestHelloRoundTripAndCuts(t *testing.T) {
	h := hello{versionMin: 1, versionMax: 9, class: bulk, cluster: ring.NodeID{1}, q: 256, node: ring.NodeID{2}, to: ring.NodeID{3},
		boot: math.MaxUint64, clock: -5, name: "node-1", auth: []byte("later")}
	b := h.appendPayload(nil)
	got, err := parseHello(b)
	if err != nil || !reflect.DeepEqual(got, h) {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := parseHello(append(b, "what a later version says"...)); err != nil {
		t.Errorf("a longer hello: %v", err)
	}
	for n := range b {
		if _, err := parseHello(b[:n]); err == nil {
			t.Errorf("cut at %d: accepted", n)
		}
	}
	h.name, h.auth = string(make([]byte, NameBytesMax)), make([]byte, AuthBytesMax)
	if _, err := parseHello(h.appendPayload(nil)); err != nil {
		t.Errorf("at the caps: %v", err)
	}
	h.auth = make([]byte, AuthBytesMax+1)
	if _, err := parseHello(h.appendPayload(nil)); err == nil {
		t.Error("one over AuthBytesMax is accepted")
	}
}

func TestQueueIsCapped(t *testing.T) {
	w := newWriter(nil, writeTimeout, func() {})
	huge := raw(make([]byte, QueueBytesMax))
	if _, err := w.add(frame{}, huge); err != nil {
		t.Errorf("a large frame alone: %v", err)
	}
	if _, err := w.add(frame{}, nil); err != request.ErrOverloaded {
		t.Errorf("behind it: %v", err)
	}
	if out, _ := w.take(nil); len(out) != headerBytes+len(huge) {
		t.Errorf("%d bytes queued: a refused frame leaves all the same", len(out))
	}
	if err := fits(1, QueueBytesMax-1); err != nil {
		t.Errorf("at the cap: %v", err)
	}
	if err := fits(0, FrameBytesMax); err != nil {
		t.Errorf("largest frame: %v", err)
	}
	if err := fits(0, FrameBytesMax+1); err != request.ErrTooBig {
		t.Errorf("larger frame: %v", err)
	}
	w.close()
	if _, err := w.add(frame{}, nil); err != request.ErrUnreachable {
		t.Errorf("closed: %v", err)
	}
}

func TestWriteQueueIsCapped(t *testing.T) {
	var q writeQueue
	add := func(n int) error {
		b := request.AppendWrites(nil, slices.Repeat([]*request.Write{{}}, n))
		return q.add(1, frame{payload: b}, b, 256)
	}
	for _, n := range []int{request.BatchMax, request.BatchMax - 1, 1} {
		if err := add(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := add(1); err != request.ErrOverloaded {
		t.Errorf("beyond the cap: %v", err)
	}
	if g := q.takeAll(nil); len(g) != 3 || add(1) != nil {
		t.Errorf("%d groups taken", len(g))
	}
}

func TestRefusalsAreLoggedOfAFewPeersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(config(newMemoryNet(), nodeA))
		if err != nil {
			t.Fatal(err)
		}
		for i := range refusalsMax {
			if !p.mayComplain(ring.NodeID{1, byte(i), byte(i >> 8)}) {
				t.Fatalf("peer %d is not logged", i)
			}
		}
		if p.mayComplain(ring.NodeID{2}) {
			t.Error("one over the cap is logged")
		}
		time.Sleep(refusalEvery)
		if !p.mayComplain(ring.NodeID{2}) {
			t.Error("the next minute is silent")
		}
	})
}

func TestPeersAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(newMemoryNet(), nodeA)
		cfg.Addr = func(ring.NodeID) (string, bool) { return "nowhere", true }
		p := start(t, cfg, &replica{})
		for i := range PeersMax {
			if p.remote(ring.NodeID{1, byte(i), byte(i >> 8)}) == nil {
				t.Fatalf("peer %d has no room", i)
			}
		}
		if p.remote(ring.NodeID{2}) != nil {
			t.Error("one over the cap has room")
		}
		p.Close()
	})
}

func TestControlIsCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		if _, err := p.a.Control(t.Context(), nodeB, 1, make([]byte, ControlBytesMax+1)); err != request.ErrTooBig {
			t.Errorf("one over: %v", err)
		}
		// The answer to the largest request is larger than an answer may be.
		if _, err := p.a.Control(t.Context(), nodeB, 1, make([]byte, ControlBytesMax)); !errors.Is(err, request.ErrTooBig) {
			t.Errorf("answer above the cap: %v", err)
		}
		if b, err := p.a.Control(t.Context(), nodeB, 1, make([]byte, ControlBytesMax-5)); err != nil || len(b) != ControlBytesMax {
			t.Errorf("at the cap: %v", err)
		}
	})
}

// Fetch's answers go over the bulk connection, and may fill a frame.
func TestFetchIsCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		fetch := func(size uint32) ([]byte, error) {
			return p.a.Fetch(t.Context(), nodeB, 3, binary.BigEndian.AppendUint32(nil, size))
		}
		if _, err := p.a.Fetch(t.Context(), nodeB, 3, make([]byte, ControlBytesMax+1)); err != request.ErrTooBig {
			t.Errorf("a question one over: %v", err)
		}
		if b, err := fetch(FetchBytesMax); err != nil || len(b) != FetchBytesMax {
			t.Errorf("%d bytes at the cap, %v", len(b), err)
		}
		if _, err := fetch(FetchBytesMax + 1); !errors.Is(err, request.ErrTooBig) {
			t.Errorf("an answer one over: %v", err)
		}
	})
}

// Whatever a stream holds, and however it is split, the reader gives the same frames and never more than arrived.
func FuzzFrames(f *testing.F) {
	all, _ := someFrames()
	f.Add(all[:200], uint8(3))
	f.Add(appendFrame(nil, frame{kind: kindPing | answerOf, id: 1}, raw("12345678")), uint8(1))
	f.Add(appendFrame(appendFrame(nil, frame{kind: 1}, nil), frame{kind: 2}, nil), uint8(30))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint8(1))
	f.Add([]byte{18, 0, 0, 0, 1, 2, 3}, uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		whole, wholeErr := cut(bytes.NewReader(b), FrameBytesMax)
		split, splitErr := cut(&stepReader{b: b, step: int(step) + 1}, FrameBytesMax)
		if len(whole) != len(split) || wholeErr != splitErr {
			t.Fatalf("%d frames, %v; split %d, %v", len(whole), wholeErr, len(split), splitErr)
		}
		var again []byte
		for i := range whole {
			again = appendFrame(again, split[i], raw(split[i].payload))
		}
		if !bytes.HasPrefix(b, again) {
			t.Fatal("frames do not encode to what they were read from")
		}
	})
}

type stepReader struct {
	b    []byte
	step int
}

func (r *stepReader) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.step)], r.b)
	r.b = r.b[n:]
	return n, nil
}

func FuzzHello(f *testing.F) {
	f.Add(hello{versionMin: 1, versionMax: 1, q: 256, name: "n", auth: []byte("a")}.appendPayload(nil))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHello(b)
		if err == nil && !bytes.HasPrefix(b, h.appendPayload(nil)) {
			t.Fatalf("%+v does not encode to what it was read from", h)
		}
		parsePing(b)
	})
}

// A whole session fed with frames of any content: it answers or closes, and never panics.
func FuzzSession(f *testing.F) {
	f.Add(uint8(kindRead), []byte("12345678\x01\x00\x00\x01k"))
	f.Add(uint8(kindWrite), []byte("12345678\x00"))
	f.Add(uint8(kindHandoff), []byte{})
	f.Add(uint8(kindControl), []byte{1, 2})
	f.Add(uint8(kindPing), []byte("12345678"))
	f.Add(uint8(kindGoodbye), []byte{})
	f.Fuzz(func(t *testing.T, kind uint8, payload []byte) {
		if kind == kindControl && len(payload) > 0 && payload[0] > 1 {
			return // the test's handler panics on purpose, or waits
		}
		p, err := New(config(newMemoryNet(), nodeB))
		if err != nil {
			t.Fatal(err)
		}
		p.handler = &replica{}
		ours, theirs := net.Pipe()
		go io.Copy(io.Discard, ours)
		go func() {
			ours.Write(appendFrame(nil, frame{kind: kind, deadline: time.Hour}, raw(payload)))
			ours.Close()
		}()
		newSession(p, theirs, hello{node: nodeA, class: bulk}, 0).run()
		if p.counts.panics.Load() != 0 {
			t.Fatal("panicked")
		}
	})
}
