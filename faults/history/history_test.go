package history

import (
	"testing"
	"time"
)

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func set(v string, begin, end int, over ...string) Write { return Write{v, ms(begin), ms(end), over} }

func unsure(v string, begin int) Write { return Write{v, ms(begin), Never, nil} }

func get(begin, end int, v ...string) Read { return Read{v, ms(begin), ms(end), "x"} }

func TestBrokenHistoriesAreSeen(t *testing.T) {
	for _, c := range []struct {
		name   string
		check  func(string, Key) []Violation
		writes []Write
		read   Read
		broken Kind
	}{
		{"the last write", Register, []Write{set("a", 1, 2), set("b", 3, 4)}, get(5, 6, "b"), ""},
		{"an overwritten value", Register, []Write{set("a", 1, 2), set("b", 3, 4)}, get(5, 6, "a"), Back},
		{"concurrent writes: the first", Register, []Write{set("a", 1, 4), set("b", 2, 3)}, get(5, 6, "a"), ""},
		{"a write under way", Register, []Write{set("a", 1, 2), set("b", 3, 9)}, get(5, 6, "a"), ""},
		{"a write that may have failed", Register, []Write{set("a", 1, 2), unsure("b", 3)}, get(5, 6, "b"), ""},
		{"a deleted value", Register, []Write{set("a", 1, 2), set("", 3, 4)}, get(5, 6, "a"), Back},
		{"a missing value", Register, []Write{set("a", 1, 2)}, get(5, 6), Lost},
		{"a value from the future", Register, []Write{set("a", 7, 8)}, get(5, 6, "a"), Back},
		{"a key not written yet", Register, []Write{set("a", 5, 8)}, get(5, 6), ""},
		{"a value nobody wrote", Register, nil, get(5, 6, "a"), Invented},
		{"a delete that saw nothing", Mine, []Write{set("a", 1, 2), set("", 3, 4)}, get(5, 6, "a"), ""},
		{"an older value of one client", Mine, []Write{set("a", 1, 2), set("b", 3, 4)}, get(5, 6, "a"), Back},
		{"an older value, after a delete that saw only the newer", Mine, []Write{set("a", 1, 2), set("b", 3, 4), set("", 5, 6)}, get(7, 8, "a"), ""},
		{"an older value, after a delete that may have failed", Mine, []Write{set("a", 1, 2), set("b", 3, 4), unsure("", 2)}, get(7, 8, "a"), ""},
		{"an older value, though one followed the delete", Mine, []Write{set("a", 1, 2), set("", 3, 4), set("b", 5, 6)}, get(7, 8, "a"), Back},
		{"both sides of a cut", Sloppy, []Write{set("a", 1, 2), set("b", 3, 4)}, get(5, 6, "a", "b"), ""},
		{"overwritten, perhaps", Sloppy, []Write{set("a", 1, 2), set("b", 3, 4)}, get(5, 6, "b"), ""},
		{"overwritten by a write that may have failed", Sloppy, []Write{set("a", 1, 2), unsure("b", 3)}, get(5, 6), ""},
		{"the last of all is gone", Sloppy, []Write{set("a", 1, 2), set("b", 3, 4)}, get(5, 6, "a"), Lost},
		{"a refused value", Sloppy, []Write{set("a", 1, 2)}, get(5, 6, "a", "b"), Invented},
		{"two blind puts", Versions, []Write{set("a", 1, 2), set("b", 3, 4)}, get(5, 6, "a", "b"), ""},
		{"a lost sibling", Versions, []Write{set("a", 1, 2), set("b", 3, 4)}, get(5, 6, "b"), Lost},
		{"a replaced value", Versions, []Write{set("a", 1, 2), set("b", 3, 4, "a")}, get(5, 6, "b"), ""},
		{"a replaced value that is back", Versions, []Write{set("a", 1, 2), set("b", 3, 4, "a")}, get(5, 6, "a", "b"), Back},
		{"a value being replaced", Versions, []Write{set("a", 1, 2), set("b", 3, 7, "a")}, get(5, 6, "b"), ""},
		{"a value replaced by one that is lost", Versions, []Write{set("a", 1, 2), set("b", 3, 4, "a")}, get(5, 6), Lost},
		{"a value nobody put", Versions, nil, get(5, 6, "a"), Invented},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.check("k", Key{Writes: c.writes, Reads: []Read{c.read}})
			if c.broken == "" && len(got) > 0 || c.broken != "" && (len(got) != 1 || got[0].Kind != c.broken) {
				t.Errorf("got %q, want %q", got, c.broken)
			}
		})
	}
}

func TestCountersEndBetweenAcknowledgedAndPerhaps(t *testing.T) {
	for _, c := range []struct {
		name    string
		counter Counter
		forked  bool
		value   int64
		broken  bool
	}{
		{"exact", Counter{[]int64{1, 2, 3}, 0}, false, 3, false},
		{"a lost one", Counter{[]int64{1, 2, 3}, 0}, false, 2, true},
		{"an unsure one", Counter{[]int64{1, 3}, 1}, false, 3, false},
		{"counted twice", Counter{[]int64{1, 3}, 1}, false, 4, true},
		{"two coordinators", Counter{[]int64{1, 2, 2}, 0}, false, 2, false},
		{"two coordinators, one of whose answers was lost", Counter{[]int64{1, 2, 3}, 1}, true, 2, false},
		{"more, though forked", Counter{[]int64{1, 2, 2}, 0}, true, 4, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.counter.Check("k", c.value, c.forked); (len(got) > 0) != c.broken {
				t.Errorf("got %q", got)
			}
		})
	}
}
