//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// disk is a small file system of one node's own.
type disk string

// newDisk mounts one. The sandbox's end unmounts it.
func newDisk(name string) (disk, error) {
	dir := filepath.Join(work, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprint("size=", diskBytes)); err != nil {
		return "", fmt.Errorf("mount %s: %w", dir, err)
	}
	return disk(dir), nil
}

func (d disk) data() string    { return filepath.Join(string(d), "data") }
func (d disk) ballast() string { return filepath.Join(string(d), "ballast") }

// fill takes the space up, all but so many bytes.
func (d disk) fill(but int64) error {
	f, err := os.Create(d.ballast())
	if err != nil {
		return err
	}
	defer f.Close()
	var st syscall.Statfs_t
	if err := syscall.Statfs(string(d), &st); err != nil {
		return err
	}
	free := int64(st.Bavail)*st.Bsize - but
	if free <= 0 {
		return nil
	}
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, free); err != nil && !errors.Is(err, syscall.ENOSPC) { // the node writes, too
		return err
	}
	return nil
}

// free gives the space back.
func (d disk) free() error {
	if err := os.Remove(d.ballast()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
