package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// devDir is where dev's nodes keep their data: DIR/node-1, DIR/node-1.log and so on. It is locked while dev lives.
type devDir struct {
	path      string
	temporary bool
	lock      *os.File
}

// openDevDir makes the directory, a temporary one if path is empty, and locks it. A directory that another dev uses is refused.
func openDevDir(path string) (*devDir, error) {
	d := &devDir{path: path, temporary: path == ""}
	var err error
	if d.temporary {
		d.path, err = os.MkdirTemp("", "holdfast-dev-")
	} else if d.path, err = filepath.Abs(path); err == nil {
		err = os.MkdirAll(d.path, 0o700)
	}
	if err != nil {
		return nil, refuse("--dir: %w", err)
	}
	if err := d.take(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// take locks the directory. The lock is the open file's and goes with the process, whatever ends it.
func (d *devDir) take() error {
	lock, err := os.OpenFile(filepath.Join(d.path, "dev.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return refuse("--dir: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return refuse("--dir %s is in use by another holdfast dev%s", d.path, d.owner())
	}
	d.lock = lock
	return os.WriteFile(lock.Name(), fmt.Appendln(nil, os.Getpid()), 0o600)
}

// owner names who holds the lock, as far as the file tells.
func (d *devDir) owner() string {
	text, err := os.ReadFile(filepath.Join(d.path, "dev.lock"))
	if err != nil {
		return ""
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		return ""
	}
	return " (pid " + strconv.Itoa(pid) + ")"
}

// Close removes a temporary directory and gives up the lock.
func (d *devDir) Close() error {
	var err error
	if d.temporary {
		err = os.RemoveAll(d.path)
	}
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}
