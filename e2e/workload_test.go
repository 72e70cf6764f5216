//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/holdfastdb/holdfast/faults/history"
)

// Sizes of the workload's key sets. Few keys make conflicts.
const (
	ownKeys      = 8  // registers that one client alone writes, for each client
	sharedKeys   = 32 // registers that all write
	versionKeys  = 48 // keys of PUTCTX that all write
	counterKeys  = 16
	appendsMax   = 100 // pieces that one client appends
	failuresMax  = 10  // failures that are told in words
	blindPercent = 10  // of the puts that look at nothing
)

// workload is mixed load from several connections, all of it recorded.
type workload struct {
	began   time.Time
	pause   time.Duration // between two commands of a connection; 0: none
	ending  chan struct{}
	broken  atomic.Bool // all servers are being killed: neither lost connections nor MAYBE are failures from now on
	wg      sync.WaitGroup
	workers []*worker
}

// worker is one connection and what it saw.
type worker struct {
	*workload
	name   string
	server *member
	conn   redis.Conn
	rng    *rand.Rand
	seq    int
	record
}

// record is what one worker, or all together, did and saw.
type record struct {
	registers, versions map[string]*history.Key
	counters            map[string]*history.Counter
	appends             map[string]*pieces
	samples             []sample
	unsure, failed      int
	failures            []string
}

// pieces is what became of the pieces appended to one key.
type pieces struct{ acked, unsure []string }

// sample is how long one command took.
type sample struct {
	command  string
	at, took time.Duration
}

func newRecord() record {
	return record{registers: map[string]*history.Key{}, versions: map[string]*history.Key{}, counters: map[string]*history.Counter{}, appends: map[string]*pieces{}}
}

// load starts connections, spread over the servers.
func load(t *testing.T, connections int, pause time.Duration, servers ...*member) *workload {
	t.Helper()
	l := &workload{began: time.Now(), pause: pause, ending: make(chan struct{})}
	for i := range connections {
		w := &worker{workload: l, name: fmt.Sprint("w", i), server: servers[i%len(servers)], record: newRecord(),
			rng: rand.New(rand.NewPCG(1, uint64(i)))}
		conn, err := w.server.dial()
		if err != nil {
			t.Fatal(err)
		}
		w.conn = conn
		l.workers = append(l.workers, w)
	}
	for _, w := range l.workers {
		l.wg.Go(w.run)
	}
	return l
}

// now is the time of the workload's clock.
func (l *workload) now() time.Duration { return time.Since(l.began) }

// during waits while the load runs.
func (l *workload) during(d time.Duration) { <-time.After(d) }

// stop ends the load after the commands in flight, and returns what all did and saw.
func (l *workload) stop() record {
	close(l.ending)
	return l.join()
}

// join waits for the workers to end by themselves and returns what all did and saw.
func (l *workload) join() record {
	l.wg.Wait()
	all := newRecord()
	for _, w := range l.workers {
		_ = w.conn.Close()
		all.add(w.record)
	}
	return all
}

func (r *record) add(o record) {
	for key, h := range o.registers {
		at(r.registers, key).Add(*h)
	}
	for key, h := range o.versions {
		at(r.versions, key).Add(*h)
	}
	for key, c := range o.counters {
		at(r.counters, key).Add(*c)
	}
	for key, p := range o.appends {
		r.appends[key] = p // one client's alone
	}
	r.samples = append(r.samples, o.samples...)
	r.unsure, r.failed = r.unsure+o.unsure, r.failed+o.failed
	r.failures = append(r.failures, o.failures...)
}

// at returns the entry of a key, a new one if need be.
func at[V any](m map[string]*V, key string) *V {
	if m[key] == nil {
		m[key] = new(V)
	}
	return m[key]
}

// run does one thing after the other until the load ends, or its server is gone.
func (w *worker) run() {
	acts := w.acts()
	tick := time.NewTicker(max(w.pause, 1))
	defer tick.Stop()
	for {
		select {
		case <-w.ending:
			return
		default:
		}
		if w.pause > 0 {
			<-tick.C
		}
		if err := acts[w.rng.IntN(len(acts))](); errors.Is(err, errServerGone) {
			return
		}
	}
}

// acts returns what a worker does, each as often as it shall be done relative to the others.
func (w *worker) acts() (acts []func() error) {
	for _, a := range []struct {
		share int
		do    func() error
	}{
		{18, func() error { return w.get(w.ownKey()) }}, {20, func() error { return w.set(w.ownKey()) }}, {5, func() error { return w.del(w.ownKey()) }},
		{10, func() error { return w.get(w.sharedKey()) }}, {8, func() error { return w.set(w.sharedKey()) }}, {3, func() error { return w.del(w.sharedKey()) }},
		{5, w.getV}, {10, w.putCtx}, {2, w.delCtx}, {8, w.incr}, {2, w.append}, {3, w.setNX},
	} {
		acts = append(acts, slices.Repeat([]func() error{a.do}, a.share)...)
	}
	return acts
}

func (w *worker) ownKey() string    { return fmt.Sprintf("own:%s:%d", w.name, w.rng.IntN(ownKeys)) }
func (w *worker) sharedKey() string { return fmt.Sprint("shared:", w.rng.IntN(sharedKeys)) }

// value returns one that nobody writes a second time.
func (w *worker) value() string {
	w.seq++
	return fmt.Sprintf("%s-%d", w.name, w.seq)
}

// What can come of a command instead of an answer.
var (
	errServerGone = errors.New("the server is gone")
	errUnsure     = errors.New("perhaps executed")
	errRefused    = errors.New("not executed")
)

// do sends one command and waits for its answer. Errors are errServerGone and errUnsure, after which it may have been executed,
// and errRefused, after which it was not.
func (w *worker) do(command string, args ...any) (reply any, begin, end time.Duration, err error) {
	begin = w.now()
	reply, err = w.conn.Do(command, args...)
	end = w.now()
	if err != nil {
		err = w.judge(command, end, err)
	}
	if !errors.Is(err, errServerGone) {
		w.samples = append(w.samples, sample{command, begin, end - begin})
	}
	if err != nil {
		end = history.Never
	}
	return reply, begin, end, err
}

// mayBeUnsure reports whether a command may be answered with MAYBE: running it twice is not the same as running it once.
func mayBeUnsure(command string) bool {
	return slices.Contains([]string{"INCR", "APPEND", "SETNX"}, command)
}

// judge counts an error. Only what is not idempotent may be answered with MAYBE, and nothing with any other error.
func (w *worker) judge(command string, at time.Duration, err error) error {
	var answer redis.Error
	isAnswer := errors.As(err, &answer)
	maybe := isAnswer && strings.HasPrefix(string(answer), "MAYBE ")
	switch {
	case !isAnswer && w.broken.Load():
		return errServerGone
	case maybe && (mayBeUnsure(command) || w.broken.Load()):
		w.unsure++
		return errUnsure
	}
	if isAnswer && w.broken.Load() {
		return errRefused
	}
	w.failed++
	if len(w.failures) < failuresMax {
		w.failures = append(w.failures, fmt.Sprintf("%s on %s at %v: %v", command, w.server.name, at.Round(time.Millisecond), err))
	}
	switch {
	case !isAnswer:
		return errServerGone
	case maybe:
		return errUnsure
	}
	return errRefused
}

// saw records a read of a key.
func saw(h *history.Key, values []string, begin, end time.Duration, by string) {
	h.Reads = append(h.Reads, history.Read{Values: values, Begin: begin, End: end, By: by})
}

// wrote records a write of a key, unless it was refused.
func wrote(h *history.Key, value string, over []string, begin, end time.Duration, err error) error {
	if !errors.Is(err, errRefused) {
		h.Writes = append(h.Writes, history.Write{Value: value, Begin: begin, End: end, Over: over})
	}
	return err
}

func (w *worker) set(key string) error {
	v := w.value()
	_, begin, end, err := w.do("SET", key, v)
	return wrote(at(w.registers, key), v, nil, begin, end, err)
}

func (w *worker) del(key string) error {
	_, begin, end, err := w.do("DEL", key)
	return wrote(at(w.registers, key), "", nil, begin, end, err)
}

func (w *worker) setNX() error {
	v := w.value()
	key := "once:" + v
	reply, begin, end, err := w.do("SETNX", key, v)
	if reply == int64(0) {
		return nil // the reads at the end show that nobody wrote it
	}
	return wrote(at(w.registers, key), v, nil, begin, end, err)
}

func (w *worker) get(key string) error {
	reply, begin, end, err := w.do("GET", key)
	if err == nil {
		saw(at(w.registers, key), valuesOf(reply), begin, end, w.server.name)
	}
	return err
}

// valuesOf returns the values that a reply of GET shows.
func valuesOf(reply any) []string {
	if reply == nil {
		return nil
	}
	return []string{string(reply.([]byte))}
}

// versionKey draws a key of PUTCTX.
func (w *worker) versionKey() string { return fmt.Sprint("version:", w.rng.IntN(versionKeys)) }

func (w *worker) getV() error {
	_, _, err := w.versionsOf(w.versionKey())
	return err
}

// versionsOf reads a key's context and values.
func (w *worker) versionsOf(key string) (seen string, values []string, err error) {
	reply, begin, end, err := w.do("GETV", key)
	if err != nil {
		return "", nil, err
	}
	seen, values = contextOf(reply)
	saw(at(w.versions, key), values, begin, end, w.server.name)
	return seen, values, nil
}

// contextOf takes a reply of GETV apart.
func contextOf(reply any) (seen string, values []string) {
	fields := reply.([]any)
	for _, v := range fields[1].([]any) {
		values = append(values, string(v.([]byte)))
	}
	return string(fields[0].([]byte)), values
}

// putCtx puts a value over what it sees, or beside it; sometimes a second one over the first, by the context that the first
// put returned.
func (w *worker) putCtx() error {
	key, seen, over := w.versionKey(), "", []string(nil)
	if w.rng.IntN(100) >= blindPercent {
		var err error
		if seen, over, err = w.versionsOf(key); err != nil {
			return err
		}
	}
	v := w.value()
	reply, begin, end, err := w.do("PUTCTX", key, seen, v)
	if err := wrote(at(w.versions, key), v, over, begin, end, err); err != nil || w.rng.IntN(4) > 0 {
		return err
	}
	second := w.value()
	_, begin, end, err = w.do("PUTCTX", key, reply, second)
	return wrote(at(w.versions, key), second, append(slices.Clone(over), v), begin, end, err)
}

func (w *worker) delCtx() error {
	key := w.versionKey()
	seen, over, err := w.versionsOf(key)
	if err != nil {
		return err
	}
	_, begin, end, err := w.do("DELCTX", key, seen)
	return wrote(at(w.versions, key), "", over, begin, end, err)
}

func (w *worker) incr() error {
	key := "counter:" + strconv.Itoa(w.rng.IntN(counterKeys))
	c := at(w.counters, key)
	reply, _, _, err := w.do("INCR", key)
	switch {
	case err == nil:
		c.Answers = append(c.Answers, integer(reply))
	case !errors.Is(err, errRefused):
		c.Unsure++
	}
	return err
}

func (w *worker) append() error {
	p := at(w.appends, "log:"+w.name)
	if len(p.acked)+len(p.unsure) >= appendsMax {
		return nil
	}
	piece := w.value() + ";"
	_, _, _, err := w.do("APPEND", "log:"+w.name, piece)
	switch {
	case err == nil:
		p.acked = append(p.acked, piece)
	case !errors.Is(err, errRefused):
		p.unsure = append(p.unsure, piece)
	}
	return err
}
