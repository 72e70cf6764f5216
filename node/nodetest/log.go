package nodetest

import (
	"strings"
	"sync"
)

const logLinesMax = 10_000 // a test's nodes say less

// Log keeps what a machine's nodes logged.
type Log struct {
	mu    sync.Mutex
	lines []string
}

// Write implements io.Writer; slog writes a line at a time.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) < logLinesMax {
		l.lines = append(l.lines, string(b))
	}
	return len(b), nil
}

// Lines returns the lines that contain a text.
func (l *Log) Lines(text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// String returns all lines.
func (l *Log) String() string { return strings.Join(l.Lines(""), "") }
