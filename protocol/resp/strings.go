package resp

import (
	"fmt"
	"math"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// shown returns the sibling that plain commands see: the newest, unless it is expired.
func (c *conn) shown(s causal.State) (causal.Sibling, bool) {
	sib, ok := s.Winner()
	if !ok || expired(sib, c.now) {
		return causal.Sibling{}, false
	}
	return sib, true
}

func expired(s causal.Sibling, now int64) bool { return s.ExpireAt != 0 && s.ExpireAt <= now }

// read returns what a Get of q shows, and counts the siblings that it met.
func (c *conn) read(op *request.Op) (causal.Sibling, bool) {
	if n := len(op.Result.State.Siblings); n > 0 {
		c.srv.cfg.Metrics.Siblings(n)
	}
	return c.shown(op.Result.State)
}

// writeValue answers a value, or null.
func (c *conn) writeValue(s causal.Sibling, ok bool) {
	if !ok {
		c.out.null()
		return
	}
	c.out.bulk(s.Value)
}

// checkKey sets q's fault when a key is too long to be stored.
func checkKey(q *call, key []byte) bool {
	if len(key) > request.KeyBytesMax {
		q.fault = fmt.Sprintf("TOOBIG a key of %d bytes: a key has at most %d", len(key), request.KeyBytesMax)
		return false
	}
	return true
}

// checkPair is checkKey for a key and the value to be stored there.
func checkPair(q *call, key, value []byte) bool {
	if len(value) > request.ValueBytesMax {
		q.fault = fmt.Sprintf("TOOBIG a value of %d bytes: a value has at most %d; nothing was written", len(value), request.ValueBytesMax)
		return false
	}
	return checkKey(q, key)
}

// checkCount sets q's fault when a command names too many keys.
func checkCount(q *call, keys int) bool {
	if keys > KeysMax {
		q.fault = fmt.Sprintf("TOOBIG '%s' names %d keys: at most %d at a time; nothing was executed", q.cmd.name, keys, KeysMax)
		return false
	}
	return true
}

// planRead returns a plan that reads the key and answers from what it finds.
func planRead(answer func(c *conn, q *call)) func(*conn, *call) {
	return func(c *conn, q *call) {
		if checkKey(q, q.args[1]) {
			q.add(c.op(request.Get, q.args[1]))
			q.answer = answer
		}
	}
}

func answerGet(c *conn, q *call) { c.writeValue(c.read(q.ops[0])) }

func answerStrlen(c *conn, q *call) {
	s, _ := c.read(q.ops[0])
	c.out.int(int64(len(s.Value)))
}

func planMGet(c *conn, q *call) {
	if !checkCount(q, len(q.args)-1) {
		return
	}
	for _, key := range q.args[1:] {
		if !checkKey(q, key) {
			return
		}
		q.add(c.op(request.Get, key))
	}
	q.answer = answerMGet
}

func answerMGet(c *conn, q *call) {
	c.out.array(len(q.ops))
	for _, op := range q.ops {
		c.writeValue(c.read(op))
	}
}

func answerOK(c *conn, _ *call) { c.out.simple("OK") }

func answerInt(c *conn, q *call) { c.out.int(q.ops[0].Result.Int) }

// answerOld answers the value that a Modify met.
func answerOld(c *conn, q *call) { c.writeValue(c.shown(q.ops[0].Result.State)) }

// put adds a plain overwrite of the key.
func (c *conn) put(q *call, key, value []byte, expireAt int64) {
	op := c.op(request.Put, key)
	op.Value, op.ExpireAt = value, expireAt
	q.add(op)
	q.answer = answerOK
}

// modify adds a Modify of the key.
func (c *conn) modify(q *call, change request.Change, key []byte) *request.Op {
	op := c.op(request.Modify, key)
	op.Change = change
	q.add(op)
	return op
}

func planSet(c *conn, q *call) {
	key, value := q.args[1], q.args[2]
	o, fault := parseOptions(q.args[3:], optCond|optGet|optKeepTTL)
	at := int64(0)
	if fault == "" && o.unit != unitNone {
		at, fault = c.expireAt(q.cmd, o.unit, o.raw)
	}
	if q.fault = fault; fault != "" || !checkPair(q, key, value) {
		return
	}
	if o.cond == 0 && !o.get {
		c.put(q, key, value, at)
		return
	}
	op := c.modify(q, request.ChangeSet, key)
	op.Value, op.ExpireAt, op.Cond = value, at, o.cond
	q.answer = answerSet
	if o.get {
		q.answer = answerOld
	}
}

// answerSet answers a conditional SET.
func answerSet(c *conn, q *call) {
	if q.ops[0].Result.Wrote {
		c.out.simple("OK")
	} else {
		c.out.null()
	}
}

func planSetNX(c *conn, q *call) {
	if checkPair(q, q.args[1], q.args[2]) {
		op := c.modify(q, request.ChangeSet, q.args[1])
		op.Value, op.Cond = q.args[2], request.IfAbsent
		q.answer = func(c *conn, q *call) { c.out.bool(q.ops[0].Result.Wrote) }
	}
}

// planSetEX returns the plan of SETEX or PSETEX.
func planSetEX(u unit) func(*conn, *call) {
	return func(c *conn, q *call) {
		at, fault := c.expireAt(q.cmd, u, q.args[2])
		if q.fault = fault; fault == "" && checkPair(q, q.args[1], q.args[3]) {
			c.put(q, q.args[1], q.args[3], at)
		}
	}
}

func planGetSet(c *conn, q *call) {
	if checkPair(q, q.args[1], q.args[2]) {
		c.modify(q, request.ChangeSet, q.args[1]).Value = q.args[2]
		q.answer = answerOld
	}
}

func planGetDel(c *conn, q *call) {
	if checkKey(q, q.args[1]) {
		c.modify(q, request.ChangeDelete, q.args[1])
		q.answer = answerOld
	}
}

// planGetEX reads when nothing is to be changed. A wrong time is an error only if the key is there, as in Redis: so
// it reads then, too.
func planGetEX(c *conn, q *call) {
	o, fault := parseOptions(q.args[2:], optPersist)
	if q.fault = fault; fault != "" || !checkKey(q, q.args[1]) {
		return
	}
	at, wrong := int64(0), ""
	if o.unit != unitNone {
		at, wrong = c.expireAt(q.cmd, o.unit, o.raw)
	}
	switch {
	case wrong != "":
		q.add(c.op(request.Get, q.args[1]))
		q.answer = func(c *conn, q *call) { c.answerIfPresent(q, wrong) }
	case o.unit == unitNone && !o.persist:
		q.add(c.op(request.Get, q.args[1]))
		q.answer = answerGet
	default:
		c.modify(q, request.ChangeExpire, q.args[1]).ExpireAt = at
		q.answer = answerOld
	}
}

// answerIfPresent answers null for a missing key, else the fault.
func (c *conn) answerIfPresent(q *call, fault string) {
	if _, ok := c.read(q.ops[0]); ok {
		q.fault = fault
		return
	}
	c.out.null()
}

// planMSet sets each key on its own: MSET is not atomic over several keys.
func planMSet(c *conn, q *call) {
	if len(q.args)%2 == 0 {
		q.fault = faultArity(q.cmd)
		return
	}
	if !checkCount(q, len(q.args)/2) {
		return
	}
	for i := 1; i < len(q.args); i += 2 {
		if !checkPair(q, q.args[i], q.args[i+1]) {
			return
		}
	}
	for i := 1; i < len(q.args); i += 2 {
		c.put(q, q.args[i], q.args[i+1], 0)
	}
}

func planAppend(c *conn, q *call) {
	if checkPair(q, q.args[1], q.args[2]) {
		c.modify(q, request.ChangeAppend, q.args[1]).Value = q.args[2]
		q.answer = answerInt
	}
}

// planAdd returns the plan of INCR or DECR.
func planAdd(delta int64) func(*conn, *call) {
	return func(c *conn, q *call) { c.add(q, delta) }
}

func (c *conn) add(q *call, delta int64) {
	if checkKey(q, q.args[1]) {
		c.modify(q, request.ChangeAdd, q.args[1]).Delta = delta
		q.answer = answerInt
	}
}

// planAddBy returns the plan of INCRBY (sign 1) or DECRBY (sign -1).
func planAddBy(sign int64) func(*conn, *call) {
	return func(c *conn, q *call) {
		delta, ok := parseInt(q.args[2])
		switch {
		case !ok:
			q.fault = faultNotInteger
		case sign < 0 && delta == math.MinInt64:
			q.fault = faultDecrement
		default:
			c.add(q, sign*delta)
		}
	}
}
