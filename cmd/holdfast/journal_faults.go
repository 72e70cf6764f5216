//go:build faults

package main

import (
	"os"
	"time"

	"github.com/holdfastdb/holdfast/node"
)

// witness returns a journal in the file that HOLDFAST_JOURNAL names, which only a build with the tag faults heeds: to see
// afterwards which write overwrote which. Its times are the machine's, right or wrong as the node's own clock may be.
func witness() (node.Witness, error) {
	name := os.Getenv("HOLDFAST_JOURNAL")
	if name == "" {
		return nil, nil
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, refuse("HOLDFAST_JOURNAL: %v", err)
	}
	return node.NewJournal(file, time.Now) // the process's end closes it
}
