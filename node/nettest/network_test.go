package nettest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/node/nettest"
)

const (
	a = "127.0.0.1"
	b = "127.0.0.2"
)

// pair returns the two ends of a connection from a to b.
func pair(t *testing.T, n *nettest.Network) (near, far net.Conn) {
	t.Helper()
	l, err := n.Host(b).Listen(b + ":7379")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = n.Host(a).Dial(context.Background(), l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func send(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v, want %q", got, err, want)
	}
}

func TestBytesArriveInOrderAndThenTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := pair(t, nettest.New(1))
		began := time.Now()
		send(t, near, "one ")
		send(t, near, "two")
		near.Close()
		receive(t, far, "one two")
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("after the end: %v", err)
		}
		if time.Since(began) == 0 {
			t.Fatal("nothing takes no time")
		}
	})
}

func TestCutHoldsUntilHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := nettest.New(1)
		near, far := pair(t, n)
		n.Cut(a, b)
		send(t, near, "held")
		send(t, far, "the other way is open")
		receive(t, near, "the other way is open")
		far.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("over a cut: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Host(b).Dial(ctx, a+":1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("dial over a cut: %v", err)
		}
		far.SetReadDeadline(time.Time{})
		time.AfterFunc(time.Second, func() { n.Heal(a, b) })
		receive(t, far, "held")
	})
}

func TestCrashResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := nettest.New(1)
		h := n.Host(b)
		l, err := h.Listen(b + ":7379")
		if err != nil {
			t.Fatal(err)
		}
		near, err := n.Host(a).Dial(t.Context(), b+":7379")
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, h.Crash)
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("read: %v", err)
		}
		if _, err := near.Write([]byte{1}); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("write: %v", err)
		}
		if _, err := n.Host(a).Dial(t.Context(), b+":7379"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dial: %v", err)
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("close: %v", err)
		}
		if _, err := n.Host(b).Listen(b + ":7379"); err != nil {
			t.Fatalf("the next life: %v", err)
		}
	})
}

func TestWriterWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, _ := pair(t, nettest.New(1))
		near.SetWriteDeadline(time.Now().Add(time.Second))
		sent, err := near.Write(make([]byte, 1<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || sent != 256<<10 {
			t.Fatalf("wrote %d, %v, want the cap and a deadline", sent, err)
		}
	})
}

func TestAPausedHostReadsAndSendsNothingUntilItWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := nettest.New(1)
		near, far := pair(t, n)
		n.Pause(b)
		send(t, near, "for when you wake")
		send(t, far, "from before")
		far.Close()
		near.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("from a paused host: %v", err)
		}
		near.SetReadDeadline(time.Time{})
		time.AfterFunc(time.Second, func() { n.Wake(b) })
		receive(t, near, "from before")
		if _, err := near.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("after the end: %v", err)
		}
	})
}

func TestAPausedHostFindsWhatCameMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := nettest.New(1)
		near, far := pair(t, n)
		n.Pause(b)
		send(t, near, "one ")
		far.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("at a paused host: %v", err)
		}
		far.SetReadDeadline(time.Time{})
		send(t, near, "two")
		time.AfterFunc(time.Second, func() { n.Wake(b) })
		receive(t, far, "one two")
	})
}

func TestACrashOfAPausedHostIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := nettest.New(1)
		h := n.Host(b)
		if _, err := h.Listen(b + ":7379"); err != nil {
			t.Fatal(err)
		}
		n.Pause(b)
		near, err := n.Host(a).Dial(t.Context(), b+":7379") // its kernel answers
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, h.Crash)
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("read: %v", err)
		}
	})
}

func TestATornWriteArrivesInPartAndResetsBothEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := nettest.New(1)
		near, far := pair(t, n)
		n.Tear(a, b)
		send(t, far, "under way the other way")
		const text = "a frame of many bytes"
		send(t, near, text)
		got, err := io.ReadAll(far)
		if !errors.Is(err, syscall.ECONNRESET) || len(got) >= len(text) || string(got) != text[:len(got)] {
			t.Fatalf("read %q, %v, want a part and a reset", got, err)
		}
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("read by the writer: %v", err)
		}
		for _, end := range []net.Conn{near, far} {
			if _, err := end.Write([]byte{1}); !errors.Is(err, syscall.ECONNRESET) {
				t.Fatalf("a later write: %v", err)
			}
		}
	})
}
