package protocol

import "time"

// The caps of a front-end's connections. A Config may lower the first three.
const (
	ConnectionsMax  = 10_000           // open connections of one server; Redis's maxclients
	WriteTimeoutMax = 30 * time.Second // wait for a client to take WriteChunkBytes; then it is cut off
	BudgetMax       = 5 * time.Second  // wait for the answer to one batch of commands

	WriteChunkBytes  = 256 << 10              // bytes written under one write deadline, so that a slow reader of a big reply lives
	RefuseTimeout    = time.Second            // wait to tell a connection beyond the cap that it is refused
	AcceptBackoffMin = 5 * time.Millisecond   // first wait after a failed accept; doubles with each further failure
	AcceptBackoffMax = 500 * time.Millisecond // longest wait after a failed accept
)
