package reap

// Refusal says why a key's tombstone is not forgotten in this round.
type Refusal uint8

// The refusals.
const (
	None        Refusal = iota
	Lives               // a primary holds a sibling of the key
	Differs             // a primary knows of more writes than the tombstone: the next round proposes both together
	Changed             // the row is not the one that was held
	Layout              // the node goes by another layout of the partition, or is no primary in it
	Unknown             // the node does not know the round, or not for long enough
	Busy                // another round of the partition is under way
	Hinted              // a hint for the key is kept, or the partition is owed to somebody as a whole
	Due                 // hints of the partition wait to be stored
	Pulling             // rows of the partition are being taken from another node
	Leftover            // a node that is no primary holds a row of the key
	Paused              // the process stood still a while ago, and may have old work at hand
	Unreachable         // a node did not answer
	Failed              // it could not read or write
	Refusals            // how many there are
)

var names = [...]string{"none", "lives", "differs", "changed", "layout", "unknown", "busy", "hinted", "due", "pulling", "leftover", "paused", "unreachable", "failed"}

// String returns the refusal as a word.
func (r Refusal) String() string { return names[min(int(r), len(names)-1)] }
