package coordinator

import (
	"errors"
	"testing"

	"github.com/holdfastdb/holdfast/request"
)

func TestAFullNodeSendsItsOwnClientsWritesToTheNext(t *testing.T) {
	inHouse(t, 3, 2, 2, func(t *testing.T, h *house) {
		pl := h.places("k")
		pl[0].store.refuseAll(request.ErrDiskLow)
		mustSet(t, pl[0], "k", "1")
		if r := pl[0].incr("k"); r.Err != nil {
			t.Errorf("a read-modify-write: %v", r.Err)
		}
		for _, n := range pl {
			n.store.refuseAll(request.ErrDiskLow)
		}
		if err := pl[0].set1("k", "w"); !errors.Is(err, request.ErrDiskLow) {
			t.Errorf("when all are full: %v", err)
		}
	})
}
