package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Names of what dev makes beside the nodes' own.
const (
	tempPrefix = "holdfast-dev-"
	lockName   = "dev.lock"
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
		sweepDead()
		d.path, err = os.MkdirTemp("", tempPrefix)
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

// take locks the directory. The lock is the open file's and goes with the process, whatever ends it. In a temporary directory
// the file takes its name only once it is locked, so that sweepDead never finds it between the two.
func (d *devDir) take() error {
	path, first := d.lockPath(), d.lockPath()
	if d.temporary {
		first += ".new"
	}
	lock, err := os.OpenFile(first, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return refuse("--dir: %w", err)
	}
	if err := tryLock(lock); err != nil {
		_ = lock.Close()
		return refuse("--dir %s is in use by another holdfast dev%s", d.path, d.owner())
	}
	d.lock = lock
	if err := os.WriteFile(first, fmt.Appendln(nil, os.Getpid()), 0o600); err != nil || !d.temporary {
		return err
	}
	return os.Rename(first, path)
}

func (d *devDir) lockPath() string { return filepath.Join(d.path, lockName) }

// tryLock locks an open file for this process, or fails at once.
func tryLock(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// sweepDead removes temporary directories whose dev was killed before it could. That it can lock one is the proof that its
// dev is gone.
func sweepDead() {
	locks, err := filepath.Glob(filepath.Join(os.TempDir(), tempPrefix+"*", lockName))
	if err != nil {
		return
	}
	for _, path := range locks[:min(len(locks), SweptDirsMax)] {
		lock, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue // another user's
		}
		if tryLock(lock) == nil {
			_ = os.RemoveAll(filepath.Dir(path)) // the next one tries again
		}
		_ = lock.Close()
	}
}

// owner names who holds the lock, as far as the file tells.
func (d *devDir) owner() string {
	text, err := os.ReadFile(d.lockPath())
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
