package cart

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func epoch() time.Time { return time.Unix(1_800_000_000, 0) }

// randomCart makes carts that overlap: the same ids added here and removed there, and now and then one id used twice.
func randomCart(r *rand.Rand) Cart {
	var c Cart
	for range r.IntN(12) {
		id := fmt.Sprint("id", r.IntN(10))
		if r.IntN(3) == 0 {
			c = c.Remove([]string{id}, epoch().Add(time.Duration(r.IntN(5))*time.Second))
			continue
		}
		c, _ = c.Add(id, fmt.Sprint("item", r.IntN(3)), 1+r.IntN(2))
	}
	return c.clone()
}

func TestMergeIsCommutativeAssociativeIdempotent(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		a, b, c := randomCart(r), randomCart(r), randomCart(r)
		if ab, ba := Merge(a, b), Merge(b, a); !reflect.DeepEqual(ab, ba) {
			t.Fatalf("not commutative: %v and %v give %v and %v", a, b, ab, ba)
		}
		if left, right := Merge(Merge(a, b), c), Merge(a, Merge(b, c)); !reflect.DeepEqual(left, right) {
			t.Fatalf("not associative: %v, %v, %v give %v and %v", a, b, c, left, right)
		}
		if again := Merge(a, a); !reflect.DeepEqual(again, a) {
			t.Fatalf("not idempotent: %v gives %v", a, again)
		}
		if once, twice := Merge(a, b), Merge(Merge(a, b), b); !reflect.DeepEqual(once, twice) {
			t.Fatalf("merging %v twice into %v: %v, then %v", b, a, once, twice)
		}
	}
}

// interleaving plays clients that edit copies of a cart, as the store keeps them: each reads some versions, merges, edits and
// writes its result over those it read. It remembers what a person may expect.
type interleaving struct {
	siblings []version
	written  []Cart // all that ever was
	next     int
	added    map[string]string // id: item, of all acknowledged additions
	removed  map[string]bool   // ids that a remover saw
}

type version struct {
	number int
	cart   Cart
}

// step lets a client read a random part of the versions (a partitioned cluster shows it no more), edit, and write.
func (s *interleaving) step(r *rand.Rand) {
	var seen []int
	var c Cart
	for _, v := range s.siblings {
		if r.IntN(2) == 0 {
			seen, c = append(seen, v.number), Merge(c, v.cart)
		}
	}
	item := fmt.Sprint("item", r.IntN(3))
	if r.IntN(3) == 0 {
		ids := c.Seen(item)
		for _, id := range ids {
			s.removed[id] = true
		}
		c = c.Remove(ids, epoch())
	} else {
		id := fmt.Sprint("id", len(s.added))
		c, _ = c.Add(id, item, 1)
		s.added[id] = item
	}
	s.next++
	s.siblings = slices.DeleteFunc(s.siblings, func(v version) bool { return slices.Contains(seen, v.number) })
	s.siblings, s.written = append(s.siblings, version{s.next, c}), append(s.written, c)
	if r.IntN(4) == 0 { // an earlier write, long overwritten perhaps, turns up once more
		s.next++
		s.siblings = append(s.siblings, version{s.next, s.written[r.IntN(len(s.written))]})
	}
}

func TestAnAdditionSurvivesEveryInterleavingUnlessARemoverSawIt(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2_000 {
		s := &interleaving{added: map[string]string{}, removed: map[string]bool{}}
		for range 1 + r.IntN(25) {
			s.step(r)
		}
		var healed Cart
		for _, v := range s.siblings {
			healed = Merge(healed, v.cart)
		}
		for id, item := range s.added {
			got, there := healed.Added[id]
			if there == s.removed[id] || there && (got.Item != item || got.Qty != 1) {
				t.Fatalf("%s of %s: in the cart %v, removed by one who saw it %v", id, item, there, s.removed[id])
			}
		}
	}
}

func TestADeletedItemDoesNotResurface(t *testing.T) {
	with, _ := Cart{}.Add("1", "book", 1)
	without := with.Remove(with.Seen("book"), epoch())
	if lines := Merge(with, without).Lines(); len(lines) != 0 {
		t.Errorf("the union's anomaly: %v", lines)
	}
}

func TestAnAdditionThatTheRemoverDidNotSeeWins(t *testing.T) {
	base, _ := Cart{}.Add("1", "book", 1)
	removed := base.Remove(base.Seen("book"), epoch())
	more, _ := base.Add("2", "book", 3)
	if lines := Merge(removed, more).Lines(); !reflect.DeepEqual(lines, []Line{{"book", 3}}) {
		t.Errorf("got %v", lines)
	}
}

func TestConcurrentAdditionsAddUpAndRetriesDoNot(t *testing.T) {
	base, _ := Cart{}.Add("1", "book", 1)
	a, _ := base.Add("2", "book", 1)
	b, _ := base.Add("3", "book", 1)
	b, _ = b.Add("3", "book", 1)
	if lines := Merge(a, b).Lines(); !reflect.DeepEqual(lines, []Line{{"book", 3}}) {
		t.Errorf("got %v", lines)
	}
	gone := a.Remove([]string{"2"}, epoch())
	if again, _ := gone.Add("2", "book", 1); len(again.Seen("book")) != 1 {
		t.Error("a retry brings back what was removed since")
	}
}

func TestRemovalsAreKeptAsLongAsPromised(t *testing.T) {
	c := Cart{}.Remove([]string{"1"}, epoch())
	if kept := c.Forget(epoch().Add(RemovalsKept)); len(kept.Removed) != 1 {
		t.Error("forgotten at the limit")
	}
	if kept := c.Forget(epoch().Add(RemovalsKept + time.Second)); len(kept.Removed) != 0 {
		t.Error("kept beyond the limit")
	}
}

func TestACartIsFullAtItsCap(t *testing.T) {
	c := Cart{}.clone()
	for i := range EntriesMax - 1 {
		c.Added[fmt.Sprint(i)] = Addition{"book", 1}
	}
	full, err := c.Add("last", "book", 1)
	if err != nil {
		t.Fatalf("at the cap: %v", err)
	}
	if _, err := full.Add("over", "book", 1); !errors.Is(err, ErrFull) {
		t.Errorf("over the cap: %v", err)
	}
	if _, err := full.Add("last", "book", 1); err != nil {
		t.Errorf("a retry at the cap: %v", err)
	}
	if emptied := full.Remove(full.Seen("book"), epoch()); len(emptied.Lines()) != 0 {
		t.Error("a full cart cannot be emptied")
	}
}

func TestDecodeRefusesWhatIsNoCart(t *testing.T) {
	for _, text := range []string{"", "hello", "null", "{}", "[]", `{"added":{}}`, `{"added":{"1":{"item":"a","qty":0}},"removed":{}}`,
		`{"added":{"1":{"item":"a","qty":1001}},"removed":{}}`, `{"added":{"1":{"item":"a","qty":1}},"removed":{"1":5}}`} {
		if c, err := Decode([]byte(text)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: got %v, %v", text, c, err)
		}
	}
	padded := append(Cart{}.Encode(), bytes.Repeat([]byte(" "), StoredBytesMax)...)
	if _, err := Decode(padded[:StoredBytesMax]); err != nil {
		t.Errorf("at the cap: %v", err)
	}
	if _, err := Decode(padded[:StoredBytesMax+1]); !errors.Is(err, ErrDamaged) {
		t.Errorf("over the cap: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	c, _ := Cart{}.Add("1", "book", 2)
	f.Add(string(c.Remove([]string{"0"}, epoch()).Encode()))
	f.Add(`{"added":{"1":{"item":"a","qty":1}},"removed":{"1":5}}`)
	f.Add(strings.Repeat("[", 100))
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Decode([]byte(text))
		if err != nil {
			return
		}
		again, err := Decode(c.Encode())
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("%v comes back as %v, %v", c, again, err)
		}
		if merged := Merge(c, c); !reflect.DeepEqual(merged, c) {
			t.Errorf("%v merged with itself is %v", c, merged)
		}
	})
}
