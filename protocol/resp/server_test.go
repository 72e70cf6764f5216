package resp

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/protocol"
	"github.com/holdfastdb/holdfast/protocol/storetest"
	"github.com/holdfastdb/holdfast/request"
)

// token cuts the context out of a reply that begins with it.
func token(t *testing.T, reply string) string {
	t.Helper()
	fields := strings.Split(strings.TrimPrefix(reply, "*2\r\n"), "\r\n")
	if len(fields) < 2 || fields[0][0] != '$' {
		t.Fatalf("no context in %q", reply)
	}
	return fields[1]
}

// values cuts the values out of GETV's reply.
func values(reply string) []string {
	fields := strings.Split(reply, "\r\n")
	var list []string
	for i := 5; i < len(fields); i += 2 {
		list = append(list, fields[i])
	}
	return list
}

func TestVersions(t *testing.T) {
	r := newRig(t, nil)
	p := dial(t, "tcp", r.addr)
	expect := func(want ...string) string {
		t.Helper()
		reply := p.do("GETV", "k")
		if got := values(reply); !slices.Equal(got, want) {
			t.Errorf("values %q, want %q", got, want)
		}
		return token(t, reply)
	}
	x := token(t, p.do("PUTCTX", "k", "", "x"))
	y := token(t, p.do("PUTCTX", "k", "", "y"))
	both := expect("y", "x")
	if got := p.do("GET", "k"); got != bulk("y") {
		t.Errorf("GET shows %q, not the newest", got)
	}
	p.do("PUTCTX", "k", "", "x")
	expect("x", "y") // the same bytes show once
	p.do("PUTCTX", "k", y, "z")
	expect("z", "x") // the context of a blind put covers that put alone
	if got := p.do("DELCTX", "k", x); got != ":0\r\n" {
		t.Errorf("DELCTX beside concurrent values: %q", got)
	}
	p.do("PUTCTX", "k", both, "w") // covers what both showed: neither z nor the second x
	expect("w", "z", "x")
	all := expect("w", "z", "x")
	if got := p.do("DELCTX", "k", all); got != ":1\r\n" {
		t.Errorf("DELCTX of all: %q", got)
	}
	if tombstone := expect(); tombstone == "" {
		t.Error("a tombstone's context is empty")
	}
	if got := p.do("PUTCTX", "other", both, "v"); !strings.HasPrefix(got, "-BADCONTEXT ") {
		t.Errorf("another key's context: %q", got)
	}
	if got := r.metrics.siblings; !slices.Equal(got, []int{2, 2, 3, 3, 3, 3}) {
		t.Errorf("siblings counted: %v", got)
	}
}

func TestExpiredSiblingsAreNotShown(t *testing.T) {
	p := dial(t, "tcp", newRig(t, nil).addr)
	p.do("PUTCTX", "k", "", "old", "EXAT", "33177117420")
	p.do("PUTCTX", "k", "", "gone", "PXAT", "1")
	reply := p.do("GETV", "k")
	if got := values(reply); !slices.Equal(got, []string{"old"}) {
		t.Errorf("values %q", got)
	}
	if got := p.do("GET", "k"); got != "$-1\r\n" {
		t.Errorf("GET does not pick the winner before it looks at its expiry: %q", got)
	}
	p.do("PUTCTX", "k", token(t, reply), "new", "KEEPTTL")
	if got := p.do("PTTL", "k"); got != ":-2\r\n" { // the newest covered was the expired one
		t.Errorf("PTTL %q", got)
	}
}

func TestErrorsOnTheWire(t *testing.T) {
	quorum := func(cause error) error { return &request.QuorumError{Op: "put", Need: 2, Have: 1, Cause: cause} }
	for _, c := range []struct {
		command string
		err     error
		want    string
		outcome string
	}{
		{"SET k v", quorum(request.ErrNoQuorum), "-NOQUORUM 'set' was not executed: it needs 2 replicas and 1 are in reach. ", "set noquorum"},
		{"GET k", quorum(request.ErrNoQuorum), "-NOQUORUM 'get' was not executed", "get noquorum"},
		{"INCR k", quorum(request.ErrMaybe), "-MAYBE 'incr' was perhaps executed: 1 of the 2 replicas needed answered in time. ", "incr maybe"},
		{"INCR k", request.ErrLost, "-MAYBE 'incr'", "incr maybe"},
		{"INCR k", errors.New("?"), "-MAYBE 'incr'", "incr maybe"},
		{"GET k", request.ErrLost, "-TRYAGAIN 'get' was not answered in time", "get tryagain"},
		{"GET k", context.DeadlineExceeded, "-TRYAGAIN 'get' was not answered in time", "get tryagain"},
		{"SET k v", request.ErrOverloaded, "-TRYAGAIN 'set' was not executed: overloaded. ", "set tryagain"},
		{"SET k v", request.ErrClosed, "-TRYAGAIN 'set' was not executed: node is shutting down. ", "set tryagain"},
		{"SET k v", request.ErrDiskLow, "-TRYAGAIN 'set' was not executed: disk nearly full. ", "set tryagain"},
		{"PUTCTX k '' v", request.ErrTooManySiblings, "-TOOBIG the key holds 64 concurrent values", "putctx toobig"},
		{"APPEND k v", request.ErrTooBig, "-TOOBIG 'append' would exceed 8388608 bytes", "append toobig"},
		{"INCR k", request.ErrNotInteger, "-ERR value is not an integer or out of range\r\n", "incr error"},
		{"INCR k", request.ErrOverflow, "-ERR increment or decrement would overflow\r\n", "incr error"},
		{"GET k", request.ErrCorrupt, "-ERR 'get' met a damaged copy", "get error"},
		{"GET k", errors.New("?"), "-ERR internal error", "get internal"},
		{"MGET j k", request.ErrLost, "-TRYAGAIN 'mget'", "mget tryagain"},
		{"MSET j 1 k 2", request.ErrOverloaded, "-MAYBE 'mset' was executed on 1 of 2 keys; on the others: overloaded. ", "mset maybe"},
		{"DEL k kk", quorum(request.ErrNoQuorum), "-NOQUORUM 'del' was not executed", "del noquorum"},
	} {
		t.Run(c.command+" "+c.err.Error(), func(t *testing.T) {
			r := newRig(t, func(_ *Config, s *storetest.Store) {
				s.Refuse = func(op *request.Op) error {
					if op.Key.Name[0] == 'k' {
						return c.err
					}
					return nil
				}
			})
			p := dial(t, "tcp", r.addr)
			p.send("%s\r\nPING\r\n", c.command)
			if got := p.reply(); !strings.HasPrefix(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if got := p.reply(); got != "+PONG\r\n" {
				t.Errorf("afterwards %q", got)
			}
			if r.metrics.count(c.outcome) != 1 {
				t.Errorf("not counted as %q: %v", c.outcome, r.metrics.commands)
			}
		})
	}
}

func TestPanicCostsOneConnection(t *testing.T) {
	r := newRig(t, func(_ *Config, s *storetest.Store) {
		s.Before = func(_ context.Context, ops []*request.Op) {
			if string(ops[0].Key.Name) == "bad" {
				panic("broken invariant")
			}
		}
	})
	other := dial(t, "tcp", r.addr)
	other.do("PING")
	p := dial(t, "tcp", r.addr)
	p.send("PING\r\nGET good\r\nPING\r\nGET bad\r\n")
	if got, want := p.rest(), "+PONG\r\n$-1\r\n+PONG\r\n-"+faultInternal+"\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := other.do("GET", "good"); got != "$-1\r\n" {
		t.Errorf("another connection: %q", got)
	}
}

func TestBudgetEndsABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		s, _ := newServer(&counted{}, 1, func(cfg *Config, st *storetest.Store) {
			cfg.Budget = 3 * time.Second
			st.Before = func(ctx context.Context, ops []*request.Op) {
				deadline, _ := ctx.Deadline()
				<-time.After(time.Until(deadline))
			}
			st.Refuse = func(*request.Op) error { return context.DeadlineExceeded }
		})
		serve(t, s, l)
		p := l.dial(t)
		start := time.Now()
		if got := p.do("GET", "k"); !strings.HasPrefix(got, "-TRYAGAIN") {
			t.Errorf("%q", got)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("answered after %v", took)
		}
		p.Close()
	})
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		start := time.Now()
		s, _ := newServer(&counted{}, 1, func(_ *Config, st *storetest.Store) {
			// One replica more each 100 ms, up to three.
			st.Held = func(_ context.Context, key []byte, seen causal.Context) int {
				if string(key) != "k" || seen.IsZero() {
					t.Errorf("asked for %q, %v", key, seen)
				}
				return min(3, 1+int(time.Since(start)/(100*time.Millisecond)))
			}
		})
		serve(t, s, l)
		p := l.dial(t)
		p.do("SET", "k", "v")
		for _, c := range []struct {
			n, millis, want string
			after           time.Duration // at most, since the start
		}{
			{"1", "0", ":1\r\n", 0},
			{"3", "150", ":2\r\n", 150 * time.Millisecond},
			{"3", "1000", ":3\r\n", 300 * time.Millisecond},
			{"4", "200", ":3\r\n", 500 * time.Millisecond},
			{"4", "0", ":3\r\n", 501*time.Millisecond + WaitMax},
		} {
			got := p.doSlowly("WAIT", c.n, c.millis)
			if took := time.Since(start); got != c.want || took > c.after {
				t.Errorf("WAIT %s %s: %q after %v", c.n, c.millis, got, took)
			}
		}
		p.Close()
	})
}

// doSlowly is do without a deadline.
func (p *peer) doSlowly(args ...string) string {
	p.send("%s", encode(args...))
	p.SetReadDeadline(time.Time{})
	raw, err := readReply(p.r)
	if err != nil {
		p.t.Fatal(err)
	}
	return raw
}

func TestShutdownFinishesWhatWasRead(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, _ := newServer(&counted{}, 1, func(_ *Config, st *storetest.Store) {
		st.Before = func(context.Context, []*request.Op) { close(entered); <-leave }
	})
	serve(t, s, l)
	idle, busy := dial(t, "tcp", l.Addr().String()), dial(t, "tcp", l.Addr().String())
	idle.do("PING")
	busy.send("SET k v\r\nPING\r\n")
	<-entered
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	if got := idle.rest(); got != "" {
		t.Errorf("the idle connection got %q", got)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("a new connection was accepted")
	}
	select {
	case err := <-done:
		t.Fatalf("Shutdown returned before the command: %v", err)
	default:
	}
	close(leave)
	if got := busy.rest(); got != "+OK\r\n+PONG\r\n" {
		t.Errorf("the busy connection got %q", got)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestShutdownGivesUp(t *testing.T) {
	entered := make(chan struct{})
	r := newRig(t, func(_ *Config, st *storetest.Store) {
		st.Before = func(ctx context.Context, _ []*request.Op) { close(entered); <-ctx.Done() }
	})
	p := dial(t, "tcp", r.addr)
	p.send("GET k\r\n")
	<-entered
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	cancel(cause)
	if err := r.server.Shutdown(ctx); !errors.Is(err, cause) {
		t.Errorf("Shutdown: %v", err)
	}
	if n := r.server.Connections(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

func TestConnectionsAreCapped(t *testing.T) {
	r := newRig(t, func(cfg *Config, _ *storetest.Store) { cfg.ConnectionsMax = 2 })
	a, b := dial(t, "tcp", r.addr), dial(t, "tcp", r.addr)
	a.do("PING")
	b.do("PING")
	if got := dial(t, "tcp", r.addr).rest(); got != "-ERR max number of clients reached\r\n" {
		t.Errorf("one over: %q", got)
	}
	if got := a.do("PING"); got != "+PONG\r\n" {
		t.Errorf("at the cap: %q", got)
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		s, _ := newServer(&counted{}, 1, func(cfg *Config, _ *storetest.Store) { cfg.Idle = time.Minute })
		serve(t, s, l)
		p := l.dial(t)
		start := time.Now()
		if got := p.doSlowly("PING"); got != "+PONG\r\n" {
			t.Error(got)
		}
		if _, err := p.r.ReadByte(); err == nil || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// A client that sends and never reads is cut off, and costs a bounded buffer until then.
func TestClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		s, _ := newServer(&counted{}, 1, nil)
		serve(t, s, l)
		p := l.dial(t)
		start := time.Now()
		for {
			if _, err := p.Write([]byte("PING\r\n")); err != nil {
				break
			}
		}
		if took := time.Since(start); took != protocol.WriteTimeoutMax {
			t.Errorf("cut off after %v", took)
		}
	})
}

func TestClientList(t *testing.T) {
	r := newRig(t, nil)
	a, b := dial(t, "tcp", r.addr), dial(t, "tcp", r.addr)
	a.do("CLIENT", "SETNAME", "first")
	b.do("SELECT", "3")
	b.do("CLIENT", "SETINFO", "LIB-NAME", "lib")
	list := b.do("CLIENT", "LIST")
	for _, want := range []string{"name=first age=0", "db=3 ", "lib-name=lib", "cmd=client|list", "cmd=client|setname", "addr=" + a.LocalAddr().String()} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in %q", want, list)
		}
	}
	if got := strings.Count(a.do("CLIENT", "LIST", "ID", "1"), "\n"); got > 2+1 {
		t.Errorf("%d lines", got)
	}
}

func TestClusterMap(t *testing.T) {
	p := dial(t, "tcp", newRig(t, nil).addr)
	slots := p.do("CLUSTER", "SLOTS")
	if !strings.HasPrefix(slots, "*4\r\n*5\r\n:0\r\n:5460\r\n*4\r\n$9\r\n127.0.0.1\r\n:") {
		t.Errorf("%.200q", slots)
	}
	nodes := p.do("CLUSTER", "NODES")
	for _, want := range []string{" myself,master - 0 0 0 connected 0-5460 16383\n", " master,fail - 0 0 0 disconnected 10923-16382\n"} {
		if !strings.Contains(nodes, want) {
			t.Errorf("no %q in %q", want, nodes)
		}
	}
	if got := p.do("CLUSTER", "SHARDS"); !strings.HasPrefix(got, "*3\r\n*4\r\n$5\r\nslots\r\n*4\r\n:0\r\n:5460\r\n:16383\r\n:16383\r\n") {
		t.Errorf("%.200q", got)
	}
}

func TestInfo(t *testing.T) {
	p := dial(t, "tcp", newRig(t, nil).addr)
	all := p.do("INFO")
	for _, want := range []string{"redis_version:7.0.15", "loading:0", "cluster_enabled:1", "maxmemory_policy:noeviction", "role:master", "# Keyspace", "connected_clients:1"} {
		if !strings.Contains(all, want+"\r\n") {
			t.Errorf("no %q in %q", want, all)
		}
	}
	if got := p.do("INFO", "cluster"); got != bulk("# Cluster\r\ncluster_enabled:1\r\n") {
		t.Errorf("%q", got)
	}
}

// Every command has what COMMAND needs, and exactly one way to be executed.
func TestTable(t *testing.T) {
	var check func(m *command)
	check = func(m *command) {
		if m.name == "" || m.arity == 0 || m.acl == "" || m.since == "" || m.group == "" || m.complexity == "" || m.summary == "" {
			t.Errorf("%s is incomplete", m.name)
		}
		if (m.plan != nil) == (m.run != nil) && m.subs == nil {
			t.Errorf("%s has no way, or two, to be executed", m.name)
		}
		if m.plan != nil && m.keys.first == 0 {
			t.Errorf("%s is a data command without keys", m.name)
		}
		for i := range m.subs {
			check(&m.subs[i])
		}
	}
	list := commands()
	for i := range list {
		check(&list[i])
		if newTable().find([]byte(strings.ToUpper(list[i].name))) == nil {
			t.Errorf("%s is not found", list[i].name)
		}
	}
}

func TestKeysOfOneCommandAreCapped(t *testing.T) {
	p := dial(t, "tcp", newRig(t, nil).addr)
	keys := slices.Repeat([]string{"k"}, KeysMax)
	pairs := slices.Repeat([]string{"k"}, 2*KeysMax)
	for _, c := range []struct {
		name string
		args []string
		want string
	}{{"EXISTS", keys, ":0\r\n"}, {"DEL", keys, ":0\r\n"}, {"MSET", pairs, "+OK\r\n"}} {
		if got := p.do(append([]string{c.name}, c.args...)...); got != c.want {
			t.Errorf("%s at the cap: %.100q", c.name, got)
		}
		if got := p.do(append([]string{c.name, "k", "k"}, c.args...)...); !strings.HasPrefix(got, "-TOOBIG ") {
			t.Errorf("%s over: %.100q", c.name, got)
		}
	}
}

func TestClientNamesAreCapped(t *testing.T) {
	p := dial(t, "tcp", newRig(t, nil).addr)
	for n, want := range map[int]string{NameBytesMax: "+OK\r\n", NameBytesMax + 1: "-" + faultName + "\r\n"} {
		if got := p.do("CLIENT", "SETNAME", strings.Repeat("n", n)); got != want {
			t.Errorf("%d bytes: %q", n, got)
		}
	}
}

// More commands than one batch takes, in one write.
func TestBatchesAreCapped(t *testing.T) {
	p := dial(t, "tcp", newRig(t, nil).addr)
	for _, n := range []int{CommandsPerBatchMax, CommandsPerBatchMax + 1, 5 * CommandsPerBatchMax} {
		go p.Write([]byte(strings.Repeat("PING\r\n", n)))
		for i := range n {
			if got := p.reply(); got != "+PONG\r\n" {
				t.Fatalf("%d of %d: %q", i, n, got)
			}
		}
	}
}

func TestReadBufferFollowsTheLoad(t *testing.T) {
	c := &conn{in: make([]byte, ReadBufferBytesMin)}
	for range 5 {
		c.fitBuffer(len(c.in))
	}
	if len(c.in) != ReadBufferBytesMax {
		t.Errorf("busy: %d bytes", len(c.in))
	}
	for range quietReadsMax - 1 {
		c.fitBuffer(1)
	}
	if len(c.in) != ReadBufferBytesMax {
		t.Errorf("one quiet read too few: %d bytes", len(c.in))
	}
	if c.fitBuffer(1); len(c.in) != ReadBufferBytesMin {
		t.Errorf("quiet: %d bytes", len(c.in))
	}
}

// wrongWall is a store whose wall clock the cluster has put right by so much: the machine's own is off.
type wrongWall struct {
	protocol.Store
	by time.Duration
}

func (w wrongWall) Now() time.Time { return w.Store.Now().Add(w.by) }

func TestCorrectedClockCutsNobodyOff(t *testing.T) {
	for _, by := range []time.Duration{-time.Hour, time.Hour} {
		r := newRig(t, func(c *Config, s *storetest.Store) {
			c.Store, c.Idle = wrongWall{s, by}, time.Minute
		})
		p := dial(t, "tcp", r.addr)
		if got := p.do("PING"); got != "+PONG\r\n" {
			t.Errorf("the clock corrected by %v: %q", by, got)
		}
	}
}
