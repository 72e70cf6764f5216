// Package fault names the bugs that are planted in the code to see that the simulators find them.
//
// Without the build tag faults every On is the constant false, and the compiler removes what it guards: a build that
// serves has none of this. With the tag one fault at a time is planted, by Plant.
package fault

// Point is one bug that can be planted.
type Point uint8

// The faults. Each comment says what goes wrong; the invariant that it breaks stands in docs/consistency.md.
const (
	None                Point = iota
	ForgetSequence            // the lease of the actor sequence is not persisted
	ReuseActor                // a key without state mints under an actor that was used before
	ResumeUnconfirmed         // the former boot bits are taken up again without asking the other nodes
	DropHintBeforeAck         // a hint goes when it is sent, not when it is acknowledged
	DropChangedHint           // a delivered hint goes although it changed while it was under way
	ExpireHint                // a hint that grows old is thrown away
	CancelUncovered           // a hint is cancelled by an acknowledgement of another write
	ConfirmBeforeSync         // a delivered hint is acknowledged before it is durable
	IgnoreContext             // a put with a context replaces everything, whatever its client has seen
	WideContext               // a put returns a context that covers what its client was not shown
	PlainVersionVector        // a context cannot tell a dot from all dots before it
	ForgetStamps              // overwritten stamps are not remembered
	SettleUnderWay            // operations under way count as settled
	StampOnRetry              // a retry gets a new stamp
	RetryOverwrites           // a retried SET overwrites what is there
	RetryModify               // a read-modify-write whose reply was lost is sent again
	ModifyFromFallbacks       // read-modify-writes read fallbacks too
	MintWithoutQuorum         // too few replicas in reach is found after minting
	AckTooSoon                // a put is acknowledged one copy early
	ReadTooFew                // a read answers one replica early
	SkipRepair                // stale replicas are not repaired
	ForgetOwed                // a primary that missed a write is owed nothing
	DigestSeenOnly            // a digest covers the context alone, not the siblings
	RunStaleFrame             // a frame is executed however old it is
	SweepEarly                // expired siblings are removed without waiting out the clocks' drift
	CountTogether             // while an owner is exchanged, one W over both sets of nodes will do
	ReadUnheld                // an incoming owner is read before it holds everything
	DeleteUnconfirmed         // a former owner deletes before the owners confirmed that they hold what it holds
	MintLate                  // a write is minted although its term is over
	AnswerEarly               // a retry is answered while the attempt before it may still be executed
	ReapWhileDown             // tombstones are reaped while a member is down
	points                    // how many there are
)

var names = [...]string{"None", "ForgetSequence", "ReuseActor", "ResumeUnconfirmed", "DropHintBeforeAck", "DropChangedHint",
	"ExpireHint", "CancelUncovered", "ConfirmBeforeSync", "IgnoreContext", "WideContext", "PlainVersionVector", "ForgetStamps",
	"SettleUnderWay", "StampOnRetry", "RetryOverwrites", "RetryModify", "ModifyFromFallbacks", "MintWithoutQuorum",
	"AckTooSoon", "ReadTooFew", "SkipRepair", "ForgetOwed", "DigestSeenOnly", "RunStaleFrame", "SweepEarly",
	"CountTogether", "ReadUnheld", "DeleteUnconfirmed", "MintLate", "AnswerEarly", "ReapWhileDown"}

// String returns the fault's name.
func (p Point) String() string { return names[p] }

// All returns every fault that can be planted.
func All() []Point {
	all := make([]Point, 0, points-1)
	for p := None + 1; p < points; p++ {
		all = append(all, p)
	}
	return all
}
