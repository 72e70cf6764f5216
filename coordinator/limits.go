package coordinator

import "time"

// The caps and patiences of one node's coordination.
const (
	// BudgetDefault is how long a client waits for its answer at most.
	BudgetDefault = 3 * time.Second
	// BudgetMax is the longest budget; a longer one is taken as this. What an operation carries must be gone soon after it was answered.
	BudgetMax = 30 * time.Second
	// attemptPatience is how long one coordinator is waited for while another could be asked instead.
	attemptPatience = 300 * time.Millisecond
	// mintPatience is how long such a coordinator may take to mint beside the time on the way, which it usually does at once. Should
	// the connection to it break, its client waits until then (batch.conclude): this is what the death of a node costs.
	mintPatience = 60 * time.Millisecond
	// readMintPatience is the same for a DEL, which reads a quorum first.
	readMintPatience = 150 * time.Millisecond
	// termTrips is how many round trips to the coordinator are added: there, and from there to a replica and back.
	termTrips = 2
	// copyPatience is how long a primary is waited for before a fallback stands in for it within the same request.
	copyPatience = 100 * time.Millisecond
	// copyDeadline is how long a copy of a write may take before its primary counts as having missed it. It outlives the
	// reply to the client: late acknowledgements spare a hint.
	copyDeadline = 2 * time.Second
	// againAfter is the pause before what broke on its way is sent again. Connections come back within milliseconds when
	// their node lives; when it does not, the view says so.
	againAfter = 50 * time.Millisecond
	// newsAfter is the pause before what was refused by a newer layout is tried again: the document comes within a round trip.
	newsAfter = 5 * time.Millisecond
	// hedgeAfter is how long a read waits for the replicas it asked before it asks one more.
	hedgeAfter = 20 * time.Millisecond
	// attemptsMax is how many coordinators are tried for one operation.
	attemptsMax = 4

	opsInFlightMax   = 1 << 16   // operations under way on one node, as origin or coordinator
	bytesInFlightMax = 512 << 20 // bytes of keys and values of those
	queueMax         = 1024      // read-modify-writes waiting for one key
	roundOpsMax      = 256       // read-modify-writes of one key served by one round
	copiesUsual      = 2         // copies of a put, and nodes that they go to, that memory is set aside for: N-1
	questionsUsual   = 2         // nodes that a batch asks that memory is set aside for
	framesUsual      = 8         // frames of one event that memory is set aside for
	batchUsual       = 64        // operations of one batch that memory is set aside for on the stack
	duesMax          = 1 << 15   // hints, cancellations and repairs waiting for the background worker
	duesBatch        = 64        // of those handled in one store commit or one frame

	retriedMax = 64   // retried operations named in a Notice; older ones move its floor
	formerMax  = 16   // former boots of this node whose notices are kept and told
	originsMax = 1024 // nodes whose Notices are remembered
	hedgeShare = 20   // one hedge is earned by this many reads: 5 %
	hedgeBurst = 100  // hedges that may be saved up
)
