package coordinator

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// inHouse runs a test in a bubble of virtual time with a cluster of its own.
func inHouse(t *testing.T, nodes, r, w int, test func(t *testing.T, h *house)) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nodes, r, w)
		defer h.close()
		test(t, h)
	})
}

func mustSet(t *testing.T, n *houseNode, key, value string) {
	t.Helper()
	if err := n.set1(key, value); err != nil {
		t.Fatalf("SET %s %s: %v", key, value, err)
	}
}

func wantValues(t *testing.T, s causal.State, want ...string) {
	t.Helper()
	got := values(s)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("values %q, want %q", got, want)
	}
}

func TestAnyNodeTakesAnyCommand(t *testing.T) {
	inHouse(t, 5, 2, 2, func(t *testing.T, h *house) {
		for i, id := range h.ids {
			key := "key" + strconv.Itoa(i)
			mustSet(t, h.nodes[id], key, "v")
			for _, other := range h.ids {
				wantValues(t, h.nodes[other].get(key).State, "v")
			}
		}
	})
}

func TestPipelineIsOneCommitAndOneFrameAPeer(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		n := h.nodes[h.ids[0]]
		var ops []*request.Op
		for i := 0; len(ops) < 16; i++ {
			key := "k" + strconv.Itoa(i)
			if h.places(key)[0] == n {
				ops = append(ops, &request.Op{Verb: request.Put, Key: request.Key{Name: []byte(key)}, Value: []byte("v")})
			}
		}
		n.Do(context.Background(), ops)
		for _, op := range ops {
			if op.Result.Err != nil {
				t.Fatal(op.Result.Err)
			}
		}
		if n.store.commits != 1 || h.count("write") != 2 {
			t.Fatalf("%d commits and %d frames for a pipeline of 16, want 1 and 2", n.store.commits, h.count("write"))
		}
	})
}

func TestDeadPrimaryIsOwedAHintInTheSameCommit(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		h.up(pl[0].Self, pl[1].Self)
		mustSet(t, pl[0], "k", "v")
		if !pl[0].store.owes(pl[2].Self, "k") || pl[0].store.commits != 1 {
			t.Fatalf("owes %v after %d commits, want a marker in the write's own commit", pl[0].store.owes(pl[2].Self, "k"), pl[0].store.commits)
		}
	})
}

func TestDeadCoordinatorIsPassedOver(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		h.up(pl[1].Self, pl[2].Self)
		mustSet(t, pl[2], "k", "v")
		if !pl[1].store.owes(pl[0].Self, "k") {
			t.Fatal("the second primary coordinated, but owes the first nothing")
		}
	})
}

func TestFallbackStandsInForADeadPrimary(t *testing.T) {
	inHouse(t, 5, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		h.up(pl[0].Self, pl[3].Self, pl[4].Self) // two of three primaries are dead
		mustSet(t, pl[0], "k", "v")
		time.Sleep(time.Second)
		if !pl[3].store.owes(pl[1].Self, "k") || !pl[4].store.owes(pl[2].Self, "k") {
			t.Fatal("the fallbacks hold no hint for the dead primaries")
		}
		wantValues(t, pl[4].get("k").State, "v") // fallbacks answer from their hints
	})
}

func TestFallbacksCoordinateWhenNoPrimaryIsInReach(t *testing.T) {
	inHouse(t, 5, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		h.up(pl[3].Self, pl[4].Self)
		mustSet(t, pl[4], "k", "v")
		time.Sleep(time.Second)
		for _, dead := range pl[:3] {
			if !pl[3].store.owes(dead.Self, "k") && !pl[4].store.owes(dead.Self, "k") {
				t.Fatalf("nobody holds a hint for primary %v", dead.Self)
			}
		}
		wantValues(t, pl[3].get("k").State, "v")
		if err := pl[3].setnx("k", "x").Err; !errors.Is(err, request.ErrNoQuorum) {
			t.Fatalf("SETNX by fallbacks alone: %v, want NOQUORUM: their emptiness must not grant a lock", err)
		}
	})
}

func TestLastFallbackHoldsHintsForAllInOneCommit(t *testing.T) {
	inHouse(t, 4, 1, 1, func(t *testing.T, h *house) {
		pl := h.places("k")
		last := pl[3]
		h.up(last.Self)
		mustSet(t, last, "k", "v")
		for _, dead := range pl[:3] {
			if _, held := last.store.hints[dead.Self]; !held || last.store.commits != 1 {
				t.Fatalf("after %d commits no data for %v, want it in the write's own: a full hint store must refuse before minting", last.store.commits, dead.Self)
			}
		}
	})
}

func TestSlowPrimaryIsReplacedWithinTheRequest(t *testing.T) {
	inHouse(t, 5, 2, 3, func(t *testing.T, h *house) { // W=3: the slow one would decide
		pl := h.places("k")
		pl[2].set("write", houseFault{unanswered: true})
		began := time.Now()
		mustSet(t, pl[0], "k", "v")
		if d := time.Since(began); d > 2*copyPatience {
			t.Fatalf("answered after %v, want a fallback after %v", d, copyPatience)
		}
		if !pl[3].store.owes(pl[2].Self, "k") {
			t.Fatal("the fallback holds no hint for the slow primary")
		}
	})
}

func TestLateAcknowledgementCancelsTheHint(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		pl[2].set("write", houseFault{delay: 3 * copyPatience})
		mustSet(t, pl[0], "k", "v")
		time.Sleep(2 * copyPatience)
		if !pl[0].store.owes(pl[2].Self, "k") {
			t.Fatal("no hint while the third primary has not answered")
		}
		time.Sleep(4 * copyPatience)
		if pl[0].store.owes(pl[2].Self, "k") {
			t.Fatal("the hint stays although the third primary acknowledged")
		}
	})
}

// A delete's marker is delivered, not cancelled: it mints no dot by which an acknowledgement would tell that its target has it.
func TestADeleteIsOwedAsWhatMintedNoDot(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		mustSet(t, pl[0], "k", "v")
		pl[2].set("write", houseFault{delay: 3 * copyPatience})
		if r := pl[0].del("k"); r.Err != nil {
			t.Fatal(r.Err)
		}
		time.Sleep(6 * copyPatience)
		if !pl[0].store.owes(pl[2].Self, "k") {
			t.Fatal("an acknowledgement has cancelled a delete's hint")
		}
	})
}

func TestCloseStoresTheHintsOfCopiesOnTheirWay(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		pl[2].set("write", houseFault{unanswered: true})
		mustSet(t, pl[0], "k", "v")
		pl[0].Close()
		if !pl[0].store.owes(pl[2].Self, "k") {
			t.Fatal("closed while a copy was on its way, and nothing is owed to the node that missed it")
		}
	})
}

func TestCloseOverTheOwnFsyncOwesTheCopiesThatNeverLeft(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		pl[0].store.fsync = copyPatience
		for _, other := range pl[1:] {
			other.set("write", houseFault{refused: request.ErrClosed}) // the connections are closed first
		}
		go pl[0].set1("k", "v")
		time.Sleep(pl[0].store.fsync / 2)
		pl[0].Close()
		for _, other := range pl[1:] {
			if !pl[0].store.owes(other.Self, "k") {
				t.Fatal("closed while the own copy waited for the disk, and nothing is owed to the others")
			}
		}
	})
}

func TestNoQuorumIsFoundBeforeMinting(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		h.up(pl[0].Self)
		for name, err := range map[string]error{"SET": pl[0].set1("k", "v"), "GET": pl[0].get("k").Err, "INCR": pl[0].incr("k").Err, "DEL": pl[0].del("k").Err} {
			if !errors.Is(err, request.ErrNoQuorum) {
				t.Errorf("%s on a node alone: %v, want NOQUORUM", name, err)
			}
		}
		if pl[0].store.commits != 0 {
			t.Error("something was written")
		}
	})
}

func TestMintedButNotHeldByWIsMaybe(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		for _, n := range pl[1:] {
			n.set("write", houseFault{refused: request.ErrUnreachable})
		}
		if err := pl[0].set1("k", "v"); !errors.Is(err, request.ErrMaybe) {
			t.Fatalf("SET: %v, want MAYBE", err)
		}
		time.Sleep(time.Second)
		for _, n := range pl[1:] {
			if !pl[0].store.owes(n.Self, "k") {
				t.Error("what is perhaps written is not owed to the primaries that missed it")
			}
		}
	})
}

func TestLostReplyIsRetriedUnderItsStamp(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		pl[0].set("coordinate", houseFault{loseReply: true})
		mustSet(t, pl[2], "k", "v")
		time.Sleep(time.Second)
		s := pl[2].get("k").State
		stamps := map[causal.Stamp]bool{}
		for _, x := range s.Siblings {
			stamps[x.Stamp] = true
			if string(x.Value) != "v" {
				t.Fatalf("value %q", x.Value)
			}
		}
		if len(stamps) != 1 {
			t.Fatalf("%d stamps for one SET, want 1", len(stamps))
		}
	})
}

func TestTwinOfADeletedWriteDiesWhenItTurnsUp(t *testing.T) {
	inHouse(t, 3, 1, 1, func(t *testing.T, h *house) {
		pl := h.places("k")
		// The first attempt reaches pl[0] alone, and its reply is lost; the retry is minted by pl[1] alone.
		pl[0].set("coordinate", houseFault{loseReply: true})
		for _, n := range pl {
			n.set("write", houseFault{refused: request.ErrUnreachable})
		}
		mustSet(t, pl[2], "k", "v")
		wantValues(t, pl[0].store.state("k"), "v")
		wantValues(t, pl[1].store.state("k"), "v")
		// A client that saw the twin at pl[0] deletes it; it never saw the other.
		seen := pl[0].store.state("k").Context(pl[0].Settlement.Settled)
		pl[0].do(&request.Op{Verb: request.DeleteSeen, Key: request.Key{Name: []byte("k")}, Seen: seen})
		healed := causal.Sync(pl[0].store.state("k"), pl[1].store.state("k"))
		wantValues(t, healed)
	})
}

func TestIncrementIsNeverRunTwice(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		pl[0].set("coordinate", houseFault{loseReply: true})
		if err := pl[2].incr("k").Err; !errors.Is(err, request.ErrMaybe) {
			t.Fatalf("INCR with its reply lost: %v, want MAYBE", err)
		}
		pl[0].set("coordinate", houseFault{})
		if r := pl[2].incr("k"); r.Err != nil || r.Int != 2 {
			t.Fatalf("next INCR: %d, %v, want 2", r.Int, r.Err)
		}
	})
}

func TestSlowIncrementIsWaitedForAndASlowSetIsNot(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		pl[0].set("coordinate", houseFault{delay: 2 * attemptPatience})
		if r := pl[2].incr("k"); r.Err != nil || r.Int != 1 {
			t.Fatalf("INCR: %d, %v, want 1: it cannot be run again, so giving up early wins nothing", r.Int, r.Err)
		}
		began := time.Now()
		mustSet(t, pl[2], "k", "v")
		if d := time.Since(began); d > attemptPatience+copyPatience {
			t.Fatalf("SET was answered after %v, want another coordinator after %v", d, attemptPatience)
		}
	})
}

// Who is too slow to mint says so, and the next does it; the last that can be asked does it however slow it is.
func TestSlowCoordinatorsLeaveASetToTheNextAndTheLastCarriesItOut(t *testing.T) {
	inHouse(t, 5, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		for _, n := range pl[:attemptsMax] {
			n.set("coordinate", houseFault{delay: 2 * mintPatience})
		}
		began := time.Now()
		mustSet(t, pl[4], "k", "v")
		if d := time.Since(began); d < attemptsMax*2*mintPatience || d > attemptsMax*2*mintPatience+copyPatience/2 {
			t.Errorf("answered after %v, want after %d coordinators that take %v each", d, attemptsMax, 2*mintPatience)
		}
		if n := h.count("coordinate"); n != attemptsMax {
			t.Errorf("%d attempts", n)
		}
		s := pl[4].get("k").State
		wantValues(t, s, "v")
		if len(s.Siblings) != 1 || s.Siblings[0].Dot.Counter != 1 {
			t.Errorf("%+v: minted more than once", s)
		}
	})
}

// A coordinator that is far away is not slow.
func TestTermsAllowForTheWay(t *testing.T) {
	inHouse(t, 4, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		h.rtt.Store(int64(mintPatience))
		pl[0].set("coordinate", houseFault{delay: 2 * mintPatience})
		mustSet(t, pl[3], "k", "v")
		if n := h.count("coordinate"); n != 1 {
			t.Errorf("%d attempts", n)
		}
	})
}

// What a DEL reads is not waited for longer than it may be minted.
func TestADeleteThatReadsTooLongIsLeftToTheNext(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		mustSet(t, pl[0], "k", "v")
		for _, n := range pl[1:] {
			n.set("read", houseFault{unanswered: true})
		}
		began := time.Now()
		if r := pl[2].del("k"); r.Err != nil || r.Int != 1 {
			t.Fatalf("DEL answered %+v", r)
		}
		if d := time.Since(began); d < readMintPatience || d > readMintPatience+copyPatience/2 {
			t.Errorf("answered after %v, want soon after %v", d, readMintPatience)
		}
	})
}

func TestRefusalAfterALostReplyIsMaybe(t *testing.T) {
	for _, refusal := range []error{request.ErrOverloaded, request.ErrTooManySiblings, request.ErrDiskLow} {
		inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
			pl := h.places("k")
			pl[0].set("coordinate", houseFault{loseReply: true})
			pl[1].store.refuseAll(refusal)
			if errors.Is(refusal, request.ErrOverloaded) {
				pl[1].set("coordinate", houseFault{refused: refusal})
			}
			r := pl[2].putSeen("k", "v", causal.Context{})
			pl[2].store.refuseAll(nil)
			if errors.Is(r.Err, refusal) {
				t.Fatalf("%v, though the first attempt was executed and its reply lost; want success or MAYBE", r.Err)
			}
		})
	}
}

func TestIncrementRefusedUnexecutedGoesToTheNext(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		pl[0].set("coordinate", houseFault{refused: request.ErrUnreachable})
		if r := pl[2].incr("k"); r.Err != nil || r.Int != 1 {
			t.Fatalf("INCR: %d, %v, want 1", r.Int, r.Err)
		}
	})
}

func TestIncrementsFromEveryNodeAddUp(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		const clients, each = 12, 20
		var wg sync.WaitGroup
		var mu sync.Mutex
		seen := map[int64]int{}
		for c := range clients {
			wg.Go(func() {
				n := h.nodes[h.ids[c%3]]
				for range each {
					r := n.incr("k")
					if r.Err != nil {
						t.Error(r.Err)
					}
					mu.Lock()
					seen[r.Int]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		wantValues(t, h.nodes[h.ids[0]].get("k").State, strconv.Itoa(clients*each))
		if len(seen) != clients*each {
			t.Fatalf("%d distinct answers of %d", len(seen), clients*each)
		}
		if rounds := h.count("read"); rounds > 3*clients*each/4 {
			t.Errorf("%d reads for %d increments: the queue does not share rounds", rounds, clients*each)
		}
	})
}

func TestOneOfManySetnxWins(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for c := range 10 {
			wg.Go(func() {
				if h.nodes[h.ids[c%3]].setnx("lock", strconv.Itoa(c)).Wrote {
					mu.Lock()
					won++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if won != 1 {
			t.Fatalf("%d clients hold the lock", won)
		}
	})
}

func TestSetDuringARoundIsNotLost(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		mustSet(t, pl[0], "k", "1")
		for _, n := range pl[1:] {
			n.set("read", houseFault{delay: 5 * time.Millisecond})
		}
		var wg sync.WaitGroup
		var sum request.Result
		wg.Go(func() { sum = pl[0].incr("k") })
		time.Sleep(2 * time.Millisecond) // the round's read is on its way
		mustSet(t, pl[0], "k", "100")
		wg.Wait()
		if sum.Int != 101 {
			t.Fatalf("INCR answered %d, want 101: it was minted over the SET", sum.Int)
		}
		wantValues(t, pl[2].get("k").State, "101")
	})
}

func TestSetThatIsOutstampedElsewhereFoldsItIn(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		// A concurrent value with a later stamp that only pl[1] and pl[2] hold.
		later := causal.Stamp{Time: causal.TimeOf(time.Now().Add(time.Minute).UnixMilli(), 0), Node: 7}
		d := causal.State{}.Put(causal.Context{}, causal.Actor{Boot: 7, Seq: 1}, []causal.Version{{Stamp: later, Value: []byte("later")}}, nil)
		for _, n := range pl[1:] {
			n.store.data[queueID(request.Key{Name: []byte("k")})] = d
		}
		mustSet(t, pl[0], "k", "mine")
		wantValues(t, pl[2].get("k").State, "mine")
		if pl[0].Counters.Folds.Load() != 1 {
			t.Fatal("nothing was folded in")
		}
	})
}

// Its asker has tried another coordinator by then, and its client has been answered and may have written again: that later
// value is what outstamps the first, and must stay.
func TestSetThatOutlivesItsAttemptFoldsNothingIn(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		for _, n := range pl[1:] {
			n.set("write", houseFault{delay: 2 * attemptPatience}) // of the copies that pl[0] sends
		}
		mustSet(t, pl[1], "k", "first") // retried at pl[1]
		for _, n := range pl[1:] {
			n.set("write", houseFault{})
		}
		h.up(pl[1].View().Self, pl[2].View().Self)
		mustSet(t, pl[1], "k", "second")
		time.Sleep(3 * attemptPatience) // pl[0] has its acknowledgements, and with them the second value
		h.up(h.ids...)
		for _, n := range pl {
			wantValues(t, n.get("k").State, "second")
		}
		if folds := pl[0].Counters.Folds.Load(); folds != 0 {
			t.Errorf("%d folds", folds)
		}
	})
}

// The connection to the first coordinator breaks with the attempt unread. It is read just before its term is over, and executed over
// whatever is there by then: the client must not have been answered by the second attempt yet, nor have written again. Or it is read
// later, while its client may have been answered: then it is not executed.
func TestAttemptThatIsLateRemovesNothingWrittenAfterTheAnswer(t *testing.T) {
	set := func(n *houseNode) error { return n.set1("k", "first") }
	del := func(n *houseNode) error { return n.del("k").Err }
	for name, c := range map[string]struct {
		do   func(n *houseNode) error
		term time.Duration
		read time.Duration // after the connection broke
		want []string
	}{
		"SET in its term":    {set, mintPatience, mintPatience - 5*time.Millisecond, []string{"next"}},
		"DEL in its term":    {del, readMintPatience, readMintPatience - 5*time.Millisecond, []string{"next"}},
		"SET after its term": {set, mintPatience, attemptPatience - 20*time.Millisecond, []string{"first", "next"}}, // what the second attempt wrote elsewhere
		"DEL after its term": {del, readMintPatience, attemptPatience - 20*time.Millisecond, []string{"next"}},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
				pl := h.places("k")
				pl[0].set("coordinate", houseFault{breaks: true, delay: c.read})
				pl[0].set("write", houseFault{refused: request.ErrDiskLow}) // it does not learn of the second attempt
				began := time.Now()
				if err := c.do(pl[1]); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(began); d < c.term || d > c.term+copyPatience/2 {
					t.Fatalf("answered after %v, want when the lost attempt's term of %v is over", d, c.term)
				}
				pl[0].set("coordinate", houseFault{})
				pl[0].set("write", houseFault{})
				mustSet(t, pl[0], "k", "next")
				time.Sleep(2 * attemptPatience)
				for _, n := range pl {
					wantValues(t, n.get("k").State, c.want...)
				}
			})
		})
	}
}

// What waits for a lost attempt to be over is answered truly when the budget ends first.
func TestAnswerThatWaitsForALostAttemptIsGivenAtTheDeadline(t *testing.T) {
	b := newBatch(&Coordinator{}, &View{}, []*request.Op{{Verb: request.Put}}, time.Now())
	a := &attempt{op: b.ops[0], lost: true, quiet: time.Now().Add(time.Hour)}
	b.conclude(a, request.Result{Int: 7})
	if b.wait(t.Context()); b.ops[0].Result.Int != 7 || b.ops[0].Result.Err != nil {
		t.Fatalf("%+v", b.ops[0].Result)
	}
}

// The first coordinator was cut off together with a fallback, is back, and does not see the others yet, though they see it. A DEL that
// comes to it reads a quorum of those two, which know nothing. docs/consistency.md says so.
func TestADeleteCarriedOutByWhoDoesNotSeeTheOthersYetMeetsNothing(t *testing.T) {
	inHouse(t, 4, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		id := func(n *houseNode) ring.NodeID { return n.View().Self }
		h.up(id(pl[1]), id(pl[2]))
		h.sees(pl[0], id(pl[3]))
		mustSet(t, pl[1], "k", "v")
		h.sees(pl[1], h.ids...)
		if r := pl[1].del("k"); r.Err != nil || r.Int != 0 {
			t.Fatalf("DEL answered %+v, want 0", r)
		}
		wantValues(t, pl[1].get("k").State, "v")
		h.up(h.ids...)
		if r := pl[1].del("k"); r.Err != nil || r.Int != 1 {
			t.Fatalf("after healing DEL answered %+v, want 1", r)
		}
		wantValues(t, pl[1].get("k").State)
	})
}

func TestBlindPutsStayBesideEachOther(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		n := h.nodes[h.ids[1]]
		n.putSeen("k", "x", causal.Context{})
		r := n.putSeen("k", "y", causal.Context{})
		wantValues(t, n.get("k").State, "x", "y")
		if r = n.putSeen("k", "z", r.Seen); r.Err != nil {
			t.Fatal(r.Err)
		}
		wantValues(t, n.get("k").State, "x", "z") // y was seen, x was not
	})
}

func TestReadRepairsStalePrimaries(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		pl[2].set("write", houseFault{refused: request.ErrUnreachable})
		mustSet(t, pl[0], "k", "v")
		pl[2].set("write", houseFault{})
		wantValues(t, pl[2].get("k").State, "v") // its own empty copy and one other
		time.Sleep(time.Second)
		wantValues(t, pl[2].store.state("k"), "v")
	})
}

func TestSlowReplicaIsHedged(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		mustSet(t, pl[0], "k", "v")
		for _, slow := range []*houseNode{pl[1], pl[2]} {
			slow.set("read", houseFault{unanswered: true})
			began := time.Now()
			for range 4 {
				wantValues(t, pl[0].get("k").State, "v")
			}
			if d := time.Since(began); d > 4*2*hedgeAfter {
				t.Fatalf("4 reads took %v with one replica silent", d)
			}
			slow.set("read", houseFault{})
		}
	})
}

func TestDeleteCoversWhatItsReadShows(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		n := h.nodes[h.ids[2]]
		n.putSeen("k", "x", causal.Context{})
		n.putSeen("k", "y", causal.Context{})
		if r := n.del("k"); r.Err != nil || r.Int != 1 {
			t.Fatalf("DEL: %d, %v", r.Int, r.Err)
		}
		time.Sleep(time.Second)
		for _, node := range h.nodes {
			wantValues(t, node.store.state("k"))
		}
		if r := n.del("k"); r.Err != nil || r.Int != 0 {
			t.Fatalf("second DEL: %d, %v", r.Int, r.Err)
		}
	})
}

func TestRefusedByAFullDiskGoesToAnotherCoordinator(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		pl[0].store.refuseAll(request.ErrDiskLow)
		mustSet(t, pl[1], "k", "v")
		wantValues(t, pl[2].get("k").State, "v")
	})
}

func TestStaleLayoutIsRefusedUnexecuted(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		n := h.nodes[h.ids[0]]
		reads := []*request.Read{{Key: request.Key{Name: []byte("k")}}}
		n.ServeReads(h.state.Layout.Version-1, reads)
		if !errors.Is(reads[0].Err, request.ErrStaleLayout) {
			t.Fatalf("%v, want a refusal: the sender's layout is older", reads[0].Err)
		}
	})
}

func TestEveryOperationIsAnsweredByTheDeadline(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		for _, n := range pl {
			for _, kind := range []string{"read", "write", "coordinate"} {
				n.set(kind, houseFault{unanswered: true})
			}
		}
		for name, op := range map[string]func() error{
			"SET": func() error { return pl[1].set1("k", "v") }, "GET": func() error { return pl[1].get("k").Err },
			"INCR": func() error { return pl[0].incr("k").Err }, "DEL": func() error { return pl[1].del("k").Err },
		} {
			began := time.Now()
			if err := op(); err == nil {
				t.Errorf("%s succeeded with every other node silent", name)
			}
			if d := time.Since(began); d > BudgetDefault+10*time.Millisecond {
				t.Errorf("%s was answered after %v", name, d)
			}
		}
	})
}

func TestOverloadIsRefusedUnexecuted(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		n := h.nodes[h.ids[0]]
		n.inFlight.ops.Store(opsInFlightMax)
		if err := n.set1("k", "v"); !errors.Is(err, request.ErrOverloaded) {
			t.Fatalf("one over the cap: %v, want TRYAGAIN", err)
		}
		if ops, bytes := n.inFlight.ops.Load(), n.inFlight.bytes.Load(); ops != opsInFlightMax || bytes != 0 {
			t.Fatalf("%d operations and %d bytes counted after a refusal, want %d and 0", ops, bytes, opsInFlightMax)
		}
		n.inFlight.ops.Store(opsInFlightMax - 1)
		if err := n.set1("k", "v"); err != nil {
			t.Fatalf("at the cap: %v", err)
		}
		n.inFlight.ops.Store(0)
	})
}

func TestWaitCountsHolders(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		pl[2].set("write", houseFault{refused: request.ErrUnreachable})
		r := pl[0].putSeen("k", "v", causal.Context{})
		if n, err := pl[1].Holders(context.Background(), request.Key{Name: []byte("k")}, r.Seen); err != nil || n != 2 {
			t.Fatalf("%d holders, %v, want 2", n, err)
		}
	})
}

func TestFullQueueOfDuesShrinksHintsToPartitionMarks(t *testing.T) {
	var d dues
	d.init()
	var counters Counters
	for i := range duesMax {
		d.add(due{kind: dueMarker, target: ring.NodeID{1}, key: request.Key{Partition: ring.Partition(i % 8)}}, &counters)
	}
	d.add(due{kind: dueMarker, target: ring.NodeID{2}, key: request.Key{Partition: 5}}, &counters)
	d.add(due{kind: dueRepair, target: ring.NodeID{2}}, &counters)
	if _, owed := d.take(); len(owed) != 1 || owed[0] != (owedPartition{ring.NodeID{2}, 0, 5}) {
		t.Fatalf("owed %v, want the mark for the hint that found the queue full", owed)
	}
	if counters.DuesDropped.Load() != 1 {
		t.Fatal("the repair should have been dropped and counted")
	}
}

func TestRepairThatWaitedTooLongIsNotSent(t *testing.T) {
	now := time.Now()
	var r repairing
	for _, left := range []time.Duration{3 * time.Second, 0, -time.Second, time.Second, 2 * time.Second} {
		r.add(due{key: request.Key{Name: []byte(left.String())}, until: now.Add(left)}, now)
	}
	if len(r.writes) != 3 || r.until != now.Add(time.Second) {
		t.Fatalf("%d repairs until %v, want 3 for a second", len(r.writes), r.until.Sub(now))
	}
}

func TestDuesAreKnownUntilTheyAreDone(t *testing.T) {
	var d dues
	d.init()
	var counters Counters
	d.add(due{kind: dueRepair, key: request.Key{Partition: 1}}, &counters)
	d.add(due{kind: dueData, key: request.Key{Partition: 2}}, &counters)
	for _, step := range []struct {
		what string
		have bool
	}{{"in the queue", true}, {"being done", true}, {"done", false}} {
		if d.have(1) || d.have(2) != step.have {
			t.Errorf("%s: a repair counts as owed %v, data %v", step.what, d.have(1), d.have(2))
		}
		d.take()
	}
	for i := range duesMax + 1 {
		d.add(due{kind: dueMarker, key: request.Key{Partition: ring.Partition(3 + i/duesMax)}}, &counters)
	}
	if !d.have(5) {
		t.Error("a mark may be of any partition")
	}
}

func TestWhatBreaksOnTheWayIsSentAgain(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		for _, n := range pl {
			for _, kind := range []string{"read", "write", "coordinate"} {
				n.set(kind, houseFault{refused: request.ErrUnreachable})
			}
		}
		mend := time.AfterFunc(300*time.Millisecond, func() {
			for _, n := range pl {
				for _, kind := range []string{"read", "write", "coordinate"} {
					n.set(kind, houseFault{})
				}
			}
		})
		defer mend.Stop()
		var wg sync.WaitGroup
		for i, n := range pl { // the coordinator itself, and two that forward
			wg.Go(func() {
				if err := n.set1("k", "v"); err != nil {
					t.Errorf("SET at place %d: %v, want success once connections are back", i, err)
				}
				if r := n.get("other"); r.Err != nil {
					t.Errorf("GET at place %d: %v", i, r.Err)
				}
			})
		}
		wg.Go(func() {
			if r := pl[2].incr("counter"); r.Err != nil || r.Int != 1 {
				t.Errorf("INCR, which reached nobody: %d, %v", r.Int, r.Err)
			}
		})
		wg.Wait()
	})
}

func TestSuspectsAreTriedWhereTheQuorumWouldLackThem(t *testing.T) {
	inHouse(t, 5, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		up := func(id ring.NodeID) bool { return id == pl[0].Self || id == pl[3].Self }
		suspect := func(id ring.NodeID) bool { return id == pl[1].Self }
		v := NewViewWithSuspects(pl[0].Self, h.state, up, suspect)
		place := v.Place(v.Partition([]byte("k")))
		if want := []bool{true, true, false}; !slices.Equal(place.Up, want) {
			t.Fatalf("primaries in reach %v, want %v: the suspect is needed, the dead one stays dead", place.Up, want)
		}
		if want := []bool{false, true, false}; !slices.Equal(place.suspect, want) {
			t.Fatalf("suspects %v, want %v", place.suspect, want)
		}
		all := NewViewWithSuspects(pl[0].Self, h.state, func(id ring.NodeID) bool { return id != pl[1].Self }, suspect)
		place = all.Place(all.Partition([]byte("k")))
		if want := []bool{true, false, true}; !slices.Equal(place.Up, want) {
			t.Fatalf("primaries in reach %v, want %v: nobody needs the suspect", place.Up, want)
		}
	})
}

func TestDeleteAsksForTombstonesToo(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		// What pl[1] alone knows to be deleted: to the digest it is as if nothing had ever been there.
		gone := causal.State{Seen: causal.Context{}.Add(causal.Dot{Actor: causal.Actor{Boot: 7, Seq: 1}, Counter: 1})}
		pl[1].store.data[queueID(request.Key{Name: []byte("k")})] = gone
		h.up(pl[0].Self, pl[1].Self)
		if r := pl[0].del("k"); r.Err != nil || r.Int != 0 {
			t.Fatalf("DEL: %d, %v", r.Int, r.Err)
		}
		if !pl[0].store.state("k").Covers(gone) {
			t.Fatal("DEL was acknowledged although one node alone knows of the delete")
		}
	})
}

// The connection that brought an operation may end while it runs. Its elements are used again then, and it goes on with copies.
func TestForwardedOperationOutlivesItsConnection(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		key := request.Key{Name: []byte("k")}
		for _, c := range []struct {
			op   request.Op
			want []string
		}{
			{request.Op{Verb: request.Modify, Change: request.ChangeAdd, Delta: 1, Key: key}, []string{"2"}},
			{request.Op{Verb: request.Delete, Key: key}, nil},
		} {
			mustSet(t, pl[0], "k", "1")
			pl[1].set("read", houseFault{delay: 50 * time.Millisecond})
			pl[2].set("read", houseFault{delay: 50 * time.Millisecond})
			c.op.Stamp = pl[1].Settlement.Begin()
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(10*time.Millisecond, cancel)
			ops := []*request.Op{&c.op}
			pl[0].ServeCoordinate(ctx, pl[0].View().Version, request.Notice{}, time.Now().Add(time.Hour), ops)
			if answer := taken(ops)[0]; !errors.Is(answer.Result.Err, request.ErrMaybe) {
				t.Fatalf("answered %+v, want MAYBE", answer.Result)
			}
			time.Sleep(time.Second)
			wantValues(t, pl[0].store.state("k"), c.want...)
			if r := c.op.Result; r.Err != nil || r.Wrote || !r.Seen.IsZero() {
				t.Fatalf("an answer was left in what is another's by now: %+v", c.op.Result)
			}
		}
	})
}
