package resp

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// view is what CLIENT LIST tells of a connection.
type view struct {
	id                   int64
	addr, laddr          string
	name, library, libno string
	opened, active       time.Time
	space                uint8
	command              string
}

// profile is the part of a connection that other connections may look at.
type profile struct {
	id int64 // fixed
	mu struct {
		sync.Mutex
		view
	}
}

func (p *profile) open(id int64, now time.Time, nc net.Conn) {
	p.id = id
	p.mu.view = view{id: id, opened: now, active: now, addr: nc.RemoteAddr().String(), laddr: nc.LocalAddr().String()}
}

// used notes a batch.
func (p *profile) used(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.active, p.mu.space = c.start, c.space
}

// ran notes a command.
func (p *profile) ran(command string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.command = command
}

func (p *profile) view() view {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.view
}

// edit changes the view under the lock.
func (p *profile) edit(change func(*view)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.mu.view)
}

// line renders the view as CLIENT LIST does. What a buffer holds at this moment is not told: it reads 0.
func (v view) line(now time.Time) string {
	seconds := func(since time.Time) int64 { return max(0, int64(now.Sub(since)/time.Second)) }
	var b strings.Builder
	fmt.Fprintf(&b, "id=%d addr=%s laddr=%s fd=0 name=%s age=%d idle=%d flags=N db=%d sub=0 psub=0 ssub=0 multi=-1",
		v.id, v.addr, v.laddr, v.name, seconds(v.opened), seconds(v.active), v.space)
	fmt.Fprintf(&b, " qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r")
	fmt.Fprintf(&b, " cmd=%s user=default redir=-1 resp=2 lib-name=%s lib-ver=%s\n", v.command, v.library, v.libno)
	return b.String()
}
