package causal

import "testing"

// benchStates are the usual key: one value, three actors; and a key on which two sides diverged.
func benchStates() (held, delta, diverged State) {
	value := make([]byte, 100)
	for i := range 3 {
		held, _ = store(held, held.Seen, Actor{uint64(i + 1), 1}, []Version{{Stamp: Stamp{Time(2*i + 1), 9}, Value: value}})
	}
	held = held.Prune(oddSettled)
	delta = held.Put(held.Seen, Actor{1, 1}, []Version{{Stamp: Stamp{21, 9}, Value: value}}, oddSettled)
	diverged = held.Put(Context{}, Actor{2, 1}, []Version{{Stamp: Stamp{31, 9}, Value: value}}, oddSettled)
	return held, delta, diverged
}

func BenchmarkSync(b *testing.B) {
	held, delta, diverged := benchStates()
	for name, o := range map[string]State{"equal": held, "descendant": delta, "concurrent": diverged} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Sync(held, o)
			}
		})
	}
}

func BenchmarkPut(b *testing.B) {
	held, delta, _ := benchStates()
	vs := []Version{delta.Siblings[0].Version}
	b.ReportAllocs()
	for b.Loop() {
		held.Put(held.Seen, Actor{1, 1}, vs, oddSettled)
	}
}

func BenchmarkAppend(b *testing.B) {
	held, _, _ := benchStates()
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		held.Append(buf)
	}
}

func BenchmarkDecodeState(b *testing.B) {
	held, _, _ := benchStates()
	buf := held.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = DecodeState(buf)
	}
}

func BenchmarkPeekWinner(b *testing.B) {
	held, _, _ := benchStates()
	buf := held.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = PeekWinner(buf)
	}
}

func BenchmarkDigest(b *testing.B) {
	held, _, _ := benchStates()
	b.ReportAllocs()
	for b.Loop() {
		held.Digest()
	}
}

func BenchmarkToken(b *testing.B) {
	held, _, _ := benchStates()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = DecodeToken(testSecret(), 0, []byte("key"), EncodeToken(testSecret(), 0, []byte("key"), held.Seen))
	}
}
