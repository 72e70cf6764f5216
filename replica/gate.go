package replica

import "sync"

// gate lets calls in until it is shut, and tells when the last has left: the database must not be closed under a call.
type gate struct {
	mu struct {
		sync.Mutex
		inside int
		shut   bool
		empty  chan struct{} // closed when shut and empty
	}
}

func newGate() *gate {
	g := &gate{}
	g.mu.empty = make(chan struct{})
	return g
}

// enter reports whether the caller is let in; if so, it must leave.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.shut {
		return false
	}
	g.mu.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.inside--
	if g.mu.shut && g.mu.inside == 0 {
		close(g.mu.empty)
	}
}

// shut lets nobody in any more and waits for those inside. It reports false if the gate was shut before.
func (g *gate) shut() bool {
	g.mu.Lock()
	first := !g.mu.shut
	g.mu.shut = true
	if first && g.mu.inside == 0 {
		close(g.mu.empty)
	}
	g.mu.Unlock()
	<-g.mu.empty
	return first
}
