package coordinator

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// acknowledged returns the document after every member of the layout but some acknowledged it.
func acknowledged(s ring.State, but ...ring.NodeID) ring.State {
	for _, id := range s.Layout.Members {
		if !slices.Contains(but, id) {
			r, _ := s.Report(id)
			s = s.WithReport(ring.Report{Node: id, Seq: r.Seq + 1, Acked: s.Edition(), Held: r.Held})
		}
	}
	return s
}

// step makes the next layout once all have acknowledged and hold what they are to hold.
func step(t *testing.T, s ring.State) ring.State {
	t.Helper()
	s = acknowledged(s)
	for _, c := range s.Layout.Changes {
		r, _ := s.Report(s.Layout.In(c))
		r.Node, r.Seq = s.Layout.In(c), r.Seq+1
		r.Held = append(slices.Clone(r.Held), ring.Held{Partition: c.Partition, Began: c.Began})
		s = s.WithReport(r)
	}
	next, _ := ring.Next(s, s.Layout.Members[0])
	if next.Layout.Version == s.Layout.Version {
		t.Fatal("no step to make")
	}
	return next
}

// leaving returns the house's documents while its key's second primary leaves: both sets written, then the new ones read, then
// alone. The key's partition changes in each.
func leaving(t *testing.T, h *house, key string) (both, read, done ring.State) {
	p := h.nodes[h.ids[0]].View().Partition([]byte(key))
	s, err := h.state.Leave(h.state.Layout.Primaries(p)[1])
	if err != nil {
		t.Fatal(err)
	}
	both = step(t, s)
	for both.Layout.Since[p] != both.Layout.Version {
		both = step(t, both)
	}
	read = step(t, both)
	return both, read, step(t, read)
}

func allUp(ring.NodeID) bool { return true }

func TestPlaceOfAPartitionThatChanges(t *testing.T) {
	inHouse(t, 4, 2, 2, func(t *testing.T, h *house) {
		both, read, done := leaving(t, h, "k")
		self := h.ids[0]
		p := h.nodes[self].View().Partition([]byte("k"))
		old, next := h.state.Layout.Primaries(p), done.Layout.Primaries(p)
		out, in := old[1], both.Layout.In(both.Layout.Changes[slices.IndexFunc(both.Layout.Changes, func(c ring.Change) bool { return c.Partition == p })])
		for _, c := range []struct {
			name    string
			doc     ring.State
			readers []ring.NodeID
			unread  ring.NodeID
			first   []ring.NodeID
			second  []ring.NodeID
		}{
			{"before", h.state, old, ring.NodeID{}, old, nil},
			{"both", both, old, in, old, next},
			{"read", read, next, out, next, old},
			{"done", done, next, ring.NodeID{}, next, nil},
		} {
			pl := NewView(self, c.doc, allUp).Place(p)
			if !slices.Equal(pl.Readers(), c.readers) || !c.unread.IsZero() && pl.Primaries[len(pl.Primaries)-1] != c.unread {
				t.Errorf("%s: reads %v of %v", c.name, pl.Readers(), pl.Primaries)
			}
			for _, id := range h.ids {
				want := sets(0)
				if slices.Contains(c.first, id) {
					want |= firstSet
				}
				if slices.Contains(c.second, id) {
					want |= secondSet
				}
				if pl.ofNode(id) != want {
					t.Errorf("%s: node %d is in sets %b, want %b", c.name, id[0], pl.ofNode(id), want)
				}
			}
		}
	})
}

// A fallback that has become an owner counts for itself: the primary that it stood in for gets a copy of its own.
func TestReplanSendsToThePrimaryWhoseFallbackIsAnOwnerNow(t *testing.T) {
	p, _ := NewPut(placeOf(3, 1, 2), ring.NodeID{1}, 2)
	if legsText(&p) != " 1 2 4-for-3" {
		t.Fatalf("legs%s", legsText(&p))
	}
	p.Replan(placeOf(4, 0), 2)
	if legsText(&p) != " 1 2 4-for-3 3 4" {
		t.Errorf("legs%s", legsText(&p))
	}
}

// A write that is planned by one place and goes on by the next reaches its quorums there, and forgets no primary of it.
func TestReplannedPutForgetsNobody(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	places := append(exchanges(), placeOf(3, 1), placeOf(4, 0), placeOf(2, 2))
	for range 20_000 {
		from, to := places[rng.IntN(len(places))], places[rng.IntN(len(places))]
		w := 1 + rng.IntN(2)
		p, ok := NewPut(from, ring.NodeID{1}, w)
		if !ok {
			continue
		}
		hinted := map[ring.NodeID]bool{}
		answer := func(odds int) {
			for i := 0; i < len(p.Legs()); i++ {
				switch {
				case p.Legs()[i].State != LegOpen || rng.IntN(4) == 0:
				case rng.IntN(odds) == 0:
					if _, owed := p.Fail(i); !owed.IsZero() {
						hinted[owed] = true
					}
					p.Broken(i)
				default:
					p.Ack(i)
				}
			}
		}
		answer(2)
		_, owed := p.Replan(to, w)
		for _, id := range owed {
			hinted[id] = true
		}
		for i, id := range to.Primaries {
			if to.Up[i] && !slices.ContainsFunc(p.Legs(), func(l Leg) bool { return l.primary() == id && !l.mute }) {
				t.Fatalf("nothing is sent that counts for primary %d:%s", id[0], legsText(&p))
			}
		}
		p.Resend(allUp)
		checkPut(t, &p, to, w, hinted)
		answer(3)
		checkPut(t, &p, to, w, hinted)
		for i := range p.Legs() {
			p.Ack(i)
		}
		p.Resend(allUp)
		for i := range p.Legs() {
			p.Ack(i)
		}
		if !p.Enough() {
			t.Fatalf("all answered, not enough:%s", legsText(&p))
		}
	}
}

// learn gives a node a newer document as soon as it finds out that it is behind.
func (n *houseNode) learn(s ring.State) {
	n.Behind = func() { n.SetView(NewView(n.Self, s, allUp)) }
}

func TestWriteByAnOlderLayoutGoesOnByTheNewer(t *testing.T) {
	inHouse(t, 4, 2, 2, func(t *testing.T, h *house) {
		both, read, done := leaving(t, h, "k")
		docs := []ring.State{h.state, both, read, done}
		for i, doc := range docs[1:] {
			first := h.places("k")[0]
			for _, n := range h.nodes {
				n.SetView(NewView(n.Self, doc, allUp))
			}
			first.SetView(NewView(first.Self, docs[i], allUp))
			first.learn(doc)
			began := time.Now()
			mustSet(t, first, "k", "v")
			if took := time.Since(began); took > 4*newsAfter {
				t.Errorf("step %d: a write took %v to find the newer layout", i+1, took)
			}
			time.Sleep(time.Second)
			pl := first.View().Place(first.View().Partition([]byte("k")))
			for _, id := range pl.Primaries {
				wantValues(t, h.nodes[id].store.state("k"), "v")
			}
		}
	})
}

func TestNothingIsReadFromTheIncomingOwner(t *testing.T) {
	inHouse(t, 4, 2, 2, func(t *testing.T, h *house) {
		both, _, _ := leaving(t, h, "k")
		mustSet(t, h.nodes[h.ids[0]], "k", "v")
		time.Sleep(time.Second)
		for _, n := range h.nodes {
			n.SetView(NewView(n.Self, both, allUp))
		}
		pl := h.nodes[h.ids[0]].View().Place(h.nodes[h.ids[0]].View().Partition([]byte("k")))
		in := h.nodes[pl.Primaries[len(pl.Primaries)-1]]
		reads := []*request.Read{{Key: request.Key{Name: []byte("k")}}}
		if in.ServeReads(both.Layout.Version, reads); reads[0].Err == nil {
			t.Error("the incoming owner answered, and holds nothing yet")
		}
		writes := []*request.Write{{Key: request.Key{Name: []byte("k")}}}
		if err := in.ServeWrites(context.Background(), both.Layout.Version, writes); err != nil || writes[0].Err != nil {
			t.Errorf("the incoming owner refused a copy: %v, %v", err, writes[0].Err)
		}
		for _, n := range h.nodes {
			for range 4 { // whoever is near takes turns
				wantValues(t, n.get("k").State, "v")
			}
		}
	})
}

func TestReaderByAnOlderLayoutFindsTheNewer(t *testing.T) {
	inHouse(t, 4, 2, 2, func(t *testing.T, h *house) {
		_, read, done := leaving(t, h, "k")
		mustSet(t, h.nodes[h.ids[0]], "k", "v")
		time.Sleep(time.Second)
		reader := h.places("k")[3] // the incoming owner: it has nothing, and reads what all others have
		for _, n := range h.nodes {
			n.SetView(NewView(n.Self, done, allUp))
		}
		reader.SetView(NewView(reader.Self, read, allUp))
		reader.learn(done)
		for range 4 {
			wantValues(t, reader.get("k").State, "v")
		}
	})
}

func TestWhoIsAheadMayStoreButNotRead(t *testing.T) {
	inHouse(t, 4, 2, 2, func(t *testing.T, h *house) {
		both, _, _ := leaving(t, h, "k")
		in := h.places("k")[3]
		asked := 0
		in.Behind = func() { asked++ }
		writes := []*request.Write{{Key: request.Key{Name: []byte("k")}}}
		if err := in.ServeWrites(context.Background(), both.Layout.Version, writes); err != nil || writes[0].Err != nil {
			t.Errorf("a copy under a newer layout was refused: %v, %v", err, writes[0].Err)
		}
		reads := []*request.Read{{Key: request.Key{Name: []byte("k")}}}
		if in.ServeReads(both.Layout.Version, reads); reads[0].Err == nil {
			t.Error("a node that knows of no role of its own answered a read")
		}
		if asked != 2 {
			t.Errorf("it was told %d times that it is behind, want 2", asked)
		}
	})
}

func TestQuiesceWaitsForWhatBeganByTheOlderLayout(t *testing.T) {
	inHouse(t, 4, 2, 2, func(t *testing.T, h *house) {
		both, _, _ := leaving(t, h, "k")
		n := h.places("k")[1]
		n.store.fsync = 70 * time.Millisecond
		began := time.Now()
		go func() {
			_ = n.ServeWrites(context.Background(), h.state.Layout.Version, []*request.Write{{Key: request.Key{Name: []byte("k")}}})
		}()
		time.Sleep(10 * time.Millisecond)
		n.SetView(NewView(n.Self, both, allUp))
		go func() { // what begins by the new one is not waited for
			_ = n.ServeWrites(context.Background(), both.Layout.Version, []*request.Write{{Key: request.Key{Name: []byte("l")}}})
		}()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		if err := n.Quiesce(ctx); err == nil {
			t.Fatal("quiet while a copy under the older layout waits for the disk")
		}
		if err := n.Quiesce(context.Background()); err != nil || time.Since(began) != n.store.fsync {
			t.Fatalf("quiet after %v, %v; the copy took %v", time.Since(began), err, n.store.fsync)
		}
		if err := n.Quiesce(ctx); err != nil {
			t.Fatalf("quiet already: %v", err)
		}
	})
}

func TestRoundIsWaitedForBeforeTheFirstPlacePasses(t *testing.T) {
	inHouse(t, 4, 2, 2, func(t *testing.T, h *house) {
		both, _, _ := leaving(t, h, "k")
		pl := h.places("k")
		for _, other := range pl[1:3] {
			other.set("read", houseFault{delay: 60 * time.Millisecond})
		}
		began := time.Now()
		go pl[0].incr("k")
		time.Sleep(10 * time.Millisecond)
		pl[0].SetView(NewView(pl[0].Self, both, allUp))
		if err := pl[0].Quiesce(context.Background()); err != nil || time.Since(began) < 60*time.Millisecond {
			t.Fatalf("quiet after %v, %v, over a round that still reads", time.Since(began), err)
		}
	})
}

// Two nodes agree who coordinates only once the layout that says so is acknowledged: until then the new one refuses read-modify-writes, and
// whoever brought one tries again.
func TestReadModifyWritesWaitWhileTheFirstPlacePasses(t *testing.T) {
	inHouse(t, 4, 2, 2, func(t *testing.T, h *house) {
		first := h.places("k")[0]
		p := first.View().Partition([]byte("k"))
		s, err := h.state.Leave(first.Self)
		if err != nil {
			t.Fatal(err)
		}
		for s.Layout.Primaries(p)[0] == first.Self {
			s = step(t, s)
		}
		next := h.nodes[s.Layout.Primaries(p)[0]]
		for _, n := range h.nodes {
			n.SetView(NewView(n.Self, s, allUp))
		}
		if !next.View().Place(p).Handing {
			t.Fatal("the first place passes on, and nobody says so")
		}
		mustSet(t, next, "k", "10")
		began := time.Now()
		time.AfterFunc(100*time.Millisecond, func() {
			for _, n := range h.nodes {
				n.SetView(NewView(n.Self, acknowledged(s), allUp))
			}
		})
		if r := h.nodes[h.ids[0]].incr("k"); r.Err != nil || r.Int != 11 {
			t.Fatalf("INCR: %d, %v", r.Int, r.Err)
		}
		if time.Since(began) < 100*time.Millisecond {
			t.Error("it was carried out before all had acknowledged")
		}
		alone := NewView(next.Self, acknowledged(s, first.Self), func(id ring.NodeID) bool { return id != first.Self })
		if alone.Place(p).Handing {
			t.Error("who is out of reach is waited for")
		}
	})
}

// What waits behind a round while the first place passes on is carried out by the next coordinator, not by the former one beside it.
func TestReadModifyWritesThatWaitMoveWithTheFirstPlace(t *testing.T) {
	inHouse(t, 4, 2, 2, func(t *testing.T, h *house) {
		first := h.places("k")[0]
		p := first.View().Partition([]byte("k"))
		s, err := h.state.Leave(first.Self)
		if err != nil {
			t.Fatal(err)
		}
		for s.Layout.Primaries(p)[0] == first.Self {
			s = step(t, s)
		}
		next := h.nodes[s.Layout.Primaries(p)[0]]
		for _, n := range h.nodes {
			n.set("read", houseFault{delay: 20 * time.Millisecond})
		}
		const waiting = 20
		results := make(chan request.Result, waiting+1)
		for range waiting {
			go func() { results <- first.incr("k") }()
			time.Sleep(time.Millisecond)
		}
		for _, n := range h.nodes {
			n.SetView(NewView(n.Self, s, allUp))
		}
		if err := first.Quiesce(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, n := range h.nodes {
			n.SetView(NewView(n.Self, acknowledged(s), allUp))
		}
		results <- next.incr("k")
		seen := map[int64]bool{}
		for range cap(results) {
			r := <-results
			if r.Err != nil || seen[r.Int] {
				t.Errorf("INCR answered %d, %v; given out before: %v", r.Int, r.Err, seen[r.Int])
			}
			seen[r.Int] = true
		}
	})
}

// Of a write that both sets took, one primary of each apart, two primaries hold it, and only one of those that are read.
func TestPrimariesOfBothSetsAreNotCountedTogether(t *testing.T) {
	for _, pl := range exchanges() {
		if len(pl.Primaries) != len(pl.Readers())+1 || pl.apart < 0 {
			continue
		}
		p, _ := NewPut(pl, pl.Primaries[0], 2)
		apart := []int{pl.apart, len(pl.Primaries) - 1} // of one set each
		for _, leg := range apart {
			if p.Legs()[leg].State == LegOpen && p.Legs()[leg].For.IsZero() {
				p.Ack(leg)
			}
		}
		if n := p.Primaries(); n > 1 {
			t.Errorf("%v: %d primaries, want one of each set", pl.Primaries, n)
		}
	}
}

// What is stored for a partition outside any request is within the layout too: not after the partition has gone, and Quiesce waits for it.
func TestNothingIsStoredForAPartitionThatHasGone(t *testing.T) {
	inHouse(t, 4, 2, 2, func(t *testing.T, h *house) {
		_, read, done := leaving(t, h, "k")
		p := h.nodes[h.ids[0]].View().Partition([]byte("k"))
		former := h.state.Layout.Primaries(p)[1]
		n := h.nodes[former]
		n.SetView(NewView(former, read, allUp))
		began := time.Now()
		held := make(chan error, 1)
		go func() {
			held <- n.Holding(p, func() error { time.Sleep(time.Second); return nil })
		}()
		synctest.Wait()
		n.SetView(NewView(former, done, allUp))
		if err := n.Quiesce(context.Background()); err != nil || time.Since(began) != time.Second || <-held != nil {
			t.Errorf("quiet after %v, %v; want it to wait for what was being stored", time.Since(began), err)
		}
		if err := n.Holding(p, func() error { t.Error("stored"); return nil }); !errors.Is(err, request.ErrNotOwner) {
			t.Errorf("once it has gone: %v", err)
		}
	})
}
