package node

import (
	"time"

	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/replica/peer"
)

const (
	waitLogEvery    = 5 * time.Second // between two looks at what an empty node waits for, which is logged when it is news
	waitLogRepeat   = time.Minute     // and again after this
	absentShownMax  = 8               // of the nodes that a line about missing ones names
	controlPatience = 2 * time.Second // for one node's answer to an administrative request
	statusPatience  = time.Second     // for one node's line in a status
	clockEvery      = 2 * time.Second // between two looks at the other nodes' clocks
	clockDriftMax   = 5 * time.Second // how far from the median a clock may be before it is not trusted
	clockLogEvery   = time.Minute
	resumeEvery     = time.Second // between two attempts to have the boot confirmed
	resumeTries     = 60
	gossipLeaveMax  = time.Second
	drainShare      = 2                // this part of the time to drain is the clients', the rest the other nodes'
	readyGrace      = 10 * time.Second // a node that finds nobody for so long is ready all the same: it can answer, if only NOQUORUM
	readyWait       = 200 * time.Millisecond
	changeEvery     = 500 * time.Millisecond // between two looks at what a change of the ring asks of this node, without news
	spreadEvery     = time.Second            // between two exchanges of the ring document while the ring changes, without news
	proposePatience = 3 * time.Second        // how long a member waits for one before it to make the next step
	takeOverRetry   = time.Second            // after a partition could not be taken over
	takeOversMax    = 2                      // partitions that are taken over at once
	heldWait        = 2 * time.Second        // for which a partition that was taken over waits for others before it is said
	giveUpAfter     = time.Second            // how long a layout must have stood before a former owner gives anything up
	giveUpsMax      = 4                      // partitions that are given up in one look
	askToTakeMax    = 30 * time.Second       // for one owner to take a partition from this node and have it on disk

	reapEvery     = 10 * time.Second                 // between two looks for tombstones
	reapStagger   = 3 * time.Minute                  // a partition's second primary waits so much longer than the first, and so on: longer than the first pauses, or they would meet
	reapPause     = time.Minute                      // after a round that reaped nothing
	reapQuiet     = peer.DeadlineMax + 5*time.Second // longer than anything is on its way; clocks may differ a little
	reapPatience  = 30 * time.Second                 // for one answer in a round
	reapRoundsMax = 64                               // rounds of a node at once, of different partitions
	reapAsksMax   = 8                                // of those that ask at once: rounds begun together come to each phase together, and a connection takes peer.ControlMax requests
	reapWalksMax  = 64                               // parts of a partition that one round walks over
	reapLearnMax  = 1 << 20                          // bytes of larger contexts in one answer

	DefaultAntiEntropy = 10 * time.Minute // in which each partition is compared once with each of its other primaries
	rotaEvery          = 10 * time.Second // between two steps of that
	urgentAfter        = 15 * time.Second // from a node's return until it is compared with: hints come home meanwhile
	urgentMax          = 64               // partitions that one step compares for that, with one node
	settleWait         = time.Second      // between the two comparisons that a difference must outlast
	pullPatience       = 30 * time.Second // for one answer of a pull
	pullChunkBytes     = 256 << 10        // of rows in one answer of a pull, one row excepted
	compareCost        = 1 << 10          // bytes of leave that a question about hash trees costs at either end
	chunkCost          = 4 << 10          // bytes of leave that a question costs beside its own: rows are read for it at both ends
	repairGroup        = 8                // partitions that a node repairs in one request, within repairPatience
	repairPatience     = time.Minute      // peer.DeadlineMax
	repairTurn         = 45 * time.Second // after which a node says how far it came, and is asked again
	repairScan         = 30 * time.Second // of which a scan may take so much, and goes on in the next
	repairNodesMax     = 4                // groups of partitions repaired at once
)

// A key's state must travel to other nodes whole, also when two of them let it grow apart; this does not compile if a
// frame were too short for it.
const _ = uint(peer.FrameBytesMax - 2*replica.StateBytesMax)
