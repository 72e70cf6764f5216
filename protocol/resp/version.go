package resp

import (
	"bytes"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// planGetV reads all siblings of a key and their context: GETV key [R n].
func planGetV(c *conn, q *call) {
	r := c.r
	switch {
	case len(q.args) == 2:
	case len(q.args) == 4 && q.is(2, "r"):
		if r, q.fault = parseQuorum(q.args[3]); q.fault != "" {
			return
		}
	default:
		q.fault = faultSyntax
		return
	}
	if checkKey(q, q.args[1]) {
		op := c.op(request.Get, q.args[1])
		op.R = r
		q.add(op)
		q.answer = answerGetV
	}
}

// answerGetV writes the context and the values, newest first. The context covers the expired siblings, too, though
// they are not shown: a put with it takes them away.
func answerGetV(c *conn, q *call) {
	op := q.ops[0]
	if n := len(op.Result.State.Siblings); n > 0 {
		c.srv.cfg.Metrics.Siblings(n)
	}
	values := distinct(op.Result.State, c.now)
	c.out.array(2)
	c.out.bulk(c.srv.cfg.Store.EncodeContext(c.space, op.Key.Name, c.srv.cfg.Store.ReadContext(op.Result.State)))
	c.out.array(len(values))
	for _, v := range values {
		c.out.bulk(v)
	}
}

// distinct returns the values of the siblings that are not expired, each once. Siblings are few (request.SiblingsMax),
// so comparing each with each costs less than hashing them.
func distinct(s causal.State, now int64) [][]byte {
	var values [][]byte
next:
	for _, sib := range s.Siblings {
		if expired(sib, now) {
			continue
		}
		for _, v := range values {
			if bytes.Equal(v, sib.Value) {
				continue next
			}
		}
		values = append(values, sib.Value)
	}
	return values
}

// planPutCtx replaces what a context covers: PUTCTX key context value [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL] [W n].
func planPutCtx(c *conn, q *call) {
	key, token, value := q.args[1], q.args[2], q.args[3]
	o, fault := parseOptions(q.args[4:], optKeepTTL|optW)
	at := int64(0)
	if fault == "" && o.unit != unitNone {
		at, fault = c.expireAt(q.cmd, o.unit, o.raw)
	}
	if q.fault = fault; fault != "" || !checkPair(q, key, value) {
		return
	}
	seen, err := c.srv.cfg.Store.DecodeContext(c.space, key, token)
	if err != nil {
		q.fault = wireError(q.cmd, err)
		return
	}
	op := c.op(request.PutSeen, key)
	op.Seen, op.Value, op.ExpireAt, op.Cond = seen, value, at, o.cond
	if o.w > 0 {
		op.W = o.w
	}
	q.add(op)
	q.answer = answerPutCtx
}

func answerPutCtx(c *conn, q *call) {
	op := q.ops[0]
	c.out.bulk(c.srv.cfg.Store.EncodeContext(c.space, op.Key.Name, op.Result.Seen))
}

// planDelCtx deletes what a context covers: DELCTX key context [W n].
func planDelCtx(c *conn, q *call) {
	o, fault := parseOptions(q.args[3:], optW)
	if fault == "" && o.unit != unitNone {
		fault = faultSyntax
	}
	if q.fault = fault; fault != "" || !checkKey(q, q.args[1]) {
		return
	}
	seen, err := c.srv.cfg.Store.DecodeContext(c.space, q.args[1], q.args[2])
	if err != nil {
		q.fault = wireError(q.cmd, err)
		return
	}
	op := c.op(request.DeleteSeen, q.args[1])
	op.Seen = seen
	if o.w > 0 {
		op.W = o.w
	}
	q.add(op)
	q.answer = answerInt
}
