package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// supervisor keeps dev's nodes. Its state belongs to the goroutine of run; the others send it what they found out.
type supervisor struct {
	p        *process
	program  string
	dir      *devDir
	nodes    []devNode
	spawner  *spawner
	children []*child // by node; nil: none runs
	deaths   chan death
	wg       sync.WaitGroup // of those who wait for children

	revived time.Time // when SIGUSR1 came last
	formed  bool      // ready was said once
	asking  asking
}

// death is the news that a child has ended.
type death struct {
	*child
	how string
}

func newSupervisor(p *process, dir *devDir, nodes []devNode) (*supervisor, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return &supervisor{
		p: p, program: program, dir: dir, nodes: nodes, spawner: newSpawner(),
		children: make([]*child, len(nodes)), deaths: make(chan death, len(nodes)),
	}, nil
}

// run starts the nodes and keeps them until a signal, ctx or the end of the parent ends them all. It returns nil then, and a
// refusal if a node refused to start before the cluster was formed.
func (s *supervisor) run(ctx context.Context, signals <-chan os.Signal, parent parent) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.say("dev pid=%d", os.Getpid())
	err := s.startMissing(ctx)
	if err == nil {
		err = s.loop(ctx, signals, parent.gone(ctx))
	}
	s.asking.stop()
	s.stopAll(signals)
	s.wg.Wait()
	s.spawner.Close()
	return err
}

func (s *supervisor) loop(ctx context.Context, signals <-chan os.Signal, parentGone <-chan struct{}) error {
	for {
		select {
		case sig := <-signals:
			if sig != syscall.SIGUSR1 {
				return nil
			}
			s.noteDying()
			if err := s.startMissing(ctx); err != nil {
				s.say("%v", err)
			}
		case d := <-s.deaths:
			if err := s.bury(ctx, d); err != nil {
				return err
			}
		case found := <-s.asking.found:
			s.tell(found)
		case <-parentGone:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// noteDying notes at SIGUSR1 which nodes were killed before it, though the news of their death is still on its way: on a busy machine
// it may take seconds.
func (s *supervisor) noteDying() {
	s.revived = time.Now()
	for _, c := range s.children {
		if c != nil {
			c.revive = dying(c.pid)
		}
	}
}

// startMissing starts every node that does not run, prints its line, and begins to ask when all serve.
func (s *supervisor) startMissing(ctx context.Context) error {
	started := 0
	for i, c := range s.children {
		if c != nil {
			continue
		}
		c, err := s.startChild(i)
		if err != nil {
			return fmt.Errorf("starting %s: %w", s.nodes[i].name, err)
		}
		s.children[i] = c
		s.wg.Go(func() { s.deaths <- death{c, c.wait()} })
		s.say("%s pid=%d %s", s.nodes[i].name, c.pid, s.nodes[i].line)
		started++
	}
	if started > 0 {
		s.asking.start(ctx, s.nodes)
	}
	return nil
}

// bury tells that a node ended, and by what command it comes back. A node that was killed just before SIGUSR1 is started
// again at once, since its death may be noticed only after the signal.
func (s *supervisor) bury(ctx context.Context, d death) error {
	s.children[d.node] = nil
	_ = d.life.Close()
	name := s.nodes[d.node].name
	if d.cmd.ProcessState != nil && d.cmd.ProcessState.ExitCode() == exitRefused && !s.formed {
		return refuse("%s refused to start; its reason stands above and in %s.log", name, s.nodes[d.node].dir)
	}
	s.say("%s (pid %d) ended: %s; bring it back: kill -USR1 %d", name, d.pid, d.how, os.Getpid())
	if d.revive || d.started.Before(s.revived) && time.Since(s.revived) < reviveGrace {
		return s.startMissing(ctx)
	}
	return nil
}

// tell prints what the questions to the nodes found.
func (s *supervisor) tell(found finding) {
	if len(found.missing) > 0 {
		s.say("not ready after %v: %s; logs in %s; still asking", readyPatience, strings.Join(found.missing, "; "), s.dir.path)
		return
	}
	s.formed = true
	victim := s.children[len(s.children)-1]
	if victim == nil {
		return // it died since; that was told, and another round follows its revival
	}
	s.say("ready: kill a node with kill -9 %d (%s), bring it back with kill -USR1 %d, stop all with ctrl-c or kill %d",
		victim.pid, s.nodes[victim.node].name, os.Getpid(), os.Getpid())
}

// stopAll asks all nodes to end, and kills those that have not after stopPatience or at a second signal.
func (s *supervisor) stopAll(signals <-chan os.Signal) {
	s.eachChild((*child).stop)
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	for s.running() {
		select {
		case d := <-s.deaths:
			s.children[d.node] = nil
			_ = d.life.Close()
		case sig := <-signals:
			if sig != syscall.SIGUSR1 {
				s.eachChild((*child).kill)
			}
		case <-patience.C:
			s.eachChild((*child).kill)
		}
	}
}

func (s *supervisor) eachChild(act func(*child)) {
	for _, c := range s.children {
		if c != nil {
			act(c)
		}
	}
}

func (s *supervisor) running() bool {
	for _, c := range s.children {
		if c != nil {
			return true
		}
	}
	return false
}

// say prints one line. A reader that has gone away is not worth the nodes.
func (s *supervisor) say(format string, args ...any) { fmt.Fprintf(s.p.stdout, format+"\n", args...) }

// finding is the end of a round of questions: nobody is missing, or who, and why.
type finding struct{ missing []string }

// asking is dev's questions to the nodes: one round after the other, until all of them serve in one cluster.
type asking struct {
	found  chan finding
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// start begins to ask. What it finds goes to found: at last that nobody is missing, and before, each readyPatience, who is.
// Questions that are under way are stopped first.
func (a *asking) start(ctx context.Context, nodes []devNode) {
	a.stop()
	ctx, a.cancel = context.WithCancel(ctx)
	a.found = make(chan finding)
	a.wg.Go(func() { ask(ctx, nodes, a.found) })
}

// stop ends the questions. What they found and nobody heard is dropped.
func (a *asking) stop() {
	if a.cancel != nil {
		a.cancel()
		a.wg.Wait()
	}
}

func ask(ctx context.Context, nodes []devNode, found chan<- finding) {
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for last := time.Now(); ; {
		missing := whoIsMissing(ctx, nodes)
		if len(missing) == 0 || time.Since(last) > readyPatience {
			last = time.Now()
			select {
			case found <- finding{missing}:
			case <-ctx.Done():
				return
			}
		}
		if len(missing) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// whoIsMissing asks every node at once, and returns a reason for each that does not serve, or does not see all the others
// alive. The order is the nodes'.
func whoIsMissing(ctx context.Context, nodes []devNode) []string {
	reasons := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { reasons[i] = n.serves(ctx, nodes) })
	}
	wg.Wait()
	var missing []string
	for i, reason := range reasons {
		if reason != nil {
			missing = append(missing, nodes[i].name+": "+reason.Error())
		}
	}
	return missing
}

// serves returns nil if the node serves and sees all the others alive.
func (n devNode) serves(ctx context.Context, nodes []devNode) error {
	status, err := (&target{addr: n.resp}).askReady(ctx)
	switch {
	case errors.As(err, new(*dialError)):
		return errors.New("does not answer")
	case err != nil:
		return err
	}
	alive := map[string]bool{}
	for _, seen := range status.Nodes {
		alive[seen.Name] = alive[seen.Name] || seen.Alive
	}
	for _, other := range nodes {
		if !alive[other.name] {
			return errors.New("does not see " + other.name)
		}
	}
	return askReadyz(ctx, n.http)
}
