//go:build faults

package main

import (
	"os"
	"time"
)

// machineClock returns a wall clock that is wrong by HOLDFAST_CLOCK_OFFSET (like -90s), which only a build with the tag faults
// heeds: to see what a cluster does when a machine's clock is off.
func machineClock() (func() time.Time, error) {
	text := os.Getenv("HOLDFAST_CLOCK_OFFSET")
	if text == "" {
		return time.Now, nil
	}
	offset, err := time.ParseDuration(text)
	if err != nil {
		return nil, refuse("HOLDFAST_CLOCK_OFFSET %q: want a duration like -90s", text)
	}
	return func() time.Time { return time.Now().Add(offset) }, nil
}
