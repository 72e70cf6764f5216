//go:build !faults

package main

// plant plants nothing: this build has no faults.
func plant() error { return nil }
