package coordinator

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/request"
)

// A batch that ended without its answers leaves a waiter that says nothing of the next batch, even if they come then.
func TestLateAnswerDoesNotEndTheNextBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Coordinator{}
		begin := func() *batch {
			return newBatch(c, &View{}, []*request.Op{{Verb: request.Get}}, time.Now().Add(time.Second))
		}
		for range 10 {
			late := begin()
			late.wait(t.Context())
			next, start := begin(), time.Now()
			late.answer(0, request.Result{Int: 1})
			next.wait(t.Context())
			if took := time.Since(start); took != time.Second {
				t.Fatalf("the next batch ended after %v", took)
			}
			answered := begin()
			answered.answer(0, request.Result{Int: 1})
			if answered.wait(t.Context()); answered.ops[0].Result.Int != 1 {
				t.Fatalf("%+v", answered.ops[0].Result)
			}
		}
	})
}

// A batch may be done in the moment when its caller gives up.
func TestFreeWaiterIsSilent(t *testing.T) {
	var p waiters
	for range 10 {
		w := p.take()
		select {
		case <-w.done:
			t.Fatal("a new batch is done")
		default:
		}
		w.done <- struct{}{}
		p.free(w)
	}
}

// told counts how often it is told.
type told struct{ times int }

func (r *told) rang() { r.times++ }

func TestAlarmRingsForWhoSetItAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p alarms
		var stopped, rung, again told
		for range 100 {
			p.stop(p.set(time.Second, &stopped))
			a := p.set(time.Second, &rung)
			time.Sleep(time.Second) // until the moment when it rings, before or after which it is stopped
			p.stop(a)
			p.set(time.Second, &again)
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
		if stopped.times != 0 || rung.times > 100 || again.times != 100 {
			t.Errorf("rang %d, %d and %d times", stopped.times, rung.times, again.times)
		}
	})
}
