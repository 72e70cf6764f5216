package model

import "github.com/holdfastdb/holdfast/node/sim/check"

const (
	micro  = check.Moment(1e3)
	milli  = check.Moment(1e6)
	second = check.Moment(1e9)
)

// The patiences of package coordinator, whose own are not exported.
const (
	budget           = 3 * second
	attemptPatience  = 300 * milli
	mintPatience     = 60 * milli
	readMintPatience = 150 * milli
	copyPatience     = 100 * milli
	copyDeadline     = 2 * second
	hedgeAfter       = 20 * milli
	againAfter       = 50 * milli
	newsAfter        = 5 * milli
	attemptsMax      = 4
)

// The caps and periods of package replica, the caps made small so that runs meet them.
const (
	actorLease       = 4
	markersPerTarget = 2
	tickEvery        = second
	clockLease       = 5 * second
	clockLeaseLow    = 2 * second
	driftMax         = 5 * second
	deliverTimeout   = 30 * second
	dueAfter         = 200 * micro
	fsyncTakes       = 2 * milli

	reapQuiet   = 7 * second // longer than anything is on its way
	reapStagger = 2 * second
)

// The network and the cluster.
const (
	partitions  = 2
	copies      = 3 // N
	quorumSize  = 2 // R and W
	probeEvery  = 500 * milli
	pingEvery   = 1700 * milli
	gossipEvery = 300 * milli
	resumeTries = 60
	hopelessMax = 60 * second // hints must have drained so long after healing
)
