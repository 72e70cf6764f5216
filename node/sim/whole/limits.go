package whole

import "time"

// The shape of the runs that seeds derive.
const (
	lastsMin  = 15 * time.Second
	lastsMax  = 35 * time.Second
	faultsMin = 2
	faultsMax = 9
	faultMin  = 200 * time.Millisecond
	delayMax  = 40 * time.Millisecond
	faultMax  = 12 * time.Second
	awayMin   = 150 * time.Second // longer than tombstones could be reaped in
	awayMax   = 300 * time.Second
	clients   = 5
	registers = 5 // keys of SET, PUTCTX and the like
	counters  = 2 // keys of INCR
	expireMin = 500 * time.Millisecond
	expireMax = 20 * time.Second
	askEvery  = 150 * time.Millisecond // between two commands of a client, on average
	// how many commands more a client asks of a node that leaves, on average
	partingAsks = 4
)

// What the nodes promise.
const (
	budget     = 3 * time.Second        // for an answer
	grace      = 300 * time.Millisecond // for what is on its way when the budget ends
	driftMax   = 5 * time.Second        // how far a clock may be off
	partitions = 16
	copies     = 3 // N
	quorum     = 2 // R and W

	comparedEvery = 5 * time.Second // each partition by anti-entropy, where that runs
)

// What the end of a run waits for.
const (
	readyMax  = 60 * time.Second
	drainMax  = 90 * time.Second
	repairMax = 3 * time.Second
	reapMax   = 20 * time.Minute // until no tombstone is left: some rounds, and pauses between them
	calmAfter = 5 * time.Second  // until the last requests of bad times have ended
	sweepMax  = 5 * time.Second  // until what expired is removed, after the drift
	pollEvery = 100 * time.Millisecond
	brokenMax = 2 * time.Second // until a node whose disk failed has taken itself out of service
	stopMax   = 10 * time.Second
	triesMax  = 3 // of one script, while shrinking
)

const (
	machinesMax = 9                      // of one script
	lookEvery   = 200 * time.Millisecond // between two looks for nodes that have left, and for what was asked and not granted yet
)
