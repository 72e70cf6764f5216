package replica

import (
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

func actorOf(t testing.TB, el *request.Write) causal.Actor {
	t.Helper()
	if len(el.Delta.Siblings) != 1 {
		t.Fatalf("delta of %d siblings", len(el.Delta.Siblings))
	}
	return el.Delta.Siblings[0].Dot.Actor
}

func TestActorIsKeptWithItsRow(t *testing.T) {
	s := openMem(t)
	one, two, other := setter(s, "k", "1"), setter(s, "k", "2"), setter(s, "other", "1")
	write(t, s, one, two, other)
	if actorOf(t, one) != actorOf(t, two) || two.Delta.Siblings[0].Dot.Counter != 2 {
		t.Fatalf("dots %v and %v of one row", one.Delta.Siblings[0].Dot, two.Delta.Siblings[0].Dot)
	}
	if actorOf(t, other) == actorOf(t, one) {
		t.Fatal("two keys share an actor")
	}
	if actorOf(t, one).Boot != s.Boot().Bits {
		t.Fatal("the actor is not of this boot")
	}
}

func TestRowFromElsewhereHasNoLocalActor(t *testing.T) {
	s, from := openMem(t), openMem(t)
	write(t, from, setter(from, "k", "theirs"))
	write(t, s, &request.Write{Key: keyOf("k"), Delta: read(t, from, "k")})
	el := setter(s, "k", "ours")
	write(t, s, el)
	if a := actorOf(t, el); a.Boot != s.Boot().Bits || el.Delta.Siblings[0].Dot.Counter != 1 {
		t.Fatalf("minted %v", el.Delta.Siblings[0].Dot)
	}
	wantValues(t, read(t, s, "k"), "ours")
}

func TestNewBootNewBitsAndActors(t *testing.T) {
	s := openMem(t)
	one := setter(s, "k", "1")
	write(t, s, one)
	old := s.Boot()
	s = reopen(t, s)
	if id, clean := s.PreviousBoot(); id != old || !clean {
		t.Fatalf("previous boot %v clean %v, want %v", id, clean, old)
	}
	if b := s.Boot(); b.Bits == old.Bits || b.Number != old.Number+1 || b.Node != old.Node {
		t.Fatalf("boot %v after %v", b, old)
	}
	two := setter(s, "k", "2")
	write(t, s, two)
	if actorOf(t, one) == actorOf(t, two) {
		t.Fatal("an actor outlived its boot")
	}
}

func TestResumedBootKeepsActors(t *testing.T) {
	s := openMem(t)
	one := setter(s, "k", "1")
	write(t, s, one)
	s = reopen(t, s)
	if err := s.ResumeBoot(); err != nil {
		t.Fatal(err)
	}
	two := setter(s, "k", "2")
	write(t, s, two)
	if actorOf(t, one) != actorOf(t, two) || two.Delta.Siblings[0].Dot.Counter != 2 {
		t.Fatalf("dot %v after %v", two.Delta.Siblings[0].Dot, one.Delta.Siblings[0].Dot)
	}
	if err := s.ResumeBoot(); !errors.Is(err, ErrNotResumable) {
		t.Fatalf("second resume: %v", err)
	}
}

func TestUncleanBootIsNotResumed(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openStore(t, memConfig(fs))
	write(t, s, setter(s, "k", "1"))
	after := openStore(t, memConfig(fs.CrashClone(vfs.CrashCloneCfg{})))
	if _, clean := after.PreviousBoot(); clean {
		t.Fatal("a crash looks clean")
	}
	if err := after.ResumeBoot(); !errors.Is(err, ErrNotResumable) {
		t.Fatalf("resume: %v", err)
	}
}

// The clean mark must be gone, durably, before anything else is: else a crash later looks clean.
func TestCleanMarkIsRemovedAtOpen(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openStore(t, memConfig(fs))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openStore(t, memConfig(fs))
	after := openStore(t, memConfig(fs.CrashClone(vfs.CrashCloneCfg{})))
	if _, clean := after.PreviousBoot(); clean {
		t.Fatal("the clean mark survived the open")
	}
	if after.Boot().Number != 3 {
		t.Fatalf("boot number %d, want 3", after.Boot().Number)
	}
}

func TestConfirmBootIsFreshOnce(t *testing.T) {
	s := openMem(t)
	node := ring.NodeID{1}
	ask := func(bits, number uint64) bool {
		fresh, err := s.ConfirmBoot(BootID{node, bits, number})
		if err != nil {
			t.Fatal(err)
		}
		return fresh
	}
	for range 2 {
		if !ask(7, 3) {
			t.Fatal("the same boot may ask again")
		}
	}
	if ask(8, 3) || ask(8, 2) {
		t.Fatal("a copy's boot is fresh")
	}
	if !ask(9, 4) {
		t.Fatal("the next boot is not fresh")
	}
	s = reopen(t, s)
	if ask(8, 3) || !ask(9, 4) {
		t.Fatal("the confirmation was forgotten")
	}
}

// lostWrite returns a store that has forgotten the newest of its own writes, and that write.
func lostWrite(t *testing.T) (*Store, *request.Write) {
	fs := vfs.NewMem()
	s := openStore(t, memConfig(fs))
	write(t, s, setter(s, "k", "kept"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	copied := vfs.NewMem()
	if _, err := vfs.Clone(fs, copied, "node", "node"); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, memConfig(fs))
	if err := s.ResumeBoot(); err != nil {
		t.Fatal(err)
	}
	el := setter(s, "k", "lost")
	write(t, s, el)
	restored := openStore(t, memConfig(copied))
	if err := restored.ResumeBoot(); err != nil { // wrongly: nobody was asked
		t.Fatal(err)
	}
	return restored, el
}

func TestOwnDotThatComesBackRenewsTheBoot(t *testing.T) {
	s, lost := lostWrite(t)
	bits := s.Boot().Bits
	write(t, s, &request.Write{Key: lost.Key, Delta: lost.Delta})
	if s.Boot().Bits == bits || s.Stats().BootsRenewed != 1 {
		t.Fatal("the boot bits were kept")
	}
	wantValues(t, read(t, s, "k"), "lost")
	el := blind(s, "k", "new")
	write(t, s, el)
	if actorOf(t, el).Boot == bits {
		t.Fatal("minted under bits that were lost")
	}
	if got := len(read(t, s, "k").Siblings); got != 2 {
		t.Fatalf("%d siblings, want 2", got)
	}
}

// A client may hold a context of the lost write. Minting the next counter would mint a dot that the context covers.
func TestContextOfALostWriteRenewsTheBoot(t *testing.T) {
	s, lost := lostWrite(t)
	bits := s.Boot().Bits
	mint := &put{seen: &lost.Delta.Seen, versions: []causal.Version{version(s, "new")}}
	el := &request.Write{Key: lost.Key, Mint: mint}
	write(t, s, el)
	if mint.calls != 2 || actorOf(t, el).Boot == bits || actorOf(t, el).Boot != s.Boot().Bits {
		t.Fatalf("minted %v in %d calls", el.Delta.Siblings[0].Dot, mint.calls)
	}
	wantValues(t, read(t, s, "k"), "new")
	wantValues(t, causal.Sync(read(t, s, "k"), lost.Delta), "new")
}

func TestLostDotForbidsResuming(t *testing.T) {
	fs := vfs.NewMem()
	s := openStore(t, memConfig(fs))
	write(t, s, setter(s, "k", "kept"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, memConfig(fs))
	prev, _ := s.PreviousBoot()
	actor := read(t, s, "k").Siblings[0].Dot.Actor
	if actor.Boot != prev.Bits {
		t.Fatal("not of the previous boot")
	}
	delta := causal.State{Seen: causal.Context{}.Add(causal.Dot{Actor: actor, Counter: 2})}
	write(t, s, &request.Write{Key: keyOf("k"), Delta: delta})
	if err := s.ResumeBoot(); !errors.Is(err, ErrNotResumable) {
		t.Fatalf("resume: %v", err)
	}
}

func TestOwnHintedDotIsNoEvidenceOfLoss(t *testing.T) {
	s := openMem(t)
	bits := s.Boot().Bits
	hinted := setter(s, "k", "v")
	hinted.For = ring.NodeID{9}
	write(t, s, hinted)
	write(t, s, &request.Write{Key: keyOf("k"), Delta: hinted.Delta})
	if s.Boot().Bits != bits {
		t.Fatal("the boot was renewed for a write that is not lost")
	}
}

func TestActorLeaseIsExtendedAndNeverReused(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openStore(t, memConfig(fs))
	first, err := s.takeActors(context.Background(), ActorLease)
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.takeActors(context.Background(), ActorLease+1)
	if err != nil || next < first+ActorLease {
		t.Fatalf("took %d after %d: %v", next, first, err)
	}
	after := openStore(t, memConfig(fs.CrashClone(vfs.CrashCloneCfg{})))
	again, err := after.takeActors(context.Background(), 1)
	if err != nil || again < next+ActorLease+1 {
		t.Fatalf("after a crash took %d, used up to %d: %v", again, next+ActorLease, err)
	}
}

func TestClockGoesOnAboveWhatWasStamped(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openStore(t, memConfig(fs))
	last := s.Clock().Now()
	crashed := openStore(t, memConfig(fs.CrashClone(vfs.CrashCloneCfg{})))
	if now := crashed.Clock().Now(); now <= last {
		t.Fatalf("clock at %d after a crash, stamped %d before", now, last)
	}
	s = reopen(t, s)
	if now := s.Clock().Now(); now <= last {
		t.Fatalf("clock at %d after a restart, stamped %d before", now, last)
	}
}

func FuzzBootRecord(f *testing.F) {
	f.Add(bootRecord{1, 2, 3}.append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeBootRecord(b); err == nil && string(r.append(nil)) != string(b) {
			t.Fatalf("%x decodes to %v", b, r)
		}
	})
}
