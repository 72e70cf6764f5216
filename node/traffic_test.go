package node_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/node/nodetest"
)

const trafficPause = 50 * time.Millisecond // between two commands of a client

// traffic is a client at each of some machines, none of whose commands may fail.
type traffic struct {
	t      *testing.T
	ending chan struct{}
	wg     sync.WaitGroup
	asked  atomic.Int64
}

// startTraffic starts the clients. Each writes, reads, and deletes keys of its own; with counts, it also counts, which only goes
// without failure while no node comes or goes.
func startTraffic(t *testing.T, counts bool, machines ...*nodetest.Machine) *traffic {
	t.Helper()
	tr := &traffic{t: t, ending: make(chan struct{})}
	for n, m := range machines {
		c, name := m.Client(), fmt.Sprint(m.Config.Name, ".", n) // one machine may have several
		tr.wg.Go(func() {
			defer c.Close()
			for i := 0; tr.goesOn(); i++ {
				tr.round(c, name, fmt.Sprint(name, ":", i), counts, int64(i))
			}
		})
	}
	return tr
}

func (tr *traffic) goesOn() bool {
	select {
	case <-tr.ending:
		return false
	default:
		return true
	}
}

// round is one of each command.
func (tr *traffic) round(c *nodetest.Client, at, key string, counts bool, i int64) {
	tr.want(c, "OK", "SET", key, "v")
	tr.want(c, "v", "GET", key)
	tr.want(c, nil, "PUTCTX", key+"c", "", "w")
	tr.want(c, "w", "GET", key+"c")
	tr.want(c, int64(1), "DEL", key)
	tr.want(c, nil, "GET", key)
	if counts {
		tr.want(c, i+1, "INCR", at)
	}
}

// want asks one command. nil wants no more than that it does not fail; of a GET, that there is nothing.
func (tr *traffic) want(c *nodetest.Client, want any, args ...any) {
	got := c.Do(args...)
	tr.asked.Add(1)
	if _, failed := got.(error); failed || (want != nil || args[0] == "GET") && got != want {
		tr.t.Errorf("%v: %v, want %v", args, got, want)
	}
	time.Sleep(trafficPause)
}

// stop ends the clients and returns how many commands they asked.
func (tr *traffic) stop() int64 {
	close(tr.ending)
	tr.wg.Wait()
	return tr.asked.Load()
}
