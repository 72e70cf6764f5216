//go:build linux

package main

import "time"

// Caps of a run.
const (
	NodesMin, NodesMax = 3, 9
	SizesMax           = 8
	DurationMax        = 2 * time.Hour // of the faults
	ClientsMax         = 200
	toldMax            = 60 // writes of a key that a violation names
	ViolationsMax      = 20 // that are told in words
)

const (
	memoryMax = 32 << 20  // bytes of a node's caches
	diskBytes = 192 << 20 // of a node's disk; it keeps 64 MiB of that for deletes and handoff
	runBytes  = 2 << 30   // of the nodes' logs and journals, which grow by some 10 MB a minute
	nearlyMax = 40 << 20  // bytes left by a ballast that fills the disk only nearly

	chaosPart  = 28 * time.Second // faults come and go
	calmPart   = 12 * time.Second // after that nothing is wrong, until the next round
	calmAfter  = 8 * time.Second  // after all was healed, commands must succeed again: re-joining takes up to six
	healMin    = 2 * time.Second  // a fault lasts this long at least
	healMax    = 20 * time.Second
	betweenMin = 500 * time.Millisecond // from one fault to the next
	betweenMax = 4 * time.Second

	epoch       = 20 * time.Second // then the clients turn to new keys, which keeps each key's history short
	dialMax     = time.Second      // to connect
	replyMax    = 12 * time.Second // for an answer; a node that is not stopped answers much sooner
	answerMax   = 8 * time.Second  // an answer later than this is a violation: the servers' budget is 3 s, and the machine small
	redialPause = 100 * time.Millisecond

	foundingMax = 60 * time.Second // from the first start to a cluster that serves
	settleMax   = 3 * time.Minute  // from the end of all faults until no hint is left
	stableMax   = time.Minute      // from there until all copies are equal
	pollEvery   = 200 * time.Millisecond
	birthMax    = time.Second      // from a process's start until it listens to signals
	drainMax    = 20 * time.Second // for a node to end on SIGTERM
	logTail     = 30               // lines of each node's log that a failed run shows
)
