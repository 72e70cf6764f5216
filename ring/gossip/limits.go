package gossip

import "time"

// Caps and times of the gossip.
const (
	rejoinEvery     = 5 * time.Second         // between attempts to join members that are known and absent
	rejoinJitter    = time.Second             // more or less
	reclaimAfter    = time.Second             // that a node must be dead for before it is believed at another address
	rejoinSoon      = 1200 * time.Millisecond // after somebody was lost, an attempt beside the others: more than reclaimAfter
	rejoinsMax      = 64                      // addresses tried in one round
	rejoinsAtOnce   = 4                       // of them at the same time
	resolveMax      = 2 * time.Second         // to look up one host name
	streamMax       = 2 * time.Second         // to connect, to write, and to read one push/pull
	settle          = 50 * time.Millisecond   // after a change, before looking whom it sets apart from us; twice that with jitter
	pullAgainAfter  = 5 * time.Second         // with the same peer about the same difference
	foreignLogEvery = time.Minute             // lines about another cluster's nodes
	keyLogEvery     = time.Minute             // lines about nodes with another key
	logsPerMinute   = 30                      // lines that memberlist may write at warning level; more go to debug
	metaBytesMax    = 512                     // memberlist's; more makes it panic
	metaQueueWait   = time.Millisecond        // to wait for an update to be sent rather than queued: not at all
	leaveMax        = 500 * time.Millisecond  // to tell one other node that this one leaves, when Leave is given less than nothing
)
