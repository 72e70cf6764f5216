package merkle

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// decoders are all that take bytes from outside: each returns what it decoded, encoded again.
func decoders() map[string]func([]byte) ([]byte, error) {
	return map[string]func([]byte) ([]byte, error){
		"question": func(b []byte) ([]byte, error) {
			q, err := DecodeQuestion(b)
			return q.Append(nil), err
		},
		"answer": func(b []byte) ([]byte, error) {
			a, err := DecodeAnswer(b)
			return a.Append(nil), err
		},
		"partitions": func(b []byte) ([]byte, error) {
			ps, err := DecodePartitions(b)
			return AppendPartitions(nil, ps), err
		},
		"roots": func(b []byte) ([]byte, error) {
			roots, err := DecodeRoots(b, 2)
			return AppendRoots(nil, roots), err
		},
		"leaves": func(b []byte) ([]byte, error) {
			l, rest, err := DecodeLeaves(b)
			if err != nil {
				return nil, err
			}
			return append(l.Append(nil), rest...), nil
		},
		"tree": func(b []byte) ([]byte, error) {
			tree, err := DecodeTree(b)
			if err != nil {
				return nil, err
			}
			return tree.Append(nil), nil
		},
	}
}

// samples are encodings that must be accepted.
func samples() [][]byte {
	rng := rand.New(rand.NewPCG(1, 1))
	_, _, ta, tb := twins(rng, 30, 5, DepthMax, DepthMin)
	q := Question{1, []uint16{0, 3, 15}}
	return [][]byte{q.Append(nil), ta.Answer(q).Append(nil), AppendPartitions(nil, []uint16{0, 1, 255, PartitionsMax - 1}),
		AppendRoots(nil, []Root{{}, {DepthMax, 1}}), Compare(ta, tb).Append(nil), AllLeaves().Append(nil), ta.Append(nil), tb.Append(nil)}
}

func TestEveryEncodingIsDecoded(t *testing.T) {
	all := decoders()
	for i, name := range []string{"question", "answer", "partitions", "roots", "leaves", "leaves", "tree", "tree"} {
		b := samples()[i]
		if again, err := all[name](b); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: %x decodes to %x, %v", name, b, again, err)
		}
		for cut := range len(b) {
			if again, err := all[name](b[:cut]); err == nil && name != "answer" && name != "leaves" && !bytes.Equal(again, b[:cut]) {
				t.Errorf("%s: %d bytes of %d decode to something else", name, cut, len(b))
			}
		}
	}
}

func TestEncodingsBeyondTheCapsAreRefused(t *testing.T) {
	all := decoders()
	for name, c := range map[string]struct {
		decoder string
		b       []byte
	}{
		"a question below the leaves":        {"question", []byte{DepthMax, 1, 0}},
		"a question for nothing":             {"question", []byte{0, 0}},
		"a second root":                      {"question", []byte{0, 1, 1}},
		"a partition beyond the last":        {"partitions", AppendPartitions(nil, []uint16{PartitionsMax})},
		"a number longer than it need be":    {"partitions", []byte{1, 0x80, 0}},
		"a root of a depth that none has":    {"roots", append([]byte{0, DepthMax + 1}, make([]byte, 8)...)},
		"one root of two":                    {"roots", []byte{0}},
		"a set of leaves of no depth":        {"leaves", []byte{0, 0}},
		"a leaf beyond the last":             {"leaves", (&Leaves{depth: DepthMin, set: AllLeaves().set}).Append([]byte{})[:1]},
		"a sum of zero that is not left out": {"answer", append([]byte{1, 0}, make([]byte, 8)...)},
		"a tree with more than it has":       {"tree", append([]byte{DepthMin, 1, 0xff, 0xff, 3}, 1, 0, 0, 0, 0, 0, 0, 0)},
	} {
		if _, err := all[c.decoder](c.b); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	most := Question{DepthMax - 1, make([]uint16, ParentsMax)}
	for i := range most.Parents {
		most.Parents[i] = uint16(i)
	}
	full := New(DepthMax).Answer(most)
	if _, err := DecodeAnswer(full.Append(nil)); err != nil {
		t.Errorf("an answer at the cap: %v", err)
	}
	if _, err := DecodeAnswer(append(full, full[0]).Append(nil)); err == nil {
		t.Error("an answer one over the cap was accepted")
	}
}

func FuzzDecode(f *testing.F) {
	for _, b := range samples() {
		f.Add(b)
	}
	all := decoders()
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, decode := range all {
			if again, err := decode(b); err == nil && !bytes.Equal(again, b) {
				t.Fatalf("%s: %x decodes to %x", name, b, again)
			}
		}
	})
}
