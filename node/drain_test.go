package node_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/node/nodetest"
)

// A load is one client that asks one command after the other.
type load struct {
	answered int
	last     error // how the connection ended
	bad      []string
}

// run asks until stop is closed or the connection ends. An error reply is bad; so is a connection that ends within a reply.
func (l *load) run(m *nodetest.Machine, name string, stop <-chan struct{}) {
	c := m.Client()
	defer c.Close()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		key, value := fmt.Sprint(name, i%20), fmt.Sprint(i)
		for _, command := range [][]any{{"SET", key, value}, {"GET", key}, {"INCR", name}, {"PUTCTX", key, "", value}, {"DEL", key}} {
			switch answer := c.Do(command...).(type) {
			case nodetest.Error:
				l.bad = append(l.bad, fmt.Sprint(command, ": ", answer))
			case error:
				l.last = answer
				return
			default:
				l.answered++
			}
		}
	}
}

func TestGracefulShutdownUnderLoadIsNotNoticed(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		const each = 4
		loads := make([]load, each*len(c.Machines))
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range loads {
			wg.Go(func() { loads[i].run(c.Machines[i/each], fmt.Sprint("client", i, "-"), stop) })
		}
		time.Sleep(300 * time.Millisecond)
		c.Machines[0].Stop()
		time.Sleep(700 * time.Millisecond)
		close(stop)
		wg.Wait()
		var answered int
		for i, l := range loads {
			answered += l.answered
			if len(l.bad) > 0 {
				t.Errorf("client %d of %s: %d errors, first %s", i, c.Machines[i/each].Config.Name, len(l.bad), l.bad[0])
			}
			if own := i < each; own != (l.last != nil) {
				t.Errorf("client %d of %s: connection ended with %v", i, c.Machines[i/each].Config.Name, l.last)
			}
		}
		t.Logf("%d commands answered", answered)
	})
}
