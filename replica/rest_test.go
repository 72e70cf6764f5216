package replica

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// restClock is a clock that writing moves, and that counts rests.
type restClock struct {
	now   time.Duration
	rests int
}

func (c *restClock) fs() *restFS {
	return &restFS{vfs.NewMem(), func() time.Duration { return c.now }, func() { c.rests++ }}
}

func (c *restClock) write(t *testing.T, name string, writes int, each time.Duration) int {
	t.Helper()
	f, err := c.fs().Create(name, "")
	if err != nil {
		t.Fatal(err)
	}
	for range writes {
		c.now += each
		if n, err := f.Write([]byte("block")); n != 5 || err != nil {
			t.Fatal(n, err)
		}
	}
	return c.rests
}

func TestTablesAreWrittenWithRests(t *testing.T) {
	for name, c := range map[string]struct {
		file   string
		writes int
		each   time.Duration
		rests  int
	}{
		"one rest for each stretch of work":          {"000001.sst", 100, tableWork / 10, 10},
		"a long stretch between writes is one":       {"000001.sst", 3, 7 * tableWork, 3},
		"a short table is written without":           {"000001.sst", 9, tableWork / 10, 0},
		"the log never rests: clients wait for it":   {"000001.log", 100, tableWork, 0},
		"nor does the manifest, which a flush needs": {"MANIFEST-000001", 100, tableWork, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := new(restClock).write(t, c.file, c.writes, c.each); got != c.rests {
				t.Errorf("%d rests, want %d", got, c.rests)
			}
		})
	}
}
