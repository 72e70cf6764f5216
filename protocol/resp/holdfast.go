package resp

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/holdfastdb/holdfast/protocol"
)

// operator runs an operator's command within a time of its own.
func (c *conn) operator(q *call, budget time.Duration, do func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(c.ctx, budget)
	defer cancel()
	if err := do(ctx); err != nil {
		q.fault = "ERR " + q.cmd.name + ": " + err.Error()
	}
}

// writeJSON answers one bulk of JSON: `holdfast status` and `ring` print it for people.
func (c *conn) writeJSON(v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		c.out.bulk(b)
	}
	return err
}

func runHoldfastStatus(c *conn, q *call) {
	c.operator(q, c.srv.cfg.Budget, func(ctx context.Context) error {
		st, err := c.srv.cfg.Cluster.Status(ctx)
		if err != nil {
			return err
		}
		return c.writeJSON(st)
	})
}

func runHoldfastRing(c *conn, q *call) {
	c.operator(q, c.srv.cfg.Budget, func(ctx context.Context) error {
		r, err := c.srv.cfg.Cluster.Ring(ctx)
		if err != nil {
			return err
		}
		return c.writeJSON(r)
	})
}

// runHoldfastPreflist answers the names of the nodes that the key's requests would ask now; a fallback's shows whom it
// stands in for: "node-4 for node-2".
func runHoldfastPreflist(c *conn, q *call) {
	c.operator(q, c.srv.cfg.Budget, func(ctx context.Context) error {
		list, err := c.srv.cfg.Cluster.Preflist(ctx, c.space, q.args[2])
		if err != nil {
			return err
		}
		c.out.array(len(list))
		for _, p := range list {
			if p.For != "" {
				p.Node += " for " + p.For
			}
			c.out.text(p.Node)
		}
		return nil
	})
}

func runHoldfastLeave(c *conn, q *call) {
	c.operate(q, func(ctx context.Context) error { return c.srv.cfg.Cluster.Leave(ctx) })
}

func runHoldfastRemove(c *conn, q *call) {
	c.operate(q, func(ctx context.Context) error { return c.srv.cfg.Cluster.Remove(ctx, string(q.args[2])) })
}

// runHoldfastRepair answers when it is done: HOLDFAST REPAIR [PARTITION p] [SCAN].
func runHoldfastRepair(c *conn, q *call) {
	o, fault := repairOptions(q.args[2:])
	if q.fault = fault; fault != "" {
		return
	}
	c.operator(q, repairBudget, func(ctx context.Context) error {
		r, err := c.srv.cfg.Cluster.Repair(ctx, o)
		if err != nil {
			return err
		}
		return c.writeJSON(r)
	})
}

func repairOptions(args [][]byte) (o protocol.RepairOptions, fault string) {
	o.Partition = -1
	for ; len(args) > 0; args = args[1:] {
		switch {
		case equalFold(args[0], "scan"):
			o.Scan = true
		case equalFold(args[0], "partition") && len(args) > 1:
			n, err := strconv.ParseUint(string(args[1]), 10, 16)
			if err != nil {
				return o, faultNotInteger
			}
			o.Partition, args = int(n), args[1:]
		default:
			return o, faultSyntax
		}
	}
	return o, ""
}

// operate runs a change of the cluster and answers OK.
func (c *conn) operate(q *call, do func(ctx context.Context) error) {
	c.operator(q, operatorBudget, do)
	if q.fault == "" {
		c.out.simple("OK")
	}
}

// runHoldfastQuorum sets R and W of this connection: HOLDFAST QUORUM [R n] [W n]. Without either it restores the
// keyspace's own. The coordinator caps them by the number of owners.
func runHoldfastQuorum(c *conn, q *call) {
	args := q.args[2:]
	if len(args)%2 != 0 {
		q.fault = faultSyntax
		return
	}
	r, w := c.r, c.w
	if len(args) == 0 {
		r, w = 0, 0
	}
	for ; len(args) > 0 && q.fault == ""; args = args[2:] {
		switch {
		case equalFold(args[0], "r"):
			r, q.fault = parseQuorum(args[1])
		case equalFold(args[0], "w"):
			w, q.fault = parseQuorum(args[1])
		default:
			q.fault = faultSyntax
		}
	}
	if q.fault == "" {
		c.r, c.w = r, w
		c.out.simple("OK")
	}
}
