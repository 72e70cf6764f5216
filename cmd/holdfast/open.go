package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"

	"github.com/holdfastdb/holdfast/node"
)

// openNode starts a real node.
func openNode(cfg node.Config) (server, error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	n, err := node.Open(cfg)
	if err != nil {
		return nil, err // and no typed nil for a server
	}
	return n, nil
}

// startError returns what stands in the way of a start in words. What the operator can put right by a flag is a refusal.
func startError(err error) error {
	var port *node.PortError
	switch {
	case errors.As(err, &port):
		return refusal{portTrouble(port)}
	case errors.As(err, new(*node.DirError)), errors.As(err, new(*node.FileError)):
		return refusal{err}
	}
	return err
}

// portTrouble names the holder of the port, as far as the system tells, and the flag that moves the listener.
func portTrouble(port *node.PortError) error {
	if !errors.Is(port.Err, syscall.EADDRINUSE) {
		return fmt.Errorf("--%s %s: cannot listen: %w", port.Flag, port.Addr, port.Err)
	}
	return fmt.Errorf("%s is taken%s; stop that, or move this with --%s", port.Addr, portHolder(port.Addr), port.Flag)
}
