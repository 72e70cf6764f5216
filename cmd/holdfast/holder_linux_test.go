package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// kernel prints an address as /proc/net/tcp does.
func kernel(addr string) string {
	a := netip.MustParseAddrPort(addr)
	words := a.Addr().AsSlice()
	for i := 0; i < len(words); i += 4 {
		binary.NativeEndian.PutUint32(words[i:], binary.BigEndian.Uint32(words[i:]))
	}
	return strings.ToUpper(hex.EncodeToString(words)) + fmt.Sprintf(":%04X", a.Port())
}

func TestListenersClashOnlyAtOneAddress(t *testing.T) {
	for _, c := range []struct {
		local, addr string
		want        bool
	}{
		{"127.0.0.1:6379", "127.0.0.1:6379", true},
		{"127.0.0.2:6379", "127.0.0.1:6379", false},
		{"127.0.0.1:6380", "127.0.0.1:6379", false},
		{"0.0.0.0:6379", "127.0.0.1:6379", true},
		{"[::]:6379", "127.0.0.1:6379", true},
		{"[::ffff:127.0.0.1]:6379", "127.0.0.1:6379", true},
		{"127.0.0.1:6379", "0.0.0.0:6379", true},
		{"[::1]:6379", "[::1]:6379", true},
		{"[::1]:6379", "127.0.0.1:6379", false},
	} {
		if got := clashes(kernel(c.local), netip.MustParseAddrPort(c.addr)); got != c.want {
			t.Errorf("a listener at %s leaves no room for %s: %v", c.local, c.addr, got)
		}
	}
}

func TestThePortHolderIsTheOneAtTheAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	mine := fmt.Sprintf("(pid %d)", os.Getpid())
	if got := portHolder("127.0.0.1:" + port); !strings.Contains(got, mine) {
		t.Errorf("the holder of 127.0.0.1:%s: %q, want %s", port, got, mine)
	}
	if got := portHolder("localhost:" + port); !strings.Contains(got, mine) {
		t.Errorf("the holder of localhost:%s: %q, want %s", port, got, mine)
	}
	if got := portHolder("127.99.0.1:" + port); strings.Contains(got, mine) {
		t.Errorf("the holder of 127.99.0.1:%s: %q, which listens elsewhere", port, got)
	}
}
