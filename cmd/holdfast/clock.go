//go:build !faults

package main

import "time"

// machineClock returns the wall clock that a node goes by.
func machineClock() (func() time.Time, error) { return time.Now, nil }
