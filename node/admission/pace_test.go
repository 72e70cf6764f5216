package admission

import (
	"math/rand/v2"
	"testing"
	"time"
)

// foreground is a model of clients: how many batches a second, how slow without background work, and from which rate on that
// disturbs them.
type foreground struct {
	batches int
	calm    time.Duration
	knee    int64 // bytes a second of background work; 0: it disturbs nobody
}

// slot is one second of it beside background work that takes whatever rate it is given.
func (f foreground) slot(rng *rand.Rand, rate int64, demand bool) Slot {
	s := Slot{Worked: demand && rate > 0, Waited: demand && rate > 0}
	slow := 1.0
	if f.knee > 0 && rate > f.knee {
		slow = 1 + 2*float64(rate-f.knee)/float64(f.knee)
	}
	for range f.batches {
		s.Foreground[Write].Add(time.Duration(float64(f.calm) * (0.5 + rng.Float64()/2) * slow))
	}
	return s
}

// drive runs a pace for some slots and returns the rates that it gave.
func drive(p *Pace, rng *rand.Rand, f foreground, slots int, demand bool) (rates []int64) {
	for range slots {
		rate := p.Rate()
		rates = append(rates, rate)
		p.Next(f.slot(rng, rate, demand))
	}
	return rates
}

// least returns the smallest of the rates that are not rests, and the largest.
func extremes(rates []int64) (least, most int64) {
	least = CeilingBytes
	for _, r := range rates {
		if r > 0 {
			least, most = min(least, r), max(most, r)
		}
	}
	return least, most
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(3, 4)) }

func TestNobodyToDisturb(t *testing.T) {
	for name, f := range map[string]foreground{"nobody": {}, "hardly anybody": {batches: busyMin/minuteSlots - 1, calm: time.Second, knee: 1}} {
		var p Pace
		rates := drive(&p, newRand(), f, 12, true)
		if last := rates[len(rates)-1]; last != CeilingBytes {
			t.Errorf("%s: %d bytes a second after %d slots, want the ceiling", name, last, len(rates))
		}
		if least, _ := extremes(rates); least != StartBytes {
			t.Errorf("%s: began with %d", name, least)
		}
	}
}

func TestForegroundThatDoesNotMindLetsTheRateGrowByBoundedSteps(t *testing.T) {
	var p Pace
	f, rng := foreground{batches: 1000, calm: 2 * time.Millisecond}, newRand()
	drive(&p, rng, f, minuteSlots, false)
	last := int64(StartBytes)
	for _, r := range drive(&p, rng, f, 120, true) {
		if r != 0 && r != last && r != min(last+min(last/stepShare, StepBytes), CeilingBytes) {
			t.Fatalf("from %d to %d", last, r)
		}
		last = max(last, r)
	}
	if last != CeilingBytes {
		t.Errorf("came to %d in 120 slots", last)
	}
}

func TestStepResponse(t *testing.T) {
	var p Pace
	easy, hard := foreground{batches: 1000, calm: 2 * time.Millisecond}, foreground{batches: 1000, calm: 2 * time.Millisecond, knee: 4 << 20}
	rng := newRand()
	drive(&p, rng, easy, minuteSlots, false)
	drive(&p, rng, easy, 100, true)
	if p.Rate() < 200<<20 && p.Rate() != 0 {
		t.Fatalf("the step begins at %d", p.Rate())
	}
	// From the ceiling to twice the knee are five halvings, a slot each, and a rest may fall between.
	rates := drive(&p, rng, hard, 10, true)
	if last := rates[len(rates)-1]; last > 8<<20 {
		t.Errorf("after the step: %v", rates)
	}
	// In the long run it stays about the knee: what is seen there is well, now and then.
	if _, most := extremes(drive(&p, rng, hard, 300, true)); most > 4*hard.knee {
		t.Errorf("went up to %d, the knee is at %d", most, hard.knee)
	}
	// And once nobody minds any more it comes back, after the minute that remembers.
	rates = drive(&p, rng, easy, minuteSlots+130, true)
	if _, most := extremes(rates); most != CeilingBytes {
		t.Errorf("recovered to %d", most)
	}
}

func TestForegroundThatIsSlowByItselfDoesNotStopRepairs(t *testing.T) {
	var p Pace
	rng := newRand()
	drive(&p, rng, foreground{batches: 500, calm: time.Millisecond}, minuteSlots, true)
	slow := foreground{batches: 500, calm: 300 * time.Millisecond}
	drive(&p, rng, slow, 2*minuteSlots, true)
	if least, most := extremes(drive(&p, rng, slow, minuteSlots, true)); least < StartBytes || most < 100<<20 {
		t.Errorf("gave %d to %d beside clients that are slow with and without", least, most)
	}
}

func TestLimitInMillisecondsNeedsNoRests(t *testing.T) {
	for name, c := range map[string]struct {
		limit time.Duration
		grows bool
	}{"met": {10 * time.Millisecond, true}, "missed": {time.Millisecond, false}} {
		p := Pace{Limit: c.limit}
		rates := drive(&p, newRand(), foreground{batches: 500, calm: 5 * time.Millisecond}, 100, true)
		for i, r := range rates {
			if r == 0 {
				t.Fatalf("%s: slot %d was kept free", name, i)
			}
		}
		if last := rates[len(rates)-1]; (last == CeilingBytes) != c.grows || (last == FloorBytes) == c.grows {
			t.Errorf("%s: came to %d", name, last)
		}
	}
}

func TestWhatWasLearnedIsForgottenAfterAMinuteWithoutWork(t *testing.T) {
	var p Pace
	drive(&p, newRand(), foreground{}, 20, true)
	drive(&p, newRand(), foreground{}, minuteSlots-1, false)
	if p.Rate() != CeilingBytes {
		t.Errorf("forgot too early: %d", p.Rate())
	}
	drive(&p, newRand(), foreground{}, 1, false)
	if p.Rate() != StartBytes {
		t.Errorf("%d after a minute", p.Rate())
	}
}

func TestRateThatNobodyUsesDoesNotGrow(t *testing.T) {
	var p Pace
	for range 100 {
		p.Next(Slot{Worked: true})
	}
	if p.Rate() != StartBytes {
		t.Errorf("grew to %d without having been asked for", p.Rate())
	}
}

// Whatever the foreground does, the rate stays within its bounds, is never cut twice for one thing, and no two slots are
// kept free close together: background work always gets on.
func TestNeverStarves(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 10 {
		var p Pace
		f, sinceRest := foreground{}, learnSlots
		for slot := range 600 {
			if rng.IntN(20) == 0 {
				f = foreground{batches: rng.IntN(300), calm: time.Duration(rng.IntN(int(50 * time.Millisecond))), knee: rng.Int64N(CeilingBytes)}
			}
			rate := p.Rate()
			switch {
			case rate == 0 && sinceRest < learnSlots:
				t.Fatalf("slot %d: two slots kept free, %d between them", slot, sinceRest)
			case rate == 0:
				sinceRest = 0
			case rate < FloorBytes || rate > CeilingBytes:
				t.Fatalf("slot %d: %d", slot, rate)
			default:
				sinceRest++
			}
			p.Next(f.slot(rng, rate, rng.IntN(10) > 0))
		}
	}
}

// At rest under a foreground that background work does disturb, its p99 is at most half as much again as without.
func TestForegroundIsAtMostHalfAgainAsSlow(t *testing.T) {
	for _, knee := range []int64{2 << 20, 8 << 20, 40 << 20} {
		var p Pace
		f, rng := foreground{batches: 300, calm: 2 * time.Millisecond, knee: knee}, newRand()
		drive(&p, rng, f, minuteSlots, false)
		drive(&p, rng, f, 2*minuteSlots, true)
		var with, without Counts
		for range 5 * minuteSlots {
			rate := p.Rate()
			s := f.slot(rng, rate, true)
			with.merge(&s.Foreground[Write])
			p.Next(s)
			calm := f.slot(rng, 0, false)
			without.merge(&calm.Foreground[Write])
		}
		t.Logf("knee at %d MiB/s: p99 %v with, %v without", knee>>20, with.p99(), without.p99())
		if with.p99() > without.p99()*3/2 {
			t.Errorf("knee at %d: p99 %v with background work, %v without", knee, with.p99(), without.p99())
		}
	}
}

// Clients so few that several slots make a percentile: one bad second among them is answered once.
func TestOneBadSecondIsAnsweredOnce(t *testing.T) {
	var p Pace
	f, rng := foreground{batches: 30, calm: 2 * time.Millisecond}, newRand()
	drive(&p, rng, f, minuteSlots, false)
	drive(&p, rng, f, 30, true)
	for p.Rate() == 0 {
		drive(&p, rng, f, 1, true)
	}
	before := p.Rate()
	bad := f
	bad.calm = 100 * time.Millisecond
	p.Next(bad.slot(rng, before, true))
	if least, most := extremes(drive(&p, rng, f, 20, true)); least != before/2 || most != before/2 {
		t.Errorf("from %d to %d and %d", before, least, most)
	}
}
