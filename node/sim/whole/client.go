package whole

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/causal"
	"github.com/holdfastdb/holdfast/node/nodetest"
	"github.com/holdfastdb/holdfast/node/sim/check"
	"github.com/holdfastdb/holdfast/request"
)

// client asks commands, one at a time, of whichever nodes it can reach. No fault stands between it and a node.
type client struct {
	w     *world
	id    int
	rng   *rand.Rand
	conns map[int]*line
	shown map[string][]token // by key: from GETV
	put   map[string][]token // by key: from PUTCTX
	calm  bool               // nothing is wrong with the cluster
}

// line is a connection to one life of a node.
type line struct {
	*nodetest.Client
	life int
}

func (w *world) client(id int) *client {
	return &client{w: w, id: id, rng: rand.New(rand.NewPCG(w.script.Seed, uint64(100+id))),
		conns: map[int]*line{}, shown: map[string][]token{}, put: map[string][]token{}}
}

// run asks until the time is over.
func (c *client) run(until time.Time) {
	defer c.close()
	home := c.rng.IntN(c.w.script.Nodes)
	for {
		time.Sleep(time.Duration(float64(askEvery) * (0.05 + c.rng.ExpFloat64())))
		if time.Now().After(until) {
			return
		}
		at := home
		if c.rng.IntN(3) == 0 {
			at = c.rng.IntN(len(c.w.machines))
		}
		c.ask(at, c.draw())
	}
}

func (c *client) close() {
	for at := range c.conns {
		c.hangUp(at)
	}
}

func (c *client) hangUp(at int) {
	if l := c.conns[at]; l != nil {
		_ = l.Close()
		delete(c.conns, at)
	}
}

// connect returns the connection to a node, or nil while it is down. To one that leaves it makes no new one, and closes what it
// has after a few commands more.
func (c *client) connect(at int) *line {
	m := c.w.machines[at]
	life, runs := m.life()
	runs = runs && !m.leaving.Load()
	if l := c.conns[at]; l != nil && l.life == life && !runs && c.rng.IntN(partingAsks) > 0 {
		return l
	}
	if l := c.conns[at]; l != nil && l.life == life && runs {
		return l
	}
	c.hangUp(at)
	if !runs {
		return nil
	}
	conn, err := m.Dial(fmt.Sprintf("127.0.1.%d", 1+c.id))
	if err != nil {
		return nil
	}
	if now, _ := m.life(); now != life { // it ended meanwhile
		_ = conn.Close()
		return nil
	}
	c.conns[at] = &line{conn, life}
	return c.conns[at]
}

// command is what to ask.
type command struct {
	name   string
	key    string
	verb   request.Verb
	change request.Change
	with   string // which context
	expire int64  // milliseconds; 0: never
}

func (c *client) draw() command {
	contexts := []string{"fresh", "fresh", "stale", "partial", "blind"}
	key := c.rng.IntN(registers) * c.rng.IntN(2) // more than half of all for one
	q := command{key: fmt.Sprintf("k%d", key), with: contexts[c.rng.IntN(len(contexts))]}
	if c.rng.IntN(6) == 0 {
		q.expire = expireMin.Milliseconds() + c.rng.Int64N((expireMax - expireMin).Milliseconds())
	}
	if c.rng.IntN(4) == 0 { // once, and never again: no later request mends what the first one missed
		q.key, q.with = fmt.Sprintf("u%d", c.rng.IntN(1_000_000)), "blind"
		return c.named(q, []string{"SET", "PUTCTX"}[c.rng.IntN(2)])
	}
	names := []string{"GET", "GETV", "GETV", "SET", "SET", "DEL", "SETNX", "EXPIRE", "PUTCTX", "PUTCTX", "PUTCTX", "DELCTX", "INCR", "INCR"}
	return c.named(q, names[c.rng.IntN(len(names))])
}

func (c *client) named(q command, name string) command {
	q.name = name
	switch name {
	case "SET":
		q.verb = request.Put
	case "DEL":
		q.verb = request.Delete
	case "SETNX":
		q.verb, q.change = request.Modify, request.ChangeSet
	case "EXPIRE":
		q.verb, q.change = request.Modify, request.ChangeExpire
		q.expire = max(q.expire, 5000)
	case "INCR":
		q.verb, q.change = request.Modify, request.ChangeAdd
		q.key = fmt.Sprintf("c%d", c.rng.IntN(counters))
	case "PUTCTX":
		q.verb = request.PutSeen
	case "DELCTX":
		q.verb = request.DeleteSeen
	}
	return q
}

// ask sends one command and takes its answer.
func (c *client) ask(at int, q command) {
	l := c.connect(at)
	if l == nil {
		return
	}
	a := &asked{client: c.id, given: c.context(q), kind: kind{at, l.life, q.key, q.verb, q.change}}
	a.Calm, a.Skewed = c.calm, c.w.skewed[at]
	if !c.w.rec.ask(a) {
		return
	}
	words := q.words(a)
	a.text = strings.TrimSpace(fmt.Sprintln(words...))
	c.take(a, q, l.Do(words...))
	c.w.rec.forget(a)
	if life, _ := c.w.machines[at].life(); a.reply == lost && l.life == life {
		a.Outcome = check.Unanswered // and its node lives
	}
	if a.Outcome == check.Unanswered || a.reply == lost {
		c.hangUp(at)
	}
}

// words spells the command; its value is the operation's own.
func (q command) words(a *asked) []any {
	value := fmt.Sprintf("v%d", a.ID)
	switch q.name {
	case "SET":
		if q.expire > 0 {
			return []any{"SET", q.key, value, "PX", q.expire}
		}
		return []any{"SET", q.key, value}
	case "SETNX":
		return []any{"SETNX", q.key, value}
	case "EXPIRE":
		return []any{"PEXPIRE", q.key, q.expire}
	case "PUTCTX":
		return []any{"PUTCTX", q.key, a.given.text, value}
	case "DELCTX":
		return []any{"DELCTX", q.key, a.given.text}
	}
	return []any{q.name, q.key}
}

// context picks what a put names as seen: the newest that the client was shown, the oldest, that of its own last put, or
// nothing.
func (c *client) context(q command) token {
	shown, put := c.shown[q.key], c.put[q.key]
	switch {
	case q.verb != request.PutSeen && q.verb != request.DeleteSeen:
	case q.with == "fresh" && len(shown) > 0:
		return shown[len(shown)-1]
	case q.with == "stale" && len(shown) > 0:
		return shown[0]
	case q.with == "partial" && len(put) > 0:
		return put[len(put)-1]
	}
	return token{}
}

// wokeSince reports whether the machine stood still while the operation was under way. Its client is then answered within the budget
// after it went on.
func (m *machine) wokeSince(a *asked) bool {
	woke := check.Moment(time.Unix(0, m.woke.Load()).Sub(m.w.rec.began))
	if woke <= a.Begin {
		return false
	}
	a.Deadline = max(a.Deadline, woke+check.Moment(budget+grace))
	return true
}

const lost = "(connection lost)"

// take records the answer and keeps the context that it gave.
func (c *client) take(a *asked, q command, reply any) {
	c.w.rec.mu.Lock()
	defer c.w.rec.mu.Unlock()
	a.End, a.ended = c.w.rec.now(), time.Now().UnixMilli()
	if a.Wall = a.ended; c.w.machines[a.Node].wokeSince(a) {
		a.Wall = c.w.rec.began.UnixMilli() + time.Duration(a.Begin).Milliseconds() // it may be long since the answer was found
	}
	if err, failed := reply.(error); failed {
		a.fail(err)
		return
	}
	a.Outcome, a.reply = check.Done, fmt.Sprint(reply)
	if x, ok := a.state.Winner(); ok && q.name == "GET" && reply == string(x.Value) {
		a.ExpireAt = x.ExpireAt
	}
	c.remember(a, q, reply)
}

func (c *client) remember(a *asked, q command, reply any) {
	switch q.name {
	case "GETV":
		var dots []causal.Dot
		for _, x := range a.state.Siblings {
			dots = append(dots, x.Dot)
		}
		c.shown[q.key] = append(c.shown[q.key], token{text: reply.([]any)[0].(string), dots: dots})
	case "PUTCTX":
		t := token{text: reply.(string), dots: a.given.dots, puts: append(append([]*asked(nil), a.given.puts...), a)}
		c.put[q.key] = append(c.put[q.key], t)
	}
}

// fail tells refusals, doubts and silence apart.
func (a *asked) fail(err error) {
	a.Err, a.reply = err.Error(), err.Error()
	var told nodetest.Error
	switch {
	case errors.As(err, &told) && strings.HasPrefix(a.Err, "MAYBE"):
		a.Outcome = check.Maybe
	case errors.As(err, &told):
		a.Outcome = check.Refused
	case errors.Is(err, os.ErrDeadlineExceeded):
		a.Outcome = check.Unanswered
	default: // with the node that it was asked of
		a.Outcome, a.reply = check.Maybe, lost
	}
}
