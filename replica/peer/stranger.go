package peer

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"
)

// strangers are the accepted connections whose dialers have not yet proved that they belong here, oldest first. They have places of
// their own, so that whoever knocks at the port, a scanner or another cluster, takes none from members. When all places are taken
// the oldest stranger goes: a member proves itself within milliseconds, and somebody who wants to keep it out has to fill every
// place anew in that time.
type strangers struct {
	room chan struct{} // a token for each; StrangersMax
	mu   struct {
		sync.Mutex
		conns []net.Conn
	}
}

func newStrangers() *strangers { return &strangers{room: make(chan struct{}, StrangersMax)} }

// admit notes a connection, which has its deadline already; it waits until the stranger that goes for it has gone, and reports
// whether one did. Each call is followed by a leave, unless ctx, which ended, is why ok is false.
func (s *strangers) admit(ctx context.Context, conn net.Conn) (crowded, ok bool) {
	if !tryTake(s.room) {
		crowded = s.sendOldestAway()
		select {
		case s.room <- struct{}{}:
		case <-ctx.Done():
			return crowded, false
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.conns = append(s.mu.conns, conn)
	return crowded, true
}

// sendOldestAway ends what the oldest stranger waits for; who serves it closes it. Closing it here could wait for it, under TLS.
func (s *strangers) sendOldestAway() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.conns) == 0 {
		return false // they all leave just now
	}
	_ = s.mu.conns[0].SetDeadline(time.Unix(1, 0)) // fails only on one that is closed
	s.mu.conns = slices.Delete(s.mu.conns, 0, 1)
	return true
}

// leave forgets a connection, whose dialer has proved itself or failed to, and reports whether it was not sent away meanwhile.
func (s *strangers) leave(conn net.Conn) (stayed bool) {
	defer func() { <-s.room }()
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.mu.conns, conn)
	if i >= 0 {
		s.mu.conns = slices.Delete(s.mu.conns, i, i+1)
	}
	return i >= 0
}
