package gossiptest_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/ring/gossip/gossiptest"
)

const (
	a = "127.0.0.1:7946"
	b = "127.0.0.2:7946"
)

// sent sends packets from a to b, a millisecond apart, and returns what arrived, in order.
func sent(t *testing.T, n *gossiptest.Network, packets int) (arrived []int) {
	t.Helper()
	from, err := n.Listen(a)
	if err != nil {
		t.Fatal(err)
	}
	to, err := n.Listen(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range packets {
		if _, err := from.WriteTo([]byte(strconv.Itoa(i)), b); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Minute)
	for len(to.PacketCh()) > 0 {
		i, err := strconv.Atoi(string((<-to.PacketCh()).Buf))
		if err != nil {
			t.Fatal(err)
		}
		arrived = append(arrived, i)
	}
	return arrived
}

func TestPacketsOfALossyHostAreLostDoubledAndLate(t *testing.T) {
	for _, host := range []string{a, b} {
		synctest.Test(t, func(t *testing.T) {
			n := gossiptest.New(1)
			n.Lossy(host, 20)
			const packets = 500
			copies, last, late := map[int]int{}, -1, 0
			for _, i := range sent(t, n, packets) {
				copies[i]++
				if i < last-10 { // the ordinary delays do less
					late++
				}
				last = max(last, i)
			}
			doubled := 0
			for _, c := range copies {
				doubled += c - 1
			}
			if lost := packets - len(copies); lost < 50 || lost > 150 || doubled < 40 || doubled > 130 || late < 40 {
				t.Fatalf("of %d packets %d were lost, %d doubled, %d late, want about a fifth each", packets, lost, doubled, late)
			}
		})
	}
}

func TestPacketsWaitForAHostThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := gossiptest.New(1)
		n.Hold(b)
		time.AfterFunc(time.Second, func() { n.Release(b) })
		if got := sent(t, n, 5); len(got) != 5 {
			t.Fatalf("%v arrived, want all five", got)
		}
	})
}

func TestAHostThatStandsStillSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := gossiptest.New(1)
		n.Hold(a)
		time.AfterFunc(time.Second, func() { n.Release(a) })
		if got := sent(t, n, 5); len(got) != 0 {
			t.Fatalf("%v arrived", got)
		}
	})
}
