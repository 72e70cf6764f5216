package resp

import (
	"context"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/request"
)

// planDelete deletes each key that is named once: a second deletion in the same command would find nothing.
func planDelete(c *conn, q *call) {
	if !checkCount(q, len(q.args)-1) {
		return
	}
	var seen map[string]struct{}
	if len(q.args) > 2 {
		seen = make(map[string]struct{}, len(q.args)-1)
	}
	for _, key := range q.args[1:] {
		if !checkKey(q, key) {
			return
		}
		if _, again := seen[string(key)]; again {
			continue
		}
		if seen != nil {
			seen[string(key)] = struct{}{}
		}
		q.add(c.op(request.Delete, key))
	}
	q.answer = answerSum
}

func answerSum(c *conn, q *call) {
	n := int64(0)
	for _, op := range q.ops {
		n += op.Result.Int
	}
	c.out.int(n)
}

// planExists counts a key as often as it is named.
func planExists(c *conn, q *call) {
	planMGet(c, q)
	q.answer = func(c *conn, q *call) {
		n := int64(0)
		for _, op := range q.ops {
			if _, ok := c.read(op); ok {
				n++
			}
		}
		c.out.int(n)
	}
}

func answerType(c *conn, q *call) {
	if _, ok := c.read(q.ops[0]); ok {
		c.out.simple("string")
	} else {
		c.out.simple("none")
	}
}

// planExpire returns the plan of the EXPIRE family.
func planExpire(u unit) func(*conn, *call) {
	return func(c *conn, q *call) {
		cond, fault := parseExpireCond(q.args[3:])
		at := int64(0)
		if fault == "" {
			at, fault = c.deadline(q.cmd, u, q.args[2])
		}
		if q.fault = fault; fault == "" && checkKey(q, q.args[1]) {
			op := c.modify(q, request.ChangeExpire, q.args[1])
			op.ExpireAt, op.Cond = at, cond
			q.answer = answerInt
		}
	}
}

// deadline returns the Unix milliseconds of an EXPIRE. The past is fine: it deletes. It is never 0, which means no expiry.
func (c *conn) deadline(m *command, u unit, raw []byte) (at int64, fault string) {
	n, ok := parseInt(raw)
	if !ok {
		return 0, faultNotInteger
	}
	at, ok = scale(n, u, c.now)
	if !ok {
		return 0, faultExpire(m)
	}
	return max(at, 1), ""
}

func parseExpireCond(args [][]byte) (cond request.Cond, fault string) {
	for _, a := range args {
		switch {
		case equalFold(a, "nx"):
			cond |= request.IfNoTTL
		case equalFold(a, "xx"):
			cond |= request.IfTTL
		case equalFold(a, "gt"):
			cond |= request.IfLater
		case equalFold(a, "lt"):
			cond |= request.IfEarlier
		default:
			return 0, "ERR Unsupported option " + clip(a, len(a))
		}
	}
	both := request.IfLater | request.IfEarlier
	if cond&request.IfNoTTL != 0 && cond != request.IfNoTTL {
		return 0, "ERR NX and XX, GT or LT options at the same time are not compatible"
	}
	if cond&both == both {
		return 0, "ERR GT and LT options at the same time are not compatible"
	}
	return cond, ""
}

// planPersist takes the expiry away, if there is one.
func planPersist(c *conn, q *call) {
	if checkKey(q, q.args[1]) {
		c.modify(q, request.ChangeExpire, q.args[1]).Cond = request.IfTTL
		q.answer = answerInt
	}
}

// answerExpiry returns an answer made from the shown value's expiry: -2 without a value, -1 without an expiry.
func answerExpiry(of func(c *conn, expireAt int64) int64) func(*conn, *call) {
	return func(c *conn, q *call) {
		s, ok := c.read(q.ops[0])
		c.out.int(expiryOf(c, s, ok, of))
	}
}

func expiryOf(c *conn, s causal.Sibling, ok bool, of func(*conn, int64) int64) int64 {
	switch {
	case !ok:
		return -2
	case s.ExpireAt == 0:
		return -1
	}
	return of(c, s.ExpireAt)
}

// Seconds are rounded to the nearest, as Redis does.
func ttl(c *conn, at int64) int64         { return (at - c.now + 500) / 1000 }
func pttl(c *conn, at int64) int64        { return at - c.now }
func expireTime(_ *conn, at int64) int64  { return at/1000 + (at%1000+500)/1000 }
func pexpireTime(_ *conn, at int64) int64 { return at }

func runDBSize(c *conn, q *call) {
	ctx, cancel := context.WithTimeout(c.ctx, c.srv.cfg.Budget)
	defer cancel()
	n, err := c.srv.cfg.Cluster.Keys(ctx, c.space)
	if err != nil {
		q.fault = wireError(q.cmd, err)
		return
	}
	c.out.int(n)
}
