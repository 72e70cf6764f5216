package node

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/ring"
)

func TestANodeThatHangsHoldsUpNoOtherThatIsToldOfTheRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs, well := ring.NodeID{1}, ring.NodeID{2}
		var mu sync.Mutex
		var told []ring.NodeID
		teller := newTeller(func(_ context.Context, id ring.NodeID) {
			mu.Lock()
			told = append(told, id)
			mu.Unlock()
			if id == hangs {
				time.Sleep(controlPatience)
			}
		})
		for range 3 { // news
			teller.tell(t.Context(), hangs)
			teller.tell(t.Context(), well)
			synctest.Wait()
		}
		mu.Lock()
		if want := []ring.NodeID{hangs, well, well, well}; count(told, well) != 3 || count(told, hangs) != 1 {
			t.Errorf("told %v, want %v in some order, and nobody twice at once", told, want)
		}
		mu.Unlock()
		teller.wg.Wait()
		if count(told, hangs) != 2 {
			t.Errorf("told %v: who hung is told the last news once it answers, and only these", told)
		}
	})
}

func TestNobodyIsToldMoreWhenTheTellingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		times := 0
		teller := newTeller(func(ctx context.Context, _ ring.NodeID) { times++; <-ctx.Done() })
		teller.tell(ctx, ring.NodeID{1})
		teller.tell(ctx, ring.NodeID{1})
		synctest.Wait()
		cancel()
		teller.wg.Wait()
		if times != 1 {
			t.Errorf("told %d times", times)
		}
	})
}

func count(ids []ring.NodeID, of ring.NodeID) (n int) {
	return len(ids) - len(slices.DeleteFunc(slices.Clone(ids), func(id ring.NodeID) bool { return id == of }))
}
