package node_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/holdfastdb/holdfast/node/nodetest"
	"github.com/holdfastdb/holdfast/request"
)

// What a later version may ask is answered with an error, and no connection breaks for it: none is dialed again, and the next request
// goes out by it.
func TestWhatALaterVersionAsksIsAnsweredAndTheConnectionStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 2, nil)
		c.Start()
		defer c.Close()
		one, other := c.Machines[0], c.Machines[1]
		for range 3 {
			small, bulk := one.Node.Ask(t.Context(), other.Node.ID(), 250)
			if !errors.Is(small, request.ErrInternal) || !errors.Is(bulk, request.ErrInternal) {
				t.Errorf("got %v and %v", small, bulk)
			}
		}
		if got := len(one.Log.Lines("peer connection ended")) + len(other.Log.Lines("peer connection ended")); got != 0 {
			t.Errorf("%d connections ended", got)
		}
		if got := one.Do("SET", "k", "v"); got != "OK" {
			t.Errorf("SET: %v", got)
		}
	})
}
