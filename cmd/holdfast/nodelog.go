package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// nodeLog is what a node under dev says: all of it goes into a file, and what a person should see to dev's stderr too, with
// the node's name before it. It is used by one goroutine.
type nodeLog struct {
	name   string
	path   string
	file   *os.File
	room   int64 // bytes left in the file
	limit  int64 // bytes of a file
	screen io.Writer
	line   []byte // the beginning of a line whose end has not come
}

// openNodeLog appends to the log at path. limit is the file's size in bytes at which it moves to path.old.
func openNodeLog(name, path string, limit int64, screen io.Writer) (*nodeLog, error) {
	l := &nodeLog{name: name, path: path, limit: limit, screen: screen}
	return l, l.open()
}

func (l *nodeLog) open() error {
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	l.file, l.room = file, l.limit-info.Size()
	return nil
}

// Write takes output of the node. It never fails: a node must not stop because its log cannot be written; a full disk is
// shown once the node itself meets it.
func (l *nodeLog) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := bytes.IndexByte(rest, '\n') + 1
		if n == 0 {
			n = len(rest)
		}
		n = min(n, LogLineBytes-len(l.line))
		l.line, rest = append(l.line, rest[:n]...), rest[n:]
		if l.line[len(l.line)-1] == '\n' || len(l.line) == LogLineBytes {
			l.flush()
		}
	}
	return len(p), nil
}

// Close writes an unfinished line, a crash may have left one, and closes the file.
func (l *nodeLog) Close() error {
	l.flush()
	return l.file.Close()
}

func (l *nodeLog) flush() {
	if len(l.line) == 0 {
		return
	}
	if l.line[len(l.line)-1] != '\n' {
		l.line = append(l.line, '\n')
	}
	if l.room < int64(len(l.line)) {
		l.turn()
	}
	n, _ := l.file.Write(l.line)
	l.room -= int64(n)
	if forPeople(l.line) {
		fmt.Fprintf(l.screen, "%s: %s", l.name, l.line)
	}
	l.line = l.line[:0]
}

// turn begins a new file. Where that fails the old one goes on.
func (l *nodeLog) turn() {
	old := l.file
	if os.Rename(l.path, l.path+".old") != nil || l.open() != nil {
		l.room = l.limit
		return
	}
	_ = old.Close()
}

// forPeople reports whether a line is shown on the screen: warnings and errors of the logger, and whatever is not the
// logger's, like the line that refuses to start, or a crash.
func forPeople(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("time=")) {
		return true
	}
	_, rest, _ := bytes.Cut(line, []byte(" level="))
	return bytes.HasPrefix(rest, []byte("WARN")) || bytes.HasPrefix(rest, []byte("ERROR"))
}
