package cart

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// fakeStore is the least that GETV and PUTCTX promise: siblings with numbers, and a context that lists those it covers.
type fakeStore struct {
	mu       sync.Mutex
	siblings map[int]string
	last     int
	puts     int
}

// fakeClient is one node of it. fail, if set, is asked before each command; an error that it returns is the answer, after
// the command was executed if applied says so.
type fakeClient struct {
	store *fakeStore
	fail  func(command string) (err error, applied bool)
}

// redisError is an error reply, as go-redis has it.
type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

func (c *fakeClient) Do(ctx context.Context, args ...any) *redis.Cmd {
	cmd := redis.NewCmd(ctx, args...)
	if c.fail != nil {
		if err, applied := c.fail(args[0].(string)); err != nil {
			if applied {
				c.store.do(redis.NewCmd(ctx, args...))
			}
			cmd.SetErr(err)
			return cmd
		}
	}
	c.store.do(cmd)
	return cmd
}

func (s *fakeStore) do(cmd *redis.Cmd) {
	s.mu.Lock()
	defer s.mu.Unlock()
	args := cmd.Args()
	switch args[0] {
	case "GETV":
		var seen []string
		values := []any{}
		for number, value := range s.siblings {
			seen, values = append(seen, strconv.Itoa(number)), append(values, value)
		}
		cmd.SetVal([]any{strings.Join(seen, " "), values})
	case "PUTCTX":
		for _, number := range strings.Fields(args[2].(string)) {
			n, _ := strconv.Atoi(number)
			delete(s.siblings, n)
		}
		s.last, s.puts = s.last+1, s.puts+1
		s.siblings[s.last] = string(args[3].([]byte))
		cmd.SetVal("context")
	default:
		cmd.SetErr(redisError(fmt.Sprintf("ERR unknown command %v", args[0])))
	}
}

func newFakeStore() *fakeStore { return &fakeStore{siblings: map[int]string{}} }

type answered struct {
	status int
	body   string
}

func call(h http.Handler, method, path, body string, headers ...string) answered {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answered{w.Code, strings.TrimSpace(w.Body.String())}
}

func TestAddShowRemove(t *testing.T) {
	h := New(&fakeClient{store: newFakeStore()})
	for _, c := range []struct {
		method, path, body string
		want               answered
	}{
		{"GET", "/cart/ann", "", answered{200, `{"items":[]}`}},
		{"POST", "/cart/ann/items", `{"item":"book","qty":2}`, answered{200, `{"items":[{"item":"book","qty":2}]}`}},
		{"POST", "/cart/ann/items", `{"item":"a pen/2","qty":1}`, answered{200, `{"items":[{"item":"a pen/2","qty":1},{"item":"book","qty":2}]}`}},
		{"DELETE", "/cart/ann/items/book", "", answered{200, `{"items":[{"item":"a pen/2","qty":1}]}`}},
		{"DELETE", "/cart/ann/items/book", "", answered{200, `{"items":[{"item":"a pen/2","qty":1}]}`}},
		{"DELETE", "/cart/ann/items/a%20pen%2F2", "", answered{200, `{"items":[]}`}},
	} {
		if got := call(h, c.method, c.path, c.body); got != c.want {
			t.Errorf("%s %s %s: got %v, want %v", c.method, c.path, c.body, got, c.want)
		}
	}
}

func TestSiblingsAreMergedAndWrittenAsOne(t *testing.T) {
	s := newFakeStore()
	a, _ := Cart{}.Add("1", "book", 1)
	b, _ := Cart{}.Add("2", "pen", 1)
	s.siblings[1], s.siblings[2], s.last = string(a.Encode()), string(b.Encode()), 2
	h := New(&fakeClient{store: s})
	want := answered{200, `{"items":[{"item":"book","qty":1},{"item":"pen","qty":1}]}`}
	if got := call(h, "GET", "/cart/ann", ""); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	call(h, "POST", "/cart/ann/items", `{"item":"cup","qty":1}`)
	if len(s.siblings) != 1 {
		t.Errorf("%d siblings are left", len(s.siblings))
	}
}

func TestAnAdditionCountsOnceWhateverHappensToItsWrite(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		applied bool
	}{
		{"MAYBE, and it was written", redisError("MAYBE put: need 2, have 1"), true},
		{"MAYBE, and it was not", redisError("MAYBE put: need 2, have 1"), false},
		{"the connection broke after it was written", errors.New("read: connection reset"), true},
		{"NOQUORUM", redisError("NOQUORUM put: need 2, have 1"), false},
		{"TRYAGAIN", redisError("TRYAGAIN overloaded"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, failures := newFakeStore(), 0
			flaky := &fakeClient{store: s, fail: func(command string) (error, bool) {
				if command == "PUTCTX" && failures < 2 {
					failures++
					return c.err, c.applied
				}
				return nil, false
			}}
			got := call(New(flaky, flaky), "POST", "/cart/ann/items", `{"item":"book","qty":2}`)
			if want := (answered{200, `{"items":[{"item":"book","qty":2}]}`}); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestAClientThatAsksTwiceWithOneKeyAddsOnce(t *testing.T) {
	h := New(&fakeClient{store: newFakeStore()})
	var got answered
	for range 2 {
		got = call(h, "POST", "/cart/ann/items", `{"item":"book","qty":2}`, "Idempotency-Key", "k1")
	}
	if want := (answered{200, `{"items":[{"item":"book","qty":2}]}`}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A removal that has to be tried again must not take what was added between its tries.
func TestARetriedRemovalSparesWhatWasAddedMeanwhile(t *testing.T) {
	s := newFakeStore()
	steady := New(&fakeClient{store: s})
	call(steady, "POST", "/cart/ann/items", `{"item":"book","qty":1}`)
	failed := false
	h := New(&fakeClient{store: s, fail: func(command string) (error, bool) {
		if command == "PUTCTX" && !failed {
			failed = true
			call(steady, "POST", "/cart/ann/items", `{"item":"book","qty":5}`)
			return redisError("MAYBE put"), false
		}
		return nil, false
	}})
	got := call(h, "DELETE", "/cart/ann/items/book", "")
	if want := (answered{200, `{"items":[{"item":"book","qty":5}]}`}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTheNextNodeIsAskedWhenOneIsDown(t *testing.T) {
	s := newFakeStore()
	down := &fakeClient{store: s, fail: func(string) (error, bool) { return errors.New("connection refused"), false }}
	h := New(down, &fakeClient{store: s})
	if got := call(h, "POST", "/cart/ann/items", `{"item":"book","qty":1}`); got.status != 200 {
		t.Errorf("got %v", got)
	}
	if got := call(New(down), "GET", "/cart/ann", ""); got.status != 503 || !strings.Contains(got.body, "connection refused") {
		t.Errorf("every node down: got %v", got)
	}
}

func TestBadRequestsAndDamage(t *testing.T) {
	s := newFakeStore()
	h := New(&fakeClient{store: s})
	long := func(n int) string { return strings.Repeat("x", n) }
	item := func(name string, qty int) string { return fmt.Sprintf(`{"item":%q,"qty":%d}`, name, qty) }
	for _, c := range []struct {
		name, path, body, key string
		want                  int
	}{
		{"not JSON", "/cart/ann/items", "book", "", 400},
		{"an unknown field", "/cart/ann/items", `{"item":"a","qty":1,"price":0}`, "", 400},
		{"something after it", "/cart/ann/items", item("a", 1) + "{}", "", 400},
		{"no item", "/cart/ann/items", item("", 1), "", 400},
		{"an item at the cap", "/cart/ann/items", item(long(ItemBytesMax), 1), "", 200},
		{"an item over the cap", "/cart/ann/items", item(long(ItemBytesMax+1), 1), "", 400},
		{"quantity 0", "/cart/ann/items", item("a", 0), "", 400},
		{"the largest quantity", "/cart/ann/items", item("a", QtyMax), "", 200},
		{"one more", "/cart/ann/items", item("a", QtyMax+1), "", 400},
		{"a user at the cap", "/cart/" + long(UserBytesMax) + "/items", item("a", 1), "", 200},
		{"a user over the cap", "/cart/" + long(UserBytesMax+1) + "/items", item("a", 1), "", 400},
		{"a user with a control character", "/cart/a%0Ab/items", item("a", 1), "", 400},
		{"a key at the cap", "/cart/ann/items", item("a", 1), long(IDBytesMax), 200},
		{"a key over the cap", "/cart/ann/items", item("a", 1), long(IDBytesMax + 1), 400},
		{"a body at the cap", "/cart/ann/items", item("a", 1) + strings.Repeat(" ", BodyBytesMax-len(item("a", 1))), "", 200},
		{"a body over the cap", "/cart/ann/items", item("a", 1) + strings.Repeat(" ", BodyBytesMax), "", 400},
	} {
		if got := call(h, "POST", c.path, c.body, "Idempotency-Key", c.key); got.status != c.want {
			t.Errorf("%s: got %v, want %d", c.name, got, c.want)
		}
	}
	puts := s.puts
	s.siblings = map[int]string{1: "somebody else's"}
	if got := call(h, "POST", "/cart/ann/items", item("a", 1)); got.status != 500 || s.puts != puts {
		t.Errorf("what is not a cart: got %v, and %d writes", got, s.puts-puts)
	}
}
