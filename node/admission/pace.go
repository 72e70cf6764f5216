package admission

import (
	"time"
)

// Class is a kind of foreground work. Each is judged by itself: a mixture's percentile moves with the mixture.
type Class uint8

// The classes, as the coordinator names them.
const (
	Read Class = iota
	Write
	Modify
	Classes // how many there are
)

// String returns the coordinator's name of the class.
func (c Class) String() string { return [...]string{"read", "write", "modify"}[c] }

// Slot is what one second was like.
type Slot struct {
	Foreground [Classes]Counts
	Worked     bool // background work ran
	Waited     bool // some of it had to wait for more
}

// Pace decides how many bytes a second background work may move. It knows no clock: each Next is one slot later. The zero
// Pace adapts; it holds about 100 KiB.
type Pace struct {
	// Limit is the foreground p99 that counts as well; 0: a multiple of that of calm slots.
	Limit time.Duration

	slots   [minuteSlots]Slot
	filled  int
	newest  int
	rate    int64
	changed int  // slots since the rate was cut
	worked  int  // slots of work since the last rest
	resting bool // in the slot that began last
}

// verdict is what a class says of the last slot, from the best for background work to the worst.
type verdict uint8

const (
	idle verdict = iota // nobody to disturb
	well
	hold // not known, or not well a while ago
	over
)

// Rate returns the bytes a second for the slot that begins; 0: none, to see what the foreground is like without.
func (p *Pace) Rate() int64 {
	switch {
	case p.resting:
		return 0
	case p.rate == 0:
		return StartBytes
	}
	return p.rate
}

// Next takes what the slot that ends was like, and decides for the one that begins. O(minute's buckets): some 10 us.
func (p *Pace) Next(s Slot) {
	p.keep(s)
	v, known := p.judge()
	p.rate = p.decide(v, s)
	p.rest(v, known)
}

func (p *Pace) keep(s Slot) {
	p.newest = (p.newest + 1) % minuteSlots
	p.slots[p.newest] = s
	p.filled = min(p.filled+1, minuteSlots)
	p.changed++
	if s.Worked {
		p.worked++
	}
}

// decide returns the rate after the verdict. It grows only where more was asked for: a rate that nobody used proves nothing.
func (p *Pace) decide(v verdict, s Slot) int64 {
	rate := p.rate
	if rate == 0 || !p.workedLately() {
		rate = StartBytes
	}
	switch {
	case v == over && s.Worked:
		p.changed = 0
		rate /= 2
	case v == idle && s.Waited:
		rate *= 2
	case v == well && s.Waited:
		rate += min(rate/stepShare, StepBytes)
	}
	return min(max(rate, FloorBytes), CeilingBytes)
}

// rest keeps the next slot free of background work when it is time to see what the foreground is like without it. There are at
// least learnSlots of work between two such slots.
func (p *Pace) rest(v verdict, known bool) {
	after := workSlots
	if !known {
		after = learnSlots
	}
	p.resting = p.Limit == 0 && v != idle && p.worked >= after
	if p.resting {
		p.worked = 0
	}
}

// judge asks each class, and returns the worst answer, and whether all that are busy know their threshold.
func (p *Pace) judge() (worst verdict, known bool) {
	known = true
	for c := range Classes {
		v, ok := p.judgeClass(c)
		worst, known = max(worst, v), known && ok
	}
	return worst, known
}

func (p *Pace) judgeClass(c Class) (v verdict, known bool) {
	all := p.sum(c, p.filled, func(*Slot) bool { return true })
	if all.total() < busyMin {
		return idle, true
	}
	limit := p.limit(c)
	if limit == 0 {
		return hold, false
	}
	recent, minute := p.recent(c), p.sum(c, p.filled, didWork)
	switch {
	case recent.total() < samplesMin:
		return hold, true
	case recent.exceeds(limit):
		return over, true
	case minute.p99() > limit:
		return hold, true
	}
	return well, true
}

// limit returns the p99 that counts as well for a class; 0 when it is not known.
func (p *Pace) limit(c Class) time.Duration {
	if p.Limit != 0 {
		return p.Limit
	}
	calm := p.sum(c, p.filled, func(s *Slot) bool { return !s.Worked })
	if calm.total() < samplesMin {
		return 0
	}
	return max(calm.p99()*ratioOver/ratioUnder, calmMin)
}

// recent sums the newest slots of work, as few as make a percentile, none from before the rate was last cut: what an earlier
// rate did must not cut this one again.
func (p *Pace) recent(c Class) (sum Counts) {
	n := 0
	for back := range min(p.filled, p.changed) {
		s := p.slot(back)
		if !s.Worked {
			continue
		}
		sum.merge(&s.Foreground[c])
		if n = sum.total(); n >= samplesMin {
			break
		}
	}
	return sum
}

func didWork(s *Slot) bool { return s.Worked }

// sum adds up a class over those of the newest n slots that are to count.
func (p *Pace) sum(c Class, n int, counts func(*Slot) bool) (sum Counts) {
	for back := range n {
		if s := p.slot(back); counts(s) {
			sum.merge(&s.Foreground[c])
		}
	}
	return sum
}

// slot returns the newest slot for back 0, the one before for 1.
func (p *Pace) slot(back int) *Slot {
	return &p.slots[(p.newest-back+minuteSlots)%minuteSlots]
}

func (p *Pace) workedLately() bool {
	for back := range p.filled {
		if p.slot(back).Worked {
			return true
		}
	}
	return false
}

// P99 returns the class's p99 over the last minute, background work or not; 0 when there was nothing.
func (p *Pace) P99(c Class) time.Duration {
	all := p.sum(c, p.filled, func(*Slot) bool { return true })
	return all.p99()
}
