//go:build linux

package e2e

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

// TestClientLibraries runs the common commands through each client library as it is by default, and the version-aware ones
// by their names.
func TestClientLibraries(t *testing.T) {
	c := found(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var addrs []string
	for _, m := range c.nodes {
		addrs = append(addrs, m.resp())
	}
	t.Run("go-redis", func(t *testing.T) {
		client := goredis.NewClient(&goredis.Options{Addr: addrs[0]})
		defer client.Close()
		goRedis(ctx, t, "go-redis:", client)
	})
	t.Run("go-redis cluster", func(t *testing.T) {
		client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: addrs[:1:1]})
		defer client.Close()
		goRedis(ctx, t, "go-redis-cluster:", client)
		masters := make(chan string, len(addrs)) // they are called at once
		if err := client.ForEachMaster(ctx, func(_ context.Context, one *goredis.Client) error {
			masters <- one.Options().Addr
			return nil
		}); err != nil {
			t.Error(err)
		}
		close(masters)
		if got := slices.Sorted(channel(masters)); !slices.Equal(got, addrs) {
			t.Errorf("the client knows the nodes %q, want %q", got, addrs)
		}
	})
	t.Run("redigo", func(t *testing.T) { redigo(t, "redigo:", c.nodes[1].client(t)) })
	t.Run("rueidis", func(t *testing.T) {
		rueidisClient(ctx, t, "rueidis:", rueidis.ClientModeStandalone, rueidis.ClientOption{InitAddress: addrs[2:], DisableCache: true, ForceSingleClient: true})
	})
	t.Run("rueidis cluster", func(t *testing.T) {
		rueidisClient(ctx, t, "rueidis-cluster:", rueidis.ClientModeCluster, rueidis.ClientOption{InitAddress: addrs[:1:1], DisableCache: true,
			ShuffleInit: true})
	})
}

// channel yields what a closed channel still holds.
func channel(c <-chan string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for s := range c {
			if !yield(s) {
				return
			}
		}
	}
}

// same fails the test if a call went wrong or answered something else.
func same[T comparable](t *testing.T, what string, got T, err error, want T) {
	t.Helper()
	if err != nil || got != want {
		t.Errorf("%s: got %v, %v; want %v", what, got, err, want)
	}
}

// ttlSeconds is how long keys live that are given a time.
const ttlSeconds = 3600

// left checks a time to live that was set a moment ago.
func left(t *testing.T, seconds int64, err error) {
	t.Helper()
	if err != nil || seconds > ttlSeconds || seconds < ttlSeconds-int64(patience/time.Second) {
		t.Errorf("TTL: got %d, %v; want a little less than %d", seconds, err, ttlSeconds)
	}
}

func goRedis(ctx context.Context, t *testing.T, p string, c goredis.UniversalClient) {
	t.Helper()
	k := func(name string) string { return p + name }
	got, err := c.Set(ctx, k("a"), "v", ttlSeconds*time.Second).Result()
	same(t, "SET", got, err, "OK")
	got, err = c.Get(ctx, k("a")).Result()
	same(t, "GET", got, err, "v")
	if _, err := c.Get(ctx, k("missing")).Result(); !errors.Is(err, goredis.Nil) {
		t.Errorf("GET of a missing key: %v", err)
	}
	ttl, err := c.TTL(ctx, k("a")).Result()
	left(t, int64(ttl/time.Second), err)
	yes, err := c.Expire(ctx, k("a"), time.Minute).Result()
	same(t, "EXPIRE", yes, err, true)
	yes, err = c.Persist(ctx, k("a")).Result()
	same(t, "PERSIST", yes, err, true)
	yes, err = c.SetNX(ctx, k("a"), "w", 0).Result()
	same(t, "SETNX", yes, err, false)
	got, err = c.GetSet(ctx, k("a"), "w").Result()
	same(t, "GETSET", got, err, "v")
	n, err := c.Append(ctx, k("a"), "xyz").Result()
	same(t, "APPEND", n, err, 4)
	n, err = c.StrLen(ctx, k("a")).Result()
	same(t, "STRLEN", n, err, 4)
	n, err = c.IncrBy(ctx, k("n"), 7).Result()
	same(t, "INCRBY", n, err, 7)
	n, err = c.Decr(ctx, k("n")).Result()
	same(t, "DECR", n, err, 6)
	got, err = c.MSet(ctx, k("{t}x"), "1", k("{t}y"), "2").Result()
	same(t, "MSET", got, err, "OK")
	many, err := c.MGet(ctx, k("{t}x"), k("{t}none"), k("{t}y")).Result()
	if err != nil || !slices.Equal(many, []any{"1", nil, "2"}) {
		t.Errorf("MGET: %v, %v", many, err)
	}
	n, err = c.Exists(ctx, k("{t}x"), k("{t}y")).Result()
	same(t, "EXISTS", n, err, 2)
	n, err = c.Del(ctx, k("{t}x"), k("{t}y"), k("{t}none")).Result()
	same(t, "DEL", n, err, 2)
	got, err = c.GetDel(ctx, k("a")).Result()
	same(t, "GETDEL", got, err, "wxyz")
	goRedisPipeline(ctx, t, p, c)
	goRedisVersions(ctx, t, k("v"), c)
}

func goRedisPipeline(ctx context.Context, t *testing.T, p string, c goredis.UniversalClient) {
	t.Helper()
	cmds, err := c.Pipelined(ctx, func(pipe goredis.Pipeliner) error {
		for i := range 100 {
			pipe.Set(ctx, p+strconv.Itoa(i), i, 0)
			pipe.Incr(ctx, p+strconv.Itoa(i))
		}
		return nil
	})
	if err != nil || len(cmds) != 200 {
		t.Fatalf("pipeline: %d answers, %v", len(cmds), err)
	}
	for i := range 100 {
		same(t, "INCR in a pipeline", cmds[2*i+1].(*goredis.IntCmd).Val(), cmds[2*i+1].Err(), int64(i+1))
	}
}

func goRedisVersions(ctx context.Context, t *testing.T, key string, c goredis.UniversalClient) {
	t.Helper()
	for _, value := range []string{"x", "y"} {
		if seen, err := c.Do(ctx, "PUTCTX", key, "", value).Text(); err != nil || seen == "" {
			t.Fatalf("PUTCTX %q, %v", seen, err)
		}
	}
	both, err := c.Do(ctx, "GETV", key).Slice()
	if err != nil || len(both) != 2 || len(both[1].([]any)) != 2 {
		t.Fatalf("GETV %v, %v", both, err)
	}
	merged, err := c.Do(ctx, "PUTCTX", key, both[0], "xy").Text()
	if err != nil {
		t.Fatal("PUTCTX", err)
	}
	if err := c.Do(ctx, "PUTCTX", key, merged, "xyz").Err(); err != nil {
		t.Errorf("PUTCTX with the context that a put returned: %v", err)
	}
	one, err := c.Do(ctx, "GETV", key).Slice()
	if err != nil || !slices.Equal(one[1].([]any), []any{"xyz"}) {
		t.Errorf("GETV %v, %v", one, err)
	}
}

func redigo(t *testing.T, p string, c redis.Conn) {
	t.Helper()
	k := func(name string) string { return p + name }
	text := func(command, want string, args ...any) {
		t.Helper()
		got, err := redis.String(c.Do(command, args...))
		same(t, command, got, err, want)
	}
	number := func(command string, want int64, args ...any) {
		t.Helper()
		got, err := redis.Int64(c.Do(command, args...))
		same(t, command, got, err, want)
	}
	text("SET", "OK", k("a"), "v", "EX", ttlSeconds)
	text("GET", "v", k("a"))
	ttl, err := redis.Int64(c.Do("TTL", k("a")))
	left(t, ttl, err)
	number("EXPIRE", 1, k("a"), 50)
	number("SETNX", 0, k("a"), "w")
	text("GETSET", "v", k("a"), "w")
	number("APPEND", 4, k("a"), "xyz")
	number("INCR", 1, k("n"))
	number("DECRBY", -4, k("n"), 5)
	text("MSET", "OK", k("x"), 1, k("y"), 2)
	if got, err := redis.Strings(c.Do("MGET", k("x"), k("none"), k("y"))); err != nil || !slices.Equal(got, []string{"1", "", "2"}) {
		t.Errorf("MGET: %q, %v", got, err)
	}
	number("DEL", 2, k("x"), k("y"), k("none"))
	for range 100 {
		if err := c.Send("INCR", k("pipe")); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := redis.Ints(c.Do("")); err != nil || len(got) != 100 || got[99] != 100 {
		t.Errorf("pipeline: %v, %v", got, err)
	}
	must(t, c, "PUTCTX", k("v"), "", "x")
	must(t, c, "PUTCTX", k("v"), "", "y")
	seen, values := contextOf(must(t, c, "GETV", k("v")))
	if slices.Sort(values); !slices.Equal(values, []string{"x", "y"}) {
		t.Errorf("GETV: %q", values)
	}
	must(t, c, "PUTCTX", k("v"), seen, "xy")
	if _, values = contextOf(must(t, c, "GETV", k("v"))); !slices.Equal(values, []string{"xy"}) {
		t.Errorf("GETV: %q", values)
	}
}

func rueidisClient(ctx context.Context, t *testing.T, p string, mode rueidis.ClientMode, options rueidis.ClientOption) {
	t.Helper()
	c, err := rueidis.NewClient(options)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Mode() != mode {
		t.Errorf("the client is in mode %q, want %q", c.Mode(), mode)
	}
	k := func(name string) string { return p + name }
	text := func(what, want string, cmd rueidis.Completed) {
		t.Helper()
		got, err := c.Do(ctx, cmd).ToString()
		same(t, what, got, err, want)
	}
	number := func(what string, want int64, cmd rueidis.Completed) {
		t.Helper()
		got, err := c.Do(ctx, cmd).AsInt64()
		same(t, what, got, err, want)
	}
	text("SET", "OK", c.B().Set().Key(k("a")).Value("v").ExSeconds(ttlSeconds).Build())
	text("GET", "v", c.B().Get().Key(k("a")).Build())
	ttl, err := c.Do(ctx, c.B().Ttl().Key(k("a")).Build()).AsInt64()
	left(t, ttl, err)
	number("EXPIRE", 1, c.B().Expire().Key(k("a")).Seconds(50).Build())
	number("SETNX", 0, c.B().Setnx().Key(k("a")).Value("w").Build())
	text("GETSET", "v", c.B().Getset().Key(k("a")).Value("w").Build())
	number("APPEND", 4, c.B().Append().Key(k("a")).Value("xyz").Build())
	number("INCR", 1, c.B().Incr().Key(k("n")).Build())
	text("MSET", "OK", c.B().Mset().KeyValue().KeyValue(k("{t}x"), "1").KeyValue(k("{t}y"), "2").Build())
	if got, err := c.Do(ctx, c.B().Mget().Key(k("{t}x"), k("{t}y")).Build()).AsStrSlice(); err != nil || !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("MGET: %q, %v", got, err)
	}
	number("DEL", 2, c.B().Del().Key(k("{t}x"), k("{t}y")).Build())
	rueidisPipeline(ctx, t, k("pipe"), c)
	rueidisVersions(ctx, t, k("v"), c)
}

func rueidisPipeline(ctx context.Context, t *testing.T, key string, c rueidis.Client) {
	t.Helper()
	var cmds rueidis.Commands
	for range 100 {
		cmds = append(cmds, c.B().Incr().Key(key).Build())
	}
	for i, reply := range c.DoMulti(ctx, cmds...) {
		got, err := reply.AsInt64()
		same(t, "INCR in a pipeline", got, err, int64(i+1))
	}
}

func rueidisVersions(ctx context.Context, t *testing.T, key string, c rueidis.Client) {
	t.Helper()
	put := func(seen, value string) string {
		t.Helper()
		token, err := c.Do(ctx, c.B().Arbitrary("PUTCTX").Keys(key).Args(seen, value).Build()).ToString()
		if err != nil || token == "" {
			t.Fatalf("PUTCTX %q, %v", token, err)
		}
		return token
	}
	get := func() (string, []string) {
		t.Helper()
		fields, err := c.Do(ctx, c.B().Arbitrary("GETV").Keys(key).Build()).ToArray()
		if err != nil || len(fields) != 2 {
			t.Fatalf("GETV %v, %v", fields, err)
		}
		seen, err := fields[0].ToString()
		if err != nil {
			t.Fatal(err)
		}
		values, err := fields[1].AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		return seen, values
	}
	put("", "x")
	put("", "y")
	seen, values := get()
	if slices.Sort(values); !slices.Equal(values, []string{"x", "y"}) {
		t.Errorf("GETV: %q", values)
	}
	put(put(seen, "xy"), "xyz")
	if _, values := get(); !slices.Equal(values, []string{"xyz"}) {
		t.Errorf("GETV: %q", values)
	}
}
