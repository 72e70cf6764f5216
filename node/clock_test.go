package node

import (
	"log/slog"
	"testing"
	"time"
)

func TestCorrectionOutlivesThoseWhoToldIt(t *testing.T) {
	type step struct {
		what    string
		others  int
		set     time.Duration // by how much this machine's clock is set
		offsets []time.Duration
		want    time.Duration
	}
	hourOff := step{"two others that agree are right", 2, 0, []time.Duration{time.Hour, time.Hour}, time.Hour}
	for _, steps := range [][]step{
		{
			{"one other clock may be the wrong one", 2, 0, []time.Duration{time.Hour}, 0},
			hourOff,
			{"one of them went down", 2, 0, []time.Duration{time.Hour}, time.Hour},
			{"both went down", 2, 0, nil, time.Hour},
			{"one is back with a clock of its own", 2, 0, []time.Duration{-time.Hour}, time.Hour},
			{"both are back, and this clock was set right", 2, time.Hour, []time.Duration{0, 0}, 0},
		},
		{hourOff, {"set right while one is left", 2, time.Hour, []time.Duration{0}, 0}},
		{hourOff, {"set right while nobody is left", 2, time.Hour, nil, 0}},
		{hourOff, {"set right while the one that is left is wrong", 2, time.Hour, []time.Duration{time.Hour}, 0}},
		{hourOff, {"set wrong once more while nobody is left", 2, -time.Hour, nil, 2 * time.Hour}},
		{hourOff, {"most members say that this clock was right", 2, 0, []time.Duration{0}, 0}},
		{hourOff, {"the others were removed", 0, 0, nil, time.Hour}},
		{hourOff, {"the one that is left of five is wrong alike", 4, 0, []time.Duration{0}, time.Hour}},
		{hourOff, {"so is one of the two that are left of five", 4, 0, []time.Duration{0, time.Hour}, time.Hour}},
	} {
		w, set := settable()
		n := &Node{cfg: Config{Logger: slog.New(slog.DiscardHandler)}, wall: w}
		for _, step := range steps {
			set(step.set)
			n.heedClocks(w.look(), step.offsets, step.others)
			if got := w.correction().Round(time.Minute); got != step.want {
				t.Errorf("%s: corrected by %v, want %v", step.what, got, step.want)
			}
		}
	}
}

// Between two comparisons a clock that is corrected may be set by somebody who sees that it is wrong.
func TestWhatWasToldStaysTrueWhenTheClockIsSet(t *testing.T) {
	w, set := settable()
	n := &Node{cfg: Config{Logger: slog.New(slog.DiscardHandler)}, wall: w}
	n.heedClocks(w.look(), []time.Duration{time.Hour, time.Hour}, 2)
	was := w.Now()
	set(time.Hour)
	if now := w.Now(); now.Sub(was).Abs() > time.Minute {
		t.Errorf("the clock to go by jumped by %v", now.Sub(was))
	}
}

// The others take a while to answer, and may not answer at all.
func TestClockSetWhileTheOthersAreAsked(t *testing.T) {
	w, set := settable()
	n := &Node{cfg: Config{Logger: slog.New(slog.DiscardHandler)}, wall: w}
	looked, was := w.look(), w.Now()
	set(time.Hour)
	n.heedClocks(looked, []time.Duration{0}, 2)
	w.heedAgreement(looked, []time.Duration{0}, 2)
	if w.sure() {
		t.Error("sure of a clock that was set after it was compared")
	}
	n.heedClocks(looked, []time.Duration{time.Hour, time.Hour}, 2)
	if off := w.Now().Sub(was) - time.Hour; off.Abs() > time.Minute {
		t.Errorf("goes by a clock that is %v off from what the others told", off)
	}
}

func TestTheWordOfTheOnlyMemberEndsWhenThereIsAnother(t *testing.T) {
	w, _ := settable()
	w.heedAgreement(w.look(), nil, 0)
	if !w.sure() {
		t.Error("the only member is not sure of its clock")
	}
	w.heedAgreement(w.look(), []time.Duration{-time.Hour}, 1)
	if w.sure() {
		t.Error("sure of a clock that the only other member contradicts")
	}
}

// settable returns the clock of a machine, and what sets it forward.
func settable() (*wall, func(time.Duration)) {
	var ahead time.Duration
	return &wall{machine: func() time.Time { return time.Now().Add(ahead) }}, func(by time.Duration) { ahead += by }
}

// What a wrong clock removes is gone from every replica, so that the middle one of three that all differ does not decide.
func TestOnlyMostClocksMakeSure(t *testing.T) {
	w, set := settable()
	n := &Node{cfg: Config{Logger: slog.New(slog.DiscardHandler)}, wall: w}
	for _, step := range []struct {
		what    string
		others  int
		jump    time.Duration // of this machine's clock
		offsets []time.Duration
		want    bool
	}{
		{"nobody was heard", 2, 0, nil, false},
		{"the one that was heard differs", 2, 0, []time.Duration{time.Hour}, false},
		{"all three differ", 2, 0, []time.Duration{time.Hour, 2 * time.Hour}, false},
		{"two of three agree against this one", 2, 0, []time.Duration{time.Hour, time.Hour}, true},
		{"one of the two is heard", 2, 0, []time.Duration{time.Hour}, true},
		{"the other two differ now, and this clock is in the middle: what both told stands", 2, 0, []time.Duration{time.Hour, -time.Hour}, true},
		{"they agree again", 2, 0, []time.Duration{time.Hour, time.Hour}, true},
		{"this clock was set right, and nobody is heard", 2, time.Hour, nil, true},
		{"the others are heard", 2, 0, []time.Duration{0, 0}, true},
		{"this clock was set wrong, and nobody is heard", 2, time.Hour, nil, false},
		{"it was set right again", 2, -time.Hour, nil, true},
		{"so are two of whom nobody else is heard", 4, time.Hour, []time.Duration{0}, false},
		{"two of five are a minority", 4, 0, []time.Duration{0, time.Hour, 2 * time.Hour, 3 * time.Hour}, false},
	} {
		set(step.jump)
		n.heedClocks(w.look(), step.offsets, step.others)
		w.heedAgreement(w.look(), step.offsets, step.others)
		if got := w.sure(); got != step.want {
			t.Errorf("%s: sure %v, want %v", step.what, got, step.want)
		}
	}
}
