package replica

import (
	"context"
	"fmt"
	"testing"

	"github.com/holdfastdb/holdfast/request"
)

const benchKeys = 1 << 14

func benchStore(b *testing.B, level SyncLevel) *Store {
	b.Helper()
	return openStore(b, Config{Dir: b.TempDir(), Partitions: 256, Sync: level, MemoryBytes: 256 << 20})
}

func benchWrites(s *Store, at, batch int) []*request.Write {
	els := make([]*request.Write, batch)
	for i := range els {
		els[i] = setter(s, fmt.Sprintf("key-%08d", (at*batch+i*7919)%benchKeys), "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
	}
	return els
}

// BenchmarkRead is per batch: divide by its size for the cost of a key.
func BenchmarkRead(b *testing.B) {
	s := benchStore(b, SyncOS)
	for i := range benchKeys / 16 {
		write(b, s, benchWrites(s, i, 16)...)
	}
	for _, batch := range []int{1, 16} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			reads := make([]*request.Read, batch)
			for i := range reads {
				reads[i] = &request.Read{Key: keyOf(fmt.Sprintf("key-%08d", i*7919%benchKeys))}
			}
			b.ReportAllocs()
			for b.Loop() {
				s.Read(reads)
			}
		})
	}
}

// BenchmarkWrite is per batch, and overwrites.
func BenchmarkWrite(b *testing.B) {
	for _, level := range []SyncLevel{SyncOS, SyncAlways, SyncNone} {
		for _, batch := range []int{1, 16} {
			b.Run(fmt.Sprintf("%v/%d", level, batch), func(b *testing.B) {
				s := benchStore(b, level)
				sets := make([][]*request.Write, 64)
				for i := range sets {
					sets[i] = benchWrites(s, i, batch)
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if err := s.Write(context.Background(), sets[i%len(sets)]); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
