package replica

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/replica/merkle"
	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// Reading rows for other nodes is told in slices, all of it, and none much longer than the least.
func TestRowsAreReadInSlices(t *testing.T) {
	const rows, each = 100, 100 * time.Microsecond
	var told []time.Duration
	cfg := memConfig(vfs.NewMem())
	cfg.Worked = func(_ context.Context, took time.Duration) error { told = append(told, took); return nil }
	inBubble(t, cfg, func(t *testing.T, s *Store) {
		for i := range rows {
			write(t, s, setter(s, fmt.Sprint("{p}", i), "value"))
		}
		err := s.stroll(t.Context(), s.db, keyOf("{p}").Partition, Cursor{}, func(request.Key, []byte) (bool, error) {
			time.Sleep(each) // in the bubble
			return true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	var sum time.Duration
	for _, d := range told {
		if sum += d; d > sliceLeast+sliceRows*each {
			t.Errorf("a slice of %v", d)
		}
	}
	if sum != rows*each || len(told) < int(sum/(sliceLeast+sliceRows*each)) {
		t.Errorf("told of %v in %d slices, want %v", sum, len(told), rows*each)
	}
}

func TestWhoIsNotToWorkOnStops(t *testing.T) {
	closing := errors.New("closing")
	cfg := memConfig(vfs.NewMem())
	s := openStore(t, cfg)
	awaitCounted(s)
	write(t, s, setter(s, "{p}k", "value"))
	s.cfg.Worked = func(context.Context, time.Duration) error { return closing }
	p := keyOf("{p}k").Partition
	if _, _, err := s.Sketch(t.Context(), p, merkle.AllLeaves(), Cursor{}); !errors.Is(err, closing) {
		t.Errorf("a sketch ends with %v", err)
	}
	if _, err := s.Rows(t.Context(), RowsQuestion{Partition: p, Leaves: merkle.AllLeaves()}); !errors.Is(err, closing) {
		t.Errorf("rows end with %v", err)
	}
	if err := s.Rehash(t.Context(), []ring.Partition{p}, func(Rehashed) error { return nil }); !errors.Is(err, closing) {
		t.Errorf("a scan ends with %v", err)
	}
	if _, err := s.AcceptRows(t.Context(), []*request.Write{{Key: keyOf("{p}k"), Delta: read(t, s, "{p}k")}}, apart); !errors.Is(err, closing) {
		t.Errorf("taking over ends with %v", err)
	}
}

// apart stores a portion of rows by itself.
func apart(store func() error) error { return store() }

// Whoever waits for what is being stored does not wait for the pauses that leave clients room.
func TestPausesBetweenPortionsAreNotWithin(t *testing.T) {
	s := openStore(t, memConfig(vfs.NewMem()))
	awaitCounted(s)
	write(t, s, setter(s, "{p}k", "value"))
	var rows []*request.Write
	for i := range 2*AcceptRowsMax + 1 {
		rows = append(rows, &request.Write{Key: keyOf(fmt.Sprint("{p}", i)), Delta: read(t, s, "{p}k")})
	}
	storing, portions, pauses := false, 0, 0
	s.cfg.Worked = func(context.Context, time.Duration) error {
		if pauses++; storing {
			t.Error("a pause within")
		}
		return nil
	}
	got, err := s.AcceptRows(t.Context(), rows, func(store func() error) error {
		storing, portions = true, portions+1
		defer func() { storing = false }()
		return store()
	})
	if err != nil || got.Changed != len(rows) || portions != 3 || pauses != 3 {
		t.Errorf("%+v, %v, in %d portions with %d pauses", got, err, portions, pauses)
	}
}

func TestRowsAreTakenOverAFewAtATime(t *testing.T) {
	row := func(bytes int) *request.Write {
		return &request.Write{Delta: causal.State{Siblings: []causal.Sibling{{Version: causal.Version{Value: make([]byte, bytes)}}}}}
	}
	several := func(n, bytes int) (rows []*request.Write) {
		for range n {
			rows = append(rows, row(bytes))
		}
		return rows
	}
	for name, c := range map[string]struct {
		rows []*request.Write
		want int
	}{
		"few small ones":                 {several(3, 10), 3},
		"as many as may be":              {several(AcceptRowsMax, 10), AcceptRowsMax},
		"one more":                       {several(AcceptRowsMax+1, 10), AcceptRowsMax},
		"bytes to the brim":              {several(4, AcceptBytesMax/4), 4},
		"a byte more":                    {append(several(4, AcceptBytesMax/4), row(1)), 4},
		"one that is too large is alone": {several(2, 2*AcceptBytesMax), 1},
	} {
		if got := portion(c.rows); got != c.want {
			t.Errorf("%s: %d", name, got)
		}
	}
}
