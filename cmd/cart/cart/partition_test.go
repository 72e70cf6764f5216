package cart

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/node/nodetest"
	"github.com/redis/go-redis/v9"
)

// machineClient asks one machine of a cluster under test.
type machineClient struct{ m *nodetest.Machine }

func (c machineClient) Do(ctx context.Context, args ...any) *redis.Cmd {
	cmd := redis.NewCmd(ctx, args...)
	plain := make([]any, len(args))
	for i, a := range args {
		if b, ok := a.([]byte); ok {
			a = string(b)
		}
		plain[i] = a
	}
	switch answer := c.m.Do(plain...).(type) {
	case error:
		cmd.SetErr(answer)
	case nil:
		cmd.SetErr(redis.Nil)
	default:
		cmd.SetVal(answer)
	}
	return cmd
}

func TestItemsAddedOnBothSidesOfACutAreAllThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 4, nil)
		defer c.Close()
		c.Start()
		one, other := c.Machines[:2], c.Machines[2:]
		left, right := New(machineClient{one[0]}, machineClient{one[1]}), New(machineClient{other[0]}, machineClient{other[1]})
		add := func(h http.Handler, item string) {
			t.Helper()
			if got := call(h, "POST", "/cart/ann/items", `{"item":"`+item+`","qty":1}`); got.status != 200 {
				t.Fatalf("add %s: %v", item, got)
			}
		}
		add(left, "before")
		c.Split(one, other)
		c.Eventually(10*time.Second, "both sides notice the cut", func() bool {
			return !one[0].Sees(other[0]) && !one[1].Sees(other[1]) && !other[0].Sees(one[0]) && !other[1].Sees(one[1])
		})
		for _, item := range []string{"a", "b"} {
			add(left, "left-"+item)
			add(right, "right-"+item)
		}
		if got := call(right, "DELETE", "/cart/ann/items/before", ""); got.status != 200 {
			t.Fatalf("remove on one side: %v", got)
		}
		c.Join(one, other)
		c.AwaitReady(c.Machines...)
		c.AwaitQuiet()
		want := answered{200, `{"items":[{"item":"left-a","qty":1},{"item":"left-b","qty":1},{"item":"right-a","qty":1},{"item":"right-b","qty":1}]}`}
		for _, m := range c.Machines {
			if got := call(New(machineClient{m}), "GET", "/cart/ann", ""); got != want {
				t.Errorf("the cart at %s: %v", m.Config.Name, got)
			}
		}
	})
}
