//go:build !linux

package main

import "syscall"

// childAttributes keeps the terminal's signals from the nodes, which dev stops in order. That they end with dev is the pipe's
// work alone.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
