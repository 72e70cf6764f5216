//go:build linux

package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

const (
	calmFor      = 10 * time.Second // of foreground alone, before each change
	backgroundUp = 1.5              // by how much the p99 may rise while work goes on in the background
	movedValues  = 1500             // of bulkyValue bytes: what transfers have to move
)

// window is a part of a workload's time.
type window struct{ from, to time.Duration }

// during returns how long the commands took that began in the windows, shortest first.
func (r *record) during(windows []window) (took []time.Duration) {
	for _, s := range r.samples {
		if slices.ContainsFunc(windows, func(w window) bool { return w.from <= s.at && s.at < w.to }) {
			took = append(took, s.took)
		}
	}
	slices.Sort(took)
	return took
}

// tailOf returns p50, p99 and p99.9 in words, and the p99.
func tailOf(took []time.Duration) (text string, p99 time.Duration) {
	at := func(part int) time.Duration { return took[len(took)-1-len(took)/part].Round(10 * time.Microsecond) }
	return fmt.Sprintf("%7d commands, p50 %v, p99 %v, p99.9 %v", len(took), at(2), at(100), at(1000)), at(100)
}

// TestBackgroundWorkIsNotFelt compares what clients see while partitions change hands and all copies are compared
// with what they see without, by turns in one run, and wants that work to come to its end.
func TestBackgroundWorkIsNotFelt(t *testing.T) {
	if !*full {
		t.Skip("a stopwatch: only with -e2e.full")
	}
	c := found(t, 3)
	stay := slices.Clone(c.nodes)
	loadBulky(t, c, movedValues)
	l := load(t, 20, 5*time.Millisecond, stay...)
	var calm, busy []window
	var joiner *member
	for i := range 4 {
		began := l.now()
		l.during(calmFor)
		turned := l.now()
		compared := c.comparedWhile(t, func() {
			if i%2 == 0 {
				joiner = c.newcomer(t, fmt.Sprint("node-", 4+i))
				joiner.start(t)
				c.awaitRest(t)
				return
			}
			holdfast(t, "leave", "--addr", joiner.resp())
			<-joiner.done
			c.part(t, joiner)
			c.awaitRest(t)
		})
		calm, busy = append(calm, window{began, turned}), append(busy, window{turned, l.now()})
		t.Logf("change %d: %v, and all copies compared %d times beside it", i+1, (l.now() - turned).Round(time.Millisecond), compared)
	}
	r := l.stop()
	without, p99 := tailOf(r.during(calm))
	with, p99Busy := tailOf(r.during(busy))
	ratio := float64(p99Busy) / float64(p99)
	t.Logf("without: %s", without)
	t.Logf("with:    %s; %.2f times the p99 of without", with, ratio)
	if ratio > backgroundUp {
		t.Errorf("the p99 rises %.2f times, want %.1f at most", ratio, backgroundUp)
	}
	r.answered(t)
	r.verify(t, l, 2, stay...)
}

// comparedWhile has the nodes compare all copies by their trees, again and again until act has returned, and returns how often.
func (c *cluster) comparedWhile(t *testing.T, act func()) (times int) {
	t.Helper()
	asked, done, ended := c.nodes[0], make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			// That some copies were not compared, as while they change hands, makes it end with 1.
			_ = asked.command("repair").Run()
			times++
			select {
			case <-done:
				return
			default:
			}
		}
	}()
	act()
	close(done)
	<-ended
	return times
}
