package gossip

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/ring"
)

func TestMetaFits(t *testing.T) {
	m := meta{cluster: ring.NodeID{1}, hash: 7, peer: "10.0.0.1:7379", resp: "10.0.0.1:6379", name: "node-1"}
	if back, ok := decodeMeta(m.encode()); !ok || back != m {
		t.Errorf("%+v came back as %+v", m, back)
	}
	const room = metaBytesMax - 1 - 16 - 8 - 3*2
	m.peer, m.resp, m.name = strings.Repeat("p", ring.AddressBytesMax), strings.Repeat("r", room-ring.AddressBytesMax), ""
	if b := m.encode(); len(b) != metaBytesMax {
		t.Errorf("at the cap: %d bytes", len(b))
	}
	m.resp += "r"
	b := m.encode()
	back, ok := decodeMeta(b)
	if m.resp = ""; !ok || len(b) > metaBytesMax || back != m {
		t.Errorf("one over: %d bytes, %+v", len(b), back)
	}
}

func FuzzDecodeMeta(f *testing.F) {
	f.Add(meta{}.encode())
	f.Add(meta{cluster: ring.NodeID{1}, hash: 1 << 63, peer: "p", resp: "r", name: "n"}.encode())
	f.Add([]byte{metaVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := decodeMeta(b); ok && !bytes.Equal(m.encode(), b) {
			t.Fatalf("%x encodes as %x", b, m.encode())
		}
	})
}

func TestMemberlistsLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := &bridge{log: slog.New(slog.NewTextHandler(&out, nil)), warn: limiter{most: 2, every: time.Minute}, refused: func(string) bool { return false }}
		write := func(line string) {
			if _, err := b.Write([]byte(line)); err != nil {
				t.Error(err)
			}
		}
		write("[DEBUG] memberlist: chatter\n")
		write("[WARN] memberlist: ignoring alive message for 'x': " + errForeign.Error() + "\n")
		write("[WARN] memberlist: Got ping for unexpected node 'x' from=127.0.0.1:7946\n")
		write("[ERR] memberlist: Failed fallback TCP ping: EOF\n")
		for range 5 {
			write("[ERR] memberlist: trouble\n")
		}
		if got := strings.Count(out.String(), "\n"); got != 2 || strings.Count(out.String(), `text=trouble`) != 2 {
			t.Errorf("%d lines:\n%s", got, &out)
		}
		time.Sleep(time.Minute)
		write("[ERR] memberlist: trouble\n")
		if got := strings.Count(out.String(), "\n"); got != 3 {
			t.Errorf("%d lines after a minute", got)
		}
	})
}
