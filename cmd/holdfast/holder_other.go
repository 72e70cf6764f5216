//go:build !linux

package main

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// portHolder returns "": only Linux tells who listens on a port without asking another program.
func portHolder(string) string { return "" }

// processName returns the name of a running program, or "another program".
func processName(pid int) string {
	name, err := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return "another program"
	}
	return filepath.Base(strings.TrimSpace(string(name)))
}
