package replica

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

func TestParcelsAndScansAreBounded(t *testing.T) {
	s := openMem(t)
	value := strings.Repeat("v", HandoffBytesMax/4)
	const keys = 20 // more than ScanBytesMax
	for i := range keys {
		write(t, s, owing(setter(s, fmt.Sprintf("{p}%02d", i), value), targetA))
	}
	p, err := s.parcel(t.Context(), targetA, appendTarget(nil, prefixQueue, targetA), s.hints.partitions(targetA))
	if err != nil || len(p.items) != 4 || p.bytes != HandoffBytesMax {
		t.Fatalf("%d items, %d bytes, %v", len(p.items), p.bytes, err)
	}
	entries, next, err := s.Scan(t.Context(), 0, keyOf("{p}").Partition, nil, keys)
	if err != nil || len(entries) != 16 || next == nil {
		t.Fatalf("%d entries, next %q, %v", len(entries), next, err)
	}
	for i := range ScanRowsMax + 1 {
		write(t, s, owing(setter(s, fmt.Sprintf("{q}%04d", i), "v"), targetB))
	}
	entries, _, err = s.Scan(t.Context(), 0, keyOf("{q}").Partition, []byte("{q}"), ScanRowsMax+1)
	if err != nil || len(entries) != ScanRowsMax {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	p, err = s.parcel(t.Context(), targetB, appendTarget(nil, prefixQueue, targetB), s.hints.partitions(targetB))
	if err != nil || len(p.items) != HandoffItemsMax {
		t.Fatalf("%d items, %v", len(p.items), err)
	}
	due, err := s.due(s.cfg.Now().UnixMilli())
	if err != nil || len(due) != 0 {
		t.Fatalf("%d due, %v", len(due), err)
	}
}

func TestDeliveriesAtOnceAreBounded(t *testing.T) {
	table := newHintTable(1, 1)
	for i := range HandoffTargetsMax {
		if !table.begin(ring.NodeID{byte(i)}) {
			t.Fatalf("delivery %d was refused", i+1)
		}
	}
	if table.begin(ring.NodeID{0xff}) {
		t.Fatal("one over the cap")
	}
	table.end(ring.NodeID{0})
	if table.begin(ring.NodeID{1}) || !table.begin(ring.NodeID{0xff}) {
		t.Fatal("one a target, and as many as were ended")
	}
}

func TestHintTableCapsAreExact(t *testing.T) {
	table := newHintTable(10, 2)
	if !table.reserve(10) || table.reserve(1) {
		t.Fatal("bytes")
	}
	table.unreserve(10)
	if !table.reserve(1) {
		t.Fatal("bytes that were given back")
	}
	for range 2 {
		if !table.addMarker(targetA, place{}) {
			t.Fatal("a marker below the cap was refused")
		}
	}
	if table.addMarker(targetA, place{}) || !table.addMarker(targetB, place{}) {
		t.Fatal("the cap is each target's own")
	}
}

func TestMemoryBelowTheLeastIsTakenAsTheLeast(t *testing.T) {
	cfg := memConfig(vfs.NewMem())
	cfg.MemoryBytes = 1
	s := openStore(t, cfg)
	if s.cfg.MemoryBytes != MemoryBytesMin {
		t.Fatalf("%d bytes", s.cfg.MemoryBytes)
	}
	write(t, s, setter(s, "k", strings.Repeat("v", request.ValueBytesMax)))
	if got := read(t, s, "k").Siblings; len(got[0].Value) != request.ValueBytesMax {
		t.Fatal("a value above the memtable's size")
	}
}
