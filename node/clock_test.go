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
