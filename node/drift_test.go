package node_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/nodetest"
)

func TestMedian(t *testing.T) {
	const h, s = time.Hour, time.Second
	for _, tt := range []struct {
		proves string
		others []time.Duration
		want   time.Duration
	}{
		{"alone, a clock is right", nil, 0},
		{"one against one is no majority", []time.Duration{h}, 0},
		{"two against one", []time.Duration{-h, -h - s}, -h},
		{"within the bound nothing is corrected", []time.Duration{5 * s, 5 * s}, 0},
		{"beyond the bound it is", []time.Duration{5*s + 1, 6 * s}, 5*s + 1},
		{"one wrong clock does not move a right one", []time.Duration{h, s}, 0},
		{"two against two is no majority", []time.Duration{h, h, 0}, 0},
		{"three against one", []time.Duration{h, h, h}, h},
		{"two wrong in opposite directions leave the third", []time.Duration{h, -h}, 0},
	} {
		if got := node.Median(tt.others); got != tt.want {
			t.Errorf("%s: median of %v is %v, want %v", tt.proves, tt.others, got, tt.want)
		}
	}
}

func TestClockSetAnHourOff(t *testing.T) {
	for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
				time.Sleep(5 * time.Second) // the clocks have been compared
				setClockOff(t, c, ahead)
			})
		})
	}
}

// setClockOff sets one clock wrong while the cluster runs, and back in the end.
func setClockOff(t *testing.T, c *nodetest.Cluster, ahead time.Duration) {
	off, right := c.Machines[0], c.Machines[1]
	must(t, right, "SET", "long", "v", "PX", "600000")
	off.SetClock(ahead)
	took := c.Eventually(10*time.Second, "the clock is corrected", func() bool { return off.Node.ClockCorrection() != 0 })
	t.Logf("corrected by %v after %v", off.Node.ClockCorrection(), took)
	if d := off.Node.ClockCorrection() + ahead; d.Abs() > time.Second {
		t.Errorf("after the correction the clock is still off by %v", d)
	}
	laterWins(t, c, off, right)
	must(t, off, "SET", "brief", "v", "PX", "30000")
	time.Sleep(31 * time.Second)
	wantEverywhere(t, c, "brief", nil)
	time.Sleep(8 * time.Minute)
	wantEverywhere(t, c, "long", "v")
	time.Sleep(2 * time.Minute)
	wantEverywhere(t, c, "long", nil)
	off.SetClock(0)
	c.Eventually(10*time.Second, "the clock is trusted again", func() bool { return off.Node.ClockCorrection() == 0 })
}

func TestClockSetRightWhileTwoAreLeft(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		off, right := c.Machines[0], c.Machines[1]
		off.SetClock(time.Hour)
		c.Eventually(10*time.Second, "the clock is corrected", func() bool { return off.Node.ClockCorrection() != 0 })
		c.Machines[2].Stop()
		off.SetClock(0)
		must(t, off, "SET", "brief", "v", "PX", "30000")
		time.Sleep(29 * time.Second)
		if got := must(t, off, "GET", "brief"); got != "v" {
			t.Errorf("GET brief a second before its time: %v", got)
		}
		time.Sleep(2 * time.Second)
		if d := off.Node.ClockCorrection(); d != 0 {
			t.Errorf("a clock that is right is corrected by %v", d)
		}
		if got := must(t, right, "GET", "brief"); got != nil {
			t.Errorf("GET brief a second after its time: %v", got)
		}
	})
}

func TestAClockIsNotSureBeforeThereIsACluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 2, nil)
		defer c.Close()
		waits := c.Machines[1]
		waits.MustStart()
		time.Sleep(10 * time.Second)
		if waits.Node.ClockSure() {
			t.Error("sure of its clock while it knows no member")
		}
	})
}

// Those who were removed have no voice.
func TestTheLastMembersClockNeedsNoOther(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *nodetest.Cluster) {
		last, gone := c.Machines[0], c.Machines[1]
		gone.Stop()
		c.Eventually(ringChangeMax, "the other is removed", func() bool { return last.Node.Remove(gone.Config.Name) == nil })
		last.Stop()
		last.MustStart()
		c.Eventually(10*time.Second, "the last member goes by its own clock", func() bool { return last.Node.ClockSure() })
	})
}

// laterWins writes by the wrong clock and then by a right one.
func laterWins(t *testing.T, c *nodetest.Cluster, off, right *nodetest.Machine) {
	t.Helper()
	must(t, off, "SET", "k", "by the wrong clock")
	time.Sleep(time.Second)
	must(t, right, "SET", "k", "later")
	wantEverywhere(t, c, "k", "later")
}

func wantEverywhere(t *testing.T, c *nodetest.Cluster, key string, want any) {
	t.Helper()
	for _, m := range c.Machines {
		if got := must(t, m, "GET", key); got != want {
			t.Errorf("GET %s at %s: %v, want %v", key, m.Config.Name, got, want)
		}
	}
}

func TestStartWithAClockAnHourAheadExpiresNothing(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		off, right := c.Machines[0], c.Machines[1]
		off.Stop()
		off.SetClock(time.Hour)
		must(t, right, "SET", "long", "v", "PX", "600000")
		off.MustStart()
		c.AwaitReady(c.Machines...)
		must(t, off, "SET", "k", "at once, by the wrong clock")
		c.Eventually(10*time.Second, "the clock is corrected", func() bool { return off.Node.ClockCorrection() != 0 })
		wantEverywhere(t, c, "long", "v")
		laterWins(t, c, off, right)
	})
}
