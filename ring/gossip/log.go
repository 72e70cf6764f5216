package gossip

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// A limiter lets a number of things pass in each period.
type limiter struct {
	most  int
	every time.Duration

	mu struct {
		sync.Mutex
		since  time.Time
		passed int
	}
}

func (l *limiter) pass() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.mu.since) >= l.every {
		l.mu.since, l.mu.passed = now, 0
	}
	l.mu.passed++
	return l.mu.passed <= l.most
}

// A bridge takes memberlist's log lines, "[LEVEL] memberlist: text", into slog: warnings and errors as warnings, so many a minute;
// the rest, and what follows from a veto of ours that has its own line, as debug. What refused takes has a line of ours.
type bridge struct {
	log     *slog.Logger
	warn    limiter
	refused func(text string) bool
}

// routine reports whether a warning is none: what follows from a veto of ours, a node that comes back, and one at the address of another,
// such as the replacement of a node whose directory is gone, which is asked for the other until that passes for dead.
func routine(text string) bool {
	return strings.Contains(text, errForeign.Error()) || strings.HasPrefix(text, "Refuting ") ||
		strings.HasPrefix(text, "Got ping for unexpected node ") || strings.HasPrefix(text, "Failed fallback TCP ping: ") && strings.HasSuffix(text, "EOF")
}

// Write never fails.
func (b *bridge) Write(line []byte) (int, error) {
	level, text := slog.LevelDebug, strings.TrimSpace(string(line))
	if tag, rest, found := strings.Cut(text, "] "); found && strings.HasPrefix(tag, "[") {
		text = strings.TrimPrefix(rest, "memberlist: ")
		if !b.refused(text) && tag != "[DEBUG" && tag != "[INFO" && !routine(text) && b.warn.pass() {
			level = slog.LevelWarn
		}
	}
	b.log.Log(context.Background(), level, "memberlist", "text", text)
	return len(line), nil
}

// tellRefused takes what memberlist says of nodes with another key or certificate, and tells of each matter once in
// keyLogEvery what to do. It reports whether the text was of either.
func (g *Gossip) tellRefused(text string) bool {
	message, every := keyMessage, &g.keyLog
	switch {
	case aboutKeys(text):
	case aboutTLS(text):
		message, every = tlsMessage, &g.tlsLog
	default:
		return false
	}
	if every.pass() {
		g.log.Warn(message, "cause", text)
	}
	return true
}
