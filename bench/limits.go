package main

import "time"

// Caps and fixed numbers of a run.
const (
	durationMin = 20 * time.Second // of the closed loop, all rounds together
	durationMax = time.Hour
	roundsMax   = 50
	nodesMax    = 9

	connections = 50
	valueBytes  = 100
	keys        = 100_000

	calibrating = 8_000 // commands of the first run of a case, whose speed sizes the others; times the pipeline's depth
	commandsMin = 1_000 // of a run
	commandsMax = 50_000_000

	growthKeysMin = 1_000
	growthKeysMax = 10_000_000
	growthFor     = 3 * time.Second // of one load of growth
	growthTrial   = 500             // commands that tell how many fill that
	growthFill    = 1_000           // keys written together
	growthBytes   = 64 << 20        // of values that a load of large ones is spread over
	memoryKeys    = 1_000_000       // of the comparison of memory
	memoryFlag    = "200MiB"        // of a node whose row cache holds as many rows of valueBytes
	settleShare   = 0.05            // of a core: what a server that has settled uses at most,
	settleOver    = time.Second     // over so long
	settleMax     = 30 * time.Second

	openFor     = 10 * time.Second // of the open loop, each time
	pipelineMax = 1 << 14          // commands of an open-loop connection that wait for replies
	replyMax    = 10 * time.Second // for the last replies

	redisReplicas = 2           // of the peer that has some
	redisAcks     = 1           // of them, for a write to be taken as safe: with the primary a majority
	waitMax       = time.Second // for those

	readyMax = 30 * time.Second // from the start of servers until they serve
	stopMax  = 20 * time.Second // from SIGTERM to a process's end
	pollEach = 50 * time.Millisecond
)
