package node

import (
	"log/slog"
	"testing"
	"time"
)

func TestCorrectionOutlivesThoseWhoToldIt(t *testing.T) {
	n := &Node{cfg: Config{Logger: slog.New(slog.DiscardHandler)}, wall: &wall{machine: time.Now}}
	for _, step := range []struct {
		what    string
		offsets []time.Duration
		want    time.Duration
	}{
		{"one other clock may be the wrong one", []time.Duration{time.Hour}, 0},
		{"two others that agree are right", []time.Duration{time.Hour, time.Hour}, time.Hour},
		{"one of them went down", []time.Duration{time.Hour}, time.Hour},
		{"both went down", nil, time.Hour},
		{"both are back, and this clock was set right", []time.Duration{0, 0}, 0},
	} {
		n.heedClocks(step.offsets)
		if got := time.Duration(n.wall.correction.Load()); got != step.want {
			t.Errorf("%s: corrected by %v, want %v", step.what, got, step.want)
		}
	}
}

// What a wrong clock removes is gone from every replica, so that the middle one of three that all differ does not decide.
func TestOnlyMostClocksMakeSure(t *testing.T) {
	machine := time.Unix(1_700_000_000, 0)
	w := &wall{machine: func() time.Time { return machine }}
	n := &Node{cfg: Config{Logger: slog.New(slog.DiscardHandler)}, wall: w}
	for _, step := range []struct {
		what    string
		jump    time.Duration // of this machine's clock
		offsets []time.Duration
		want    bool
	}{
		{"nobody was heard", 0, nil, false},
		{"the one that was heard differs", 0, []time.Duration{time.Hour}, false},
		{"all three differ", 0, []time.Duration{time.Hour, 2 * time.Hour}, false},
		{"two of three agree against this one", 0, []time.Duration{time.Hour, time.Hour}, true},
		{"one of the two is heard", 0, []time.Duration{time.Hour}, true},
		{"the other two differ now: this clock is in the middle", 0, []time.Duration{time.Hour, -time.Hour}, false},
		{"they agree again", 0, []time.Duration{time.Hour, time.Hour}, true},
		{"this clock was set right, which the others do not know yet", time.Hour, nil, false},
		{"they know", 0, []time.Duration{0, 0}, true},
		{"two of five are a minority", 0, []time.Duration{0, time.Hour, 2 * time.Hour, 3 * time.Hour}, false},
	} {
		machine = machine.Add(step.jump)
		n.heedClocks(step.offsets)
		w.heedAgreement(step.offsets, false)
		if got := w.sure(); got != step.want {
			t.Errorf("%s: sure %v, want %v", step.what, got, step.want)
		}
	}
}
