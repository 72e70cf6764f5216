package admission

import "time"

// The bounds of the rate, bytes a second.
const (
	FloorBytes   = 1 << 20   // however the foreground is: what is owed is paid at last
	StartBytes   = 8 << 20   // when nothing ran for a minute, so that nothing is known
	CeilingBytes = 256 << 20 // however idle the cluster is
	StepBytes    = 4 << 20   // added at most by a second in which the foreground was well
	stepShare    = 8         // of the rate, if that is less: a step must not be a leap
)

// SecondBytes is what a second of work costs, so that time and bytes are paid from one purse: at the floor work takes an eighth of a
// processor, from eight times that on as much as there is.
const SecondBytes = 8 << 20

// What one Admit may ask, and how the pace is kept.
const (
	BytesMax   = 4 << 20                // of one Admit; more counts as this, so that every wait is bounded
	SlotEvery  = time.Second            // between two decisions
	burstShare = 4                      // of a second's bytes may be saved up: a quarter
	lookEvery  = 100 * time.Millisecond // while somebody waits: the rate may have changed
)

// What the pace judges by.
const (
	minuteSlots = 60   // slots that are remembered
	busyMin     = 1200 // batches of a class within them below which there is nobody to disturb: 20 a second
	deviations  = 3    // standard deviations by which there must be more slow batches than the limit allows
	samplesMin  = 100  // batches that make a percentile
	workSlots   = 7    // slots of work after which one is kept free, where the threshold is known
	learnSlots  = 3    // the same, where it is not
	ratioOver   = 5    // the threshold is ratioOver/ratioUnder of the calm p99
	ratioUnder  = 4
	calmMin     = 500 * time.Microsecond // what is quicker than this is well, whatever the calm p99
)

// The histogram: perOctave buckets to each doubling, from bucketLeast up; what is slower falls into the last.
const (
	perOctave  = 8
	bucketBits = 15 // the first bucket ends at 2^15 ns = 33 us
	octaves    = 17 // and the last begins at 2^32 ns = 4.3 s
	buckets    = octaves*perOctave + 1
)
