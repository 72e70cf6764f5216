package main

import "time"

// Caps and waits of this command. Those of a node's flags are in package node.
const (
	DevNodesMax     = 16       // of dev: each is a process with memory of its own
	ConfigLineBytes = 4 << 10  // of a config file: one line
	ConfigFileBytes = 64 << 10 // of a config file: all of it
	ReplyBytesMax   = 64 << 20 // of an answer to status or ring: 4096 partitions of 64 names are 17 MiB
	ReplyLineBytes  = 4 << 10  // of an error or a length in such an answer
	LogLineBytes    = 16 << 10 // of a node's log under dev; what is longer is cut into pieces
	LogFileBytes    = 64 << 20 // of a node's log file under dev, before it moves to .old, of which there is one
	SweptDirsMax    = 64       // temporary directories of dead devs that one dev looks at
	barCells        = 20       // of a progress bar
	garbagePercent  = 50       // of its heap that a node lets garbage come to, without GOGC: rows are not in the heap, and what is has few pointers
	freePortTries   = 100      // of dev with port 0: tries for one listener

	askTimeout     = 5 * time.Second        // one question to a node, the connection included
	watchEvery     = time.Second            // between two questions of status --watch
	repairTimeout  = 24 * time.Hour         // a repair of the whole cluster; interrupt it earlier
	readyEvery     = 100 * time.Millisecond // between two rounds of dev's questions
	readyPatience  = 30 * time.Second       // until dev says who is missing; it goes on asking, and says it again
	devDrain       = 3 * time.Second        // --drain of dev's nodes
	stopPatience   = 6 * time.Second        // from TERM to KILL: more than devDrain, so that a node can write its clean mark
	reviveGrace    = 200 * time.Millisecond // where the system does not say that a node was killed before SIGUSR1, its death may be noticed this much later
	parentEvery    = 250 * time.Millisecond // between two looks at whether `go run` still lives
	parentGrace    = 2 * time.Second        // what a node takes for its end when dev is gone
	shutdownMargin = 5 * time.Second        // beyond --drain, for closing the store
)
