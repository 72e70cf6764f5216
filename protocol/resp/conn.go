package resp

import (
	"context"
	"errors"
	"net"
	"runtime/debug"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/protocol"
	"github.com/holdfastdb/holdfast/request"
)

// conn is one client's connection. Its own goroutine alone touches it, except for profile.
type conn struct {
	srv     *Server
	nc      *protocol.Conn
	ctx     context.Context // ends when the server is closed
	in      []byte          // read buffer
	quiet   int             // small reads in a row
	dec     decoder
	out     writer
	calls   []call
	wave    wave
	window  window
	slab    []request.Op // operations not yet handed out; never used twice
	closing bool         // after the reply in progress

	space uint8
	r, w  uint8 // HOLDFAST QUORUM; 0: the keyspace's own
	last  lastWrite
	start time.Time // when the batch was read
	now   int64     // the same in Unix milliseconds

	profile profile
}

// lastWrite is what WAIT asks for.
type lastWrite struct {
	key  request.Key
	seen causal.Context
	acks int
	ok   bool // there was one
}

func newConn(s *Server, ctx context.Context, nc *protocol.Conn) *conn {
	c := &conn{srv: s, nc: nc, ctx: ctx, in: make([]byte, ReadBufferBytesMin), window: windowFirst}
	c.out = writer{dst: nc, version: 2}
	c.profile.open(s.ids.Add(1), s.cfg.Store.Now(), nc)
	return c
}

// serve answers commands until the client leaves, sends nonsense, or the server drains.
func (c *conn) serve() {
	for !c.closing {
		n, err := c.nc.Read(c.in)
		if n > 0 {
			c.consume(c.in[:n])
			c.fitBuffer(n)
		}
		if c.out.flush() != nil || err != nil {
			c.logEnd(err)
			return
		}
	}
}

// logEnd notes an end that is neither the client's wish nor the server's.
func (c *conn) logEnd(err error) {
	var timeout net.Error
	if c.out.err != nil && errors.As(c.out.err, &timeout) && timeout.Timeout() {
		c.srv.cfg.Logger.Warn("cut off a client that does not read its replies", "client", c.nc.RemoteAddr().String(), "err", c.out.err)
		return
	}
	c.srv.cfg.Logger.Debug("connection ended", "client", c.nc.RemoteAddr().String(), "read", err, "write", c.out.err)
}

// fitBuffer gives a busy connection a larger read buffer, so that long pipelines make large batches, and takes it
// back when the connection turns quiet.
func (c *conn) fitBuffer(n int) {
	switch {
	case n == len(c.in) && len(c.in) < ReadBufferBytesMax:
		c.in, c.quiet = make([]byte, 2*len(c.in)), 0
	case n > ReadBufferBytesMin || len(c.in) == ReadBufferBytesMin:
		c.quiet = 0
	default:
		if c.quiet++; c.quiet >= quietReadsMax {
			c.in, c.quiet = make([]byte, ReadBufferBytesMin), 0
		}
	}
}

// consume executes every command that is complete after these bytes. A handler that panics costs its connection, and
// nothing else.
func (c *conn) consume(in []byte) {
	defer c.contain()
	for len(in) > 0 && !c.closing {
		var err error
		in, err = c.decode(in)
		c.execute()
		if err != nil && !c.closing {
			c.out.fault("ERR " + err.Error())
			c.closing = true
		}
	}
}

// decode fills calls with the next batch.
func (c *conn) decode(in []byte) (rest []byte, err error) {
	c.dec.recycle()
	c.calls = c.calls[:0]
	for len(in) > 0 && len(c.calls) < CommandsPerBatchMax {
		var args [][]byte
		args, in, err = c.dec.next(in)
		if args == nil {
			break
		}
		c.calls = append(c.calls, call{args: args})
	}
	return in, err
}

// execute answers the batch in calls.
func (c *conn) execute() {
	if len(c.calls) == 0 {
		return
	}
	c.start = c.srv.cfg.Store.Now()
	c.now = c.start.UnixMilli()
	for i := range c.calls {
		if c.closing {
			break
		}
		c.call(&c.calls[i])
	}
	c.settle()
	c.profile.used(c)
	c.slab = nil // or an idle connection would keep what its last commands read
	clear(c.calls)
	if cap(c.calls) > CommandsPerBatchMax/8 {
		c.calls = nil
	}
}

// call finds out what a command is. Data commands join the wave; any other is answered at once, after the wave.
func (c *conn) call(q *call) {
	if q.fault == "" {
		c.resolve(q)
	}
	switch {
	case c.closing:
	case q.fault != "":
		c.join(q)
	case q.cmd.plan != nil:
		q.cmd.plan(c, q)
		c.join(q)
	default:
		c.settle()
		c.reply(q, q.cmd.run)
	}
}

// resolve finds the command in the table and checks its arity.
func (c *conn) resolve(q *call) {
	m := c.srv.table.find(q.args[0])
	switch {
	case m == nil && (q.is(0, "post") || q.is(0, "host:")):
		c.refuseHTTP()
		return
	case m == nil:
		q.fault = faultUnknown(q.args)
		return
	case m.subs != nil && len(q.args) > 1:
		s := m.sub(q.args[1])
		if s == nil {
			q.fault = faultSubcommand(m, q.args[1])
			return
		}
		m = s
	}
	q.cmd = m
	if !m.accepts(len(q.args)) {
		q.fault = faultArity(m)
	}
}

// refuseHTTP ends a connection that speaks HTTP: a web page may make a browser send requests here, and lines of its
// body would pass as commands. Like Redis it answers nothing.
func (c *conn) refuseHTTP() {
	c.settle()
	c.closing = true
	c.srv.cfg.Logger.Warn("possible cross-protocol attack: POST or Host: sent to the RESP port", "client", c.nc.RemoteAddr().String())
}

// join puts a planned call into the wave, executing what is there first if it must.
func (c *conn) join(q *call) {
	if q.fault != "" {
		q.ops = nil
	}
	if len(c.wave.ops)+len(q.ops) > int(c.window) || !c.wave.fits(q) {
		c.settle()
	}
	c.wave.add(q)
}

// settle executes the wave and answers its calls in order.
func (c *conn) settle() {
	if len(c.wave.calls) == 0 {
		return
	}
	if len(c.wave.ops) > 0 {
		ctx := &request.Due{Context: c.ctx, Until: time.Now().Add(c.srv.cfg.Budget)}
		c.window.perform(ctx, c.srv.cfg.Store.Do, c.wave.ops)
	}
	for _, q := range c.wave.calls {
		c.remember(q)
		c.reply(q, answerOps)
	}
	c.wave.reset()
}

// answerOps answers a data command from its operations.
func answerOps(c *conn, q *call) {
	if q.fault == "" {
		q.fault = firstError(q)
	}
	if q.fault == "" {
		q.answer(c, q)
	}
}

// reply lets a handler answer, or sends its fault, and counts the command.
func (c *conn) reply(q *call, handle func(*conn, *call)) {
	c.out.begin()
	handle(c, q)
	q.kind = outcomeOK
	if q.fault != "" {
		q.kind = outcomeOf(q.fault)
		c.out.fault(q.fault)
	}
	c.out.spill()
	c.out.begin()
	c.observe(q)
}

func (c *conn) observe(q *call) {
	name := "unknown" // one label for all, or clients could make metrics without end
	if q.cmd != nil {
		name = q.cmd.name
	}
	c.srv.commands.Add(1)
	c.profile.ran(name)
	took := c.srv.cfg.Store.Now().Sub(c.start)
	c.srv.cfg.Metrics.Observe(name, string(q.kind), took.Seconds())
}

// contain is the last line: whatever a handler or the store broke stays in this connection.
func (c *conn) contain() {
	p := recover()
	if p == nil {
		return
	}
	c.srv.cfg.Logger.Error("a command panicked", "client", c.nc.RemoteAddr().String(), "panic", p, "stack", string(debug.Stack()))
	c.closing = true
	c.wave.reset()
	if c.out.abandon() {
		c.out.fault(faultInternal)
	}
}

// op returns a new operation on a key. It is never used again: the store may keep what it points to.
func (c *conn) op(verb request.Verb, key []byte) *request.Op {
	if len(c.slab) == 0 {
		c.slab = make([]request.Op, max(1, min(len(c.calls), slabMax)))
	}
	op := &c.slab[0]
	c.slab = c.slab[1:]
	op.Verb, op.Key = verb, request.Key{Space: c.space, Name: key}
	op.R, op.W = c.r, c.w
	if verb.Writes() {
		op.Stamp = c.srv.cfg.Store.Stamp()
	}
	return op
}

// remember keeps a call's last write for WAIT.
func (c *conn) remember(q *call) {
	if q.cmd == nil || !q.cmd.writes() {
		return
	}
	for _, op := range q.ops {
		res := &op.Result
		if op.Verb.Writes() && res.Err == nil && (op.Verb != request.Modify || res.Wrote) {
			c.last = lastWrite{key: op.Key, seen: res.Seen, acks: res.Acks, ok: true}
		}
	}
}
