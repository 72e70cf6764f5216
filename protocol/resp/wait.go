package resp

import (
	"context"
	"time"
)

// runWait answers how many replicas hold the connection's last write, as soon as they are as many as asked for, or
// after the timeout. 0, which is for ever in Redis, is WaitMax here: a connection that waits does not notice that its
// client is gone.
func runWait(c *conn, q *call) {
	want, ok := parseInt(q.args[1])
	if !ok {
		q.fault = faultNotInteger
		return
	}
	millis, ok := parseInt(q.args[2])
	switch {
	case !ok:
		q.fault = "ERR timeout is not an integer or out of range"
		return
	case millis < 0:
		q.fault = "ERR timeout is negative"
		return
	}
	timeout := WaitMax
	if millis > 0 && millis < WaitMax.Milliseconds() {
		timeout = time.Duration(millis) * time.Millisecond
	}
	c.out.int(int64(c.awaitHolders(want, timeout)))
}

// awaitHolders counts the holders of the last write until there are want, with growing pauses. Where nothing was
// written, or its dots are not known, there is nothing to wait for.
func (c *conn) awaitHolders(want int64, timeout time.Duration) int {
	if !c.last.ok || c.last.seen.IsZero() {
		return c.last.acks
	}
	c.out.flush() // what was asked for before does not wait for this
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	for pause := waitPollMin; ; pause = min(2*pause, waitPollMax) {
		n := c.srv.cfg.Store.Replicas(ctx, c.last.key.Space, c.last.key.Name, c.last.seen)
		if int64(n) >= want || c.nc.Draining() || !pauseFor(ctx, pause) {
			return n
		}
	}
}

// pauseFor waits for d; false if ctx ends first.
func pauseFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
