//go:build faults

package main

import (
	"os"
	"slices"

	"github.com/holdfastdb/holdfast/fault"
)

// plant plants the bug that HOLDFAST_FAULT names, which only a build with the tag faults heeds: to see that a test finds it.
func plant() error {
	name := os.Getenv("HOLDFAST_FAULT")
	if name == "" {
		return nil
	}
	all := fault.All()
	i := slices.IndexFunc(all, func(p fault.Point) bool { return p.String() == name })
	if i < 0 {
		return refuse("HOLDFAST_FAULT %q: there is no such fault", name)
	}
	fault.Plant(all[i])
	return nil
}
