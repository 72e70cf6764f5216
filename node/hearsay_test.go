package node

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/holdfastdb/holdfast/ring"
)

// page is a disk with one document.
type page struct {
	document []byte
	puts     int
}

func (p *page) GetMeta(string) ([]byte, error) { return p.document, nil }

func (p *page) PutMeta(_ string, b []byte) error {
	p.document, p.puts = slices.Clone(b), p.puts+1
	return nil
}

// Each step of a changing ring brings every node the reports of all others. What is another's word alone is neither put on disk nor told on:
// its author tells everybody.
func TestOthersReportsAreNeitherKeptNorToldOn(t *testing.T) {
	self, other := ring.NodeID{1}, ring.NodeID{2}
	s := ring.State{
		Cluster: ring.Cluster{ID: ring.NodeID{9}, Name: "test", Q: 2, N: 1, R: 1, W: 1},
		Members: []ring.Member{{ID: self, Name: "a", Status: ring.Active}, {ID: other, Name: "b", Status: ring.Active}},
		Layout: &ring.Layout{Version: 1, Q: 2, N: 1, Since: []uint64{1, 1}, Owners: [][]ring.NodeID{{self}, {other}},
			Members: []ring.NodeID{self, other}},
	}
	disk, changed, news := &page{document: s.Encode()}, 0, 0
	cfg := &Config{Cluster: "test", Logger: slog.New(slog.DiscardHandler)}
	m, err := newMembership(cfg, disk, s.Members[0], func(ring.State) { changed++ })
	if err != nil {
		t.Fatal(err)
	}
	m.news = func() { news++ }
	hear := func(told ring.State) {
		t.Helper()
		if err := m.hear(other, told); err != nil {
			t.Fatal(err)
		}
	}
	said := func(id ring.NodeID, seq uint64) ring.State {
		return m.State().WithReport(ring.Report{Node: id, Seq: seq, Acked: s.Edition()})
	}
	want := func(what string, puts, changes, told int) {
		t.Helper()
		if disk.puts != puts || changed != changes || news != told {
			t.Errorf("%s: written %d times, changed %d, told %d; want %d, %d, %d", what, disk.puts, changed, news, puts, changes, told)
		}
	}
	hear(said(other, 1))
	want("another's report", 0, 1, 0)
	hear(said(other, 1))
	want("the same again", 0, 1, 0)
	if err := m.update(func(ring.State) (ring.State, error) { return said(self, 1), nil }); err != nil {
		t.Fatal(err)
	}
	want("a report of its own", 1, 2, 1)
	kept, err := ring.DecodeState(disk.document)
	if r, _ := kept.Report(other); err != nil || r.Seq != 1 {
		t.Errorf("with it the other's is on disk: %+v, %v", kept.Reports, err)
	}
	next := m.State()
	l := next.Layout
	next.Layout = &ring.Layout{Version: 2, Q: l.Q, N: l.N, Members: l.Members, Owners: l.Owners, Since: l.Since}
	hear(next)
	want("another's layout", 2, 3, 1)
}
