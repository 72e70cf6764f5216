package node

import (
	"testing"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// The coordinator's word on what a node misses reaches the store: only what minted a dot may be cancelled.
func TestHintsKeepWhatMintedNoDot(t *testing.T) {
	s, err := replica.Open(replica.Config{Dir: t.TempDir(), Partitions: 16, MemoryBytes: replica.MemoryBytesMin})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	key, target := request.Key{Name: []byte("k")}, ring.NodeID{2}
	dot := causal.Dot{Actor: causal.Actor{Boot: 7, Seq: 1}, Counter: 1}
	seen := causal.Context{}.Add(dot)
	w := &request.Write{Key: key, Delta: causal.State{Seen: seen, Siblings: []causal.Sibling{{Dot: dot, Version: causal.Version{Value: []byte("v")}}}}}
	if err := s.Write(t.Context(), []*request.Write{w}); err != nil || w.Err != nil {
		t.Fatal(err, w.Err)
	}
	for _, minted := range []bool{true, false} {
		if err := (hints{s}).Owe(target, key, seen, minted); err != nil {
			t.Fatal(err)
		}
		if err := s.CancelHint(target, key, seen); err != nil {
			t.Fatal(err)
		}
		if stays := s.HintStats().Pending() > 0; stays == minted {
			t.Errorf("minted %v: the hint stays: %v", minted, stays)
		}
	}
}
