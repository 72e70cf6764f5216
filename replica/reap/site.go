package reap

import "time"

// Hold is what a primary remembers of a round of which it holds the tombstones. A restart forgets it.
type Hold struct {
	Round  uint64        // drawn at random, never twice
	Since  uint64        // the layout in which the partition's roles last changed
	Pauses uint64        // how often the process has stood still
	At     time.Duration // when the tombstones were on disk
}

// MayCommit reports why the primary must not forget what it holds, given the round and the layout that it is asked under and what is true
// now; None when it may, row by row, where the row is the one that it held.
func (h Hold) MayCommit(asked, now Hold, quiet time.Duration) Refusal {
	switch {
	case h.Round != asked.Round || h.Round == 0 || now.At-h.At < 2*quiet:
		return Unknown
	case h.Since != asked.Since || h.Since != now.Since:
		return Layout
	case h.Pauses != now.Pauses:
		return Paused
	}
	return None
}

// MayHold reports why a primary must not take part in another round; None when it may. What it holds stands in the way until the
// round that it is of must have ended: two such would each refuse the other's keys for ever.
func (h Hold) MayHold(asked Hold, now, quiet time.Duration) Refusal {
	if h.Round != 0 && h.Round != asked.Round && now-h.At < 3*quiet {
		return Busy
	}
	return None
}

// Site is a member as it is when it is asked whether it is clear, for all keys of the round alike.
type Site struct {
	Layout  bool          // it goes by the round's layout of the partition, and no owner is being exchanged
	Primary bool          // in that
	Due     bool          // hints wait to be stored
	Pulling bool          // rows are being taken from another node
	Owed    bool          // the partition is owed to somebody as a whole
	Steady  time.Duration // since when the process has not stood still, or started
}

// Found is what a member holds of one key.
type Found struct {
	Row, Hint bool // its own row; a hint for anybody
}

// Clear reports why the member is not clear of the key; None when it is. It says so only after an fsync that follows the look: what
// had just gone would be back after a power cut.
func (s Site) Clear(f Found, quiet time.Duration) Refusal {
	switch {
	case !s.Layout:
		return Layout
	case s.Steady < quiet:
		return Paused
	case s.Due:
		return Due
	case s.Pulling:
		return Pulling
	case s.Owed || f.Hint:
		return Hinted
	case f.Row && !s.Primary:
		return Leftover
	}
	return None
}
