package resp

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"github.com/holdfastdb/holdfast/protocol/storetest"
)

// Each client library connects as it does by default, sets, gets, expires, pipelines, and uses the version-aware
// commands by their names.

func clientContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestGoRedis(t *testing.T) {
	ctx := clientContext(t)
	for name, options := range map[string]*goredis.Options{
		"RESP3 asked for": {ClientName: "me", DB: 1},
		"RESP2":           {Protocol: 2},
	} {
		t.Run(name, func(t *testing.T) {
			options.Addr = newRig(t, nil).addr
			c := goredis.NewClient(options)
			defer c.Close()
			goRedisCommands(ctx, t, c)
		})
	}
}

func TestGoRedisCluster(t *testing.T) {
	ctx := clientContext(t)
	r := newRig(t, nil)
	c := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{r.addr}})
	defer c.Close()
	goRedisCommands(ctx, t, c)
}

func goRedisCommands(ctx context.Context, t *testing.T, c goredis.UniversalClient) {
	t.Helper()
	if err := c.Set(ctx, "k", "v", time.Hour).Err(); err != nil {
		t.Fatal("SET", err)
	}
	if got, err := c.Get(ctx, "k").Result(); got != "v" || err != nil {
		t.Errorf("GET %q, %v", got, err)
	}
	if _, err := c.Get(ctx, "missing").Result(); err != goredis.Nil {
		t.Errorf("GET of a missing key: %v", err)
	}
	if got, err := c.TTL(ctx, "k").Result(); got != time.Hour || err != nil {
		t.Errorf("TTL %v, %v", got, err)
	}
	if got, err := c.SetNX(ctx, "k", "w", 0).Result(); got || err != nil {
		t.Errorf("SETNX %v, %v", got, err)
	}
	cmds, err := c.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i := range 100 {
			p.Set(ctx, "p"+strconv.Itoa(i), i, 0)
			p.Incr(ctx, "p"+strconv.Itoa(i))
		}
		return nil
	})
	if err != nil || cmds[199].(*goredis.IntCmd).Val() != 100 {
		t.Errorf("pipeline: %v", err)
	}
	seen, err := c.Do(ctx, "PUTCTX", "v", "", "x").Text()
	if err != nil || seen == "" {
		t.Errorf("PUTCTX %q, %v", seen, err)
	}
	got, err := c.Do(ctx, "GETV", "v").Slice()
	if err != nil || len(got) != 2 || got[0] != seen {
		t.Errorf("GETV %v, %v", got, err)
	}
}

func TestRedigo(t *testing.T) {
	c, err := redis.Dial("tcp", newRig(t, nil).addr, redis.DialDatabase(1), redis.DialClientName("me"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Do("SET", "k", "v", "EX", 100); err != nil {
		t.Error(err)
	}
	if got, err := redis.String(c.Do("GET", "k")); got != "v" || err != nil {
		t.Errorf("GET %q, %v", got, err)
	}
	if got, err := redis.Int(c.Do("TTL", "k")); got != 100 || err != nil {
		t.Errorf("TTL %d, %v", got, err)
	}
	c.Send("INCR", "n")
	c.Send("INCR", "n")
	if got, err := redis.Ints(c.Do("")); len(got) != 2 || got[1] != 2 || err != nil {
		t.Errorf("pipeline %v, %v", got, err)
	}
	seen, err := redis.String(c.Do("PUTCTX", "v", "", "x"))
	if err != nil {
		t.Error(err)
	}
	if got, err := redis.Values(c.Do("GETV", "v")); err != nil || string(got[0].([]byte)) != seen {
		t.Errorf("GETV %v, %v", got, err)
	}
}

// rueidis asks for RESP3 and is refused; without its cache it then speaks RESP2.
func TestRueidis(t *testing.T) {
	ctx := clientContext(t)
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{newRig(t, nil).addr}, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rueidisCommands(ctx, t, c)
}

func TestRueidisOneServer(t *testing.T) {
	ctx := clientContext(t)
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{newRig(t, nil).addr}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rueidisCommands(ctx, t, c)
}

func rueidisCommands(ctx context.Context, t *testing.T, c rueidis.Client) {
	t.Helper()
	if err := c.Do(ctx, c.B().Set().Key("k").Value("v").Build()).Error(); err != nil {
		t.Fatal("SET", err)
	}
	if got, err := c.Do(ctx, c.B().Get().Key("k").Build()).ToString(); got != "v" || err != nil {
		t.Errorf("GET %q, %v", got, err)
	}
	for i, resp := range c.DoMulti(ctx, c.B().Incr().Key("n").Build(), c.B().Incr().Key("n").Build()) {
		if got, err := resp.AsInt64(); got != int64(i+1) || err != nil {
			t.Errorf("INCR %d, %v", got, err)
		}
	}
	seen, err := c.Do(ctx, c.B().Arbitrary("PUTCTX").Keys("v").Args("", "x").Build()).ToString()
	if err != nil {
		t.Error(err)
	}
	got, err := c.Do(ctx, c.B().Arbitrary("GETV").Keys("v").Build()).ToArray()
	if err != nil || len(got) != 2 {
		t.Fatalf("GETV %v, %v", got, err)
	}
	if token, err := got[0].ToString(); token != seen {
		t.Errorf("GETV's context %q, %v", token, err)
	}
}

// BenchmarkPipeline is the cost of one SET or GET in pipelines of 100, without a disk or a network behind it.
func BenchmarkPipeline(b *testing.B) {
	r := newRig(b, func(*Config, *storetest.Store) {})
	nc, err := net.Dial("tcp", r.addr)
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	p := newPeer(b, nc)
	var pipeline []byte
	for i := range 50 {
		key := "key:" + strconv.Itoa(i)
		pipeline = append(pipeline, encode("SET", key, "some value of usual size")...)
		pipeline = append(pipeline, encode("GET", "other:"+strconv.Itoa(i))...)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.send("%s", pipeline)
		for range 100 {
			if _, err := readReply(p.r); err != nil {
				b.Fatal(err)
			}
		}
	}
}
