package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/protocol"
)

func sample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestStatusAndRingForPeopleAndForPrograms(t *testing.T) {
	status, ring, changing := sample(t, "status.json"), sample(t, "ring.json"), sample(t, "changing.json")
	addr := scripted(t, func(command string) string {
		switch command {
		case "HOLDFAST STATUS":
			return bulk(status)
		case "AUTH changing":
			status = changing
			return "+OK\r\n"
		case "HOLDFAST RING":
			return bulk(ring)
		}
		return "-ERR unexpected " + command + "\r\n"
	})
	for _, c := range []struct{ args, golden string }{
		{"status", "status.txt"}, {"status --json", "status.out.json"}, {"ring", "ring.txt"}, {"ring --json", "ring.out.json"},
		{"ring --all", "ring.all.txt"}, {"ring --all --json", "ring.all.out.json"},
		{"status --password changing", "changing.txt"},
	} {
		got := runHere(t, nil, append(strings.Fields(c.args), "--addr", addr)...)
		if got.code != exitDone || got.stderr != "" {
			t.Errorf("%s: %+v", c.args, got)
		}
		golden(t, c.golden, got.stdout)
	}
}

// Programs are promised these fields and no others.
func TestJSONHasExactlyThePromisedFields(t *testing.T) {
	for _, c := range []struct {
		file string
		want string
	}{
		{"status.out.json", "alive bytes connections hints id keys name siblings status uptime_seconds version"},
		{"ring.out.json", "alive coordinates id name primaries status weight zone"},
	} {
		var object map[string]json.RawMessage
		var nodes []map[string]any
		if err := json.Unmarshal([]byte(sample(t, c.file)), &object); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(object["nodes"], &nodes); err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			if got := strings.Join(slices.Sorted(maps.Keys(n)), " "); got != c.want {
				t.Errorf("%s: got %s, want %s", c.file, got, c.want)
			}
		}
	}
}

func TestVerdicts(t *testing.T) {
	alive, dead := protocol.NodeStatus{Name: "a", Status: "active", Alive: true}, protocol.NodeStatus{Name: "b", Status: "active"}
	gone := protocol.NodeStatus{Name: "c", Status: "removed"}
	for name, c := range map[string]struct {
		nodes []protocol.NodeStatus
		want  string
	}{
		"all well; a removed node does not count": {[]protocol.NodeStatus{alive, alive, gone}, "all 2 nodes alive"},
		"a proxy is none of the nodes": {[]protocol.NodeStatus{alive, {Name: "p", Status: "proxy", Alive: true}},
			"all 1 nodes alive, and 1 without data (proxy)"},
		"one dead": {[]protocol.NodeStatus{alive, dead},
			"1 of 2 nodes dead: b. Start it again: what was missed meanwhile is kept"},
		"a damaged disk": {[]protocol.NodeStatus{alive, {Name: "d", Status: "leaving", Alive: true, Hints: 3, UnreadableHints: 1}},
			"all 2 nodes alive\nd is leaving\n3 hints wait for delivery: they go out by themselves once their nodes are back\n" +
				"d keeps hints that it cannot read (1): repair, then replace its disk; its log names them"},
		"two dead": {[]protocol.NodeStatus{dead, alive, dead},
			"2 of 3 nodes dead: b, b. Start them again: what was missed meanwhile is kept"},
	} {
		if got := verdict(protocol.Status{Nodes: c.nodes}); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestLeaveAndRemoveAskTheNode(t *testing.T) {
	addr := scripted(t, func(command string) string {
		switch command {
		case "AUTH u p", "AUTH p":
			return "+OK\r\n"
		case "HOLDFAST LEAVE":
			return "+OK\r\n"
		case "HOLDFAST REPAIR":
			return bulk(`{"compared":16,"partitions":[],"bytes":120}`)
		case "HOLDFAST REPAIR SCAN":
			return bulk(`{"compared":0,"partitions":[{"partition":1,"unfinished":["node-2: down"]}]}`)
		case "HOLDFAST REPAIR PARTITION 7 SCAN":
			return bulk(`{"compared":1,"partitions":[{"partition":7,"rows":1,"bytes":100,"damaged":2,"conflicts":1,"unfinished":[]}],"bytes":120}`)
		}
		return "-ERR got " + command + "\r\n"
	})
	const leaves = "it hands what it holds to the others, and ends once its clients have gone: holdfast status --watch shows how far it is\n"
	for _, c := range []struct {
		args string
		want outcome
	}{
		{"leave", outcome{exitDone, leaves, ""}},
		{"leave --user u --password p", outcome{exitDone, leaves, ""}},
		{"leave --password p", outcome{exitDone, leaves, ""}},
		{"leave --password wrong", outcome{exitFailed, "", "holdfast leave: ERR got AUTH wrong\n"}},
		{"remove node-2", outcome{exitFailed, "", "holdfast remove: ERR got HOLDFAST REMOVE node-2\n"}},
		{"repair --partition 7 --scan", outcome{exitFailed, "PARTITION  ROWS  BYTES  DAMAGED  CONFLICTS  UNFINISHED\n" +
			"7          1     100 B  2        1          -\n\n1 partitions compared, 1 rows taken, 120 B exchanged\n",
			"holdfast repair: 1 rows have one write with different bytes; the nodes' logs name the keys\n"}},
		{"repair --scan", outcome{exitFailed, "PARTITION  ROWS  BYTES  DAMAGED  CONFLICTS  UNFINISHED\n" +
			"1          0     0 B    0        0          node-2: down\n\n0 partitions compared, 0 rows taken, 0 B exchanged\n",
			"holdfast repair: 1 partitions have copies that were not compared with all others\n"}},
		{"repair", outcome{exitDone, "16 partitions compared, 0 rows taken, 120 B exchanged\n", ""}},
	} {
		args := append(strings.Fields(c.args), "--addr", addr) // flags after NODE count too
		if got := runHere(t, nil, args...); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.args, got, c.want)
		}
	}
}

// closedAddr returns an address where nobody listens.
func closedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestNobodyListens(t *testing.T) {
	addr := closedAddr(t)
	for _, args := range []string{"status", "ring", "leave", "remove x", "ready"} {
		got := runHere(t, nil, append(strings.Fields(args), "--addr", addr)...)
		name, _, _ := strings.Cut(args, " ")
		want := fmt.Sprintf("holdfast %s: nothing listens on %s; is the node running? --addr says where\n", name, addr)
		if got != (outcome{exitFailed, "", want}) {
			t.Errorf("%s: got %+v, want %q", args, got, want)
		}
	}
}

func TestReady(t *testing.T) {
	for _, c := range []struct {
		name, ping, status string
		want               outcome
	}{
		{"serves", "+PONG\r\n", bulk(`{"nodes":[]}`), outcome{}},
		{"has no cluster yet", "+PONG\r\n", "-LOADING waiting for node-2\r\n", outcome{exitFailed, "", "holdfast ready: LOADING waiting for node-2\n"}},
		{"speaks something else", "HTTP/1.1 400 Bad Request\r\n", "", outcome{exitFailed, "", "holdfast ready: the answer is not of Redis's protocol; is this the node's --resp port?\n"}},
	} {
		addr := scripted(t, func(command string) string {
			if command == "PING" {
				return c.ping
			}
			return c.status
		})
		if got := runHere(t, nil, "ready", "--addr", addr); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestReadyOverHTTP(t *testing.T) {
	serves := true
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || !serves {
			http.Error(w, "draining", http.StatusServiceUnavailable)
		}
	}))
	defer web.Close()
	addr := web.Listener.Addr().String()
	if got := runHere(t, nil, "ready", "--http", addr); got != (outcome{}) {
		t.Errorf("serving: %+v", got)
	}
	serves = false
	want := outcome{exitFailed, "", "holdfast ready: " + addr + " says 503 Service Unavailable: draining\n"}
	if got := runHere(t, nil, "ready", "--http", addr); got != want {
		t.Errorf("draining: got %+v, want %+v", got, want)
	}
}

func TestAnAnswerIsReadUpToItsCap(t *testing.T) {
	for _, c := range []struct {
		name, reply string
		want        error // nil: any
	}{
		{"a length over the cap", fmt.Sprintf("$%d\r\n", ReplyBytesMax+1), nil},
		{"a length that overflows", "$99999999999999999999\r\n", errNotRESP},
		{"a null", "$-1\r\n", errNotRESP},
		{"a broken end", "$2\r\nabXX", errNotRESP},
		{"cut off", "$2\r\na", io.ErrUnexpectedEOF},
		{"cut off after a length at the cap", fmt.Sprintf("$%d\r\n", ReplyBytesMax), io.ErrUnexpectedEOF},
		{"a line over the cap", "+" + strings.Repeat("x", ReplyLineBytes) + "\r\n", errNotRESP},
		{"nothing", "", io.EOF},
	} {
		reply, err := readReply(bufio.NewReaderSize(strings.NewReader(c.reply), ReplyLineBytes))
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %q, %v", c.name, reply, err)
		}
	}
	line := strings.Repeat("x", ReplyLineBytes-3)
	if reply, err := readReply(bufio.NewReaderSize(strings.NewReader("+"+line+"\r\n"), ReplyLineBytes)); err != nil || string(reply) != line {
		t.Errorf("a line at the cap: %v", err)
	}
}

func TestTheLargestAnswer(t *testing.T) {
	head := fmt.Sprintf("$%d\r\n", ReplyBytesMax)
	body := io.MultiReader(strings.NewReader(head), bytes.NewReader(make([]byte, ReplyBytesMax)), strings.NewReader("\r\n"))
	reply, err := readReply(bufio.NewReaderSize(body, ReplyLineBytes))
	if err != nil || len(reply) != ReplyBytesMax {
		t.Errorf("got %d bytes, %v", len(reply), err)
	}
}

func FuzzReadReply(f *testing.F) {
	for _, seed := range []string{"+OK\r\n", "-ERR no\r\n", "$2\r\nab\r\n", "$-1\r\n", "*1\r\n", "$9223372036854775807\r\n", "\r\n", "+\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, reply []byte) {
		got, err := readReply(bufio.NewReaderSize(bytes.NewReader(reply), ReplyLineBytes))
		if err == nil && len(got) > len(reply) {
			t.Errorf("%d bytes out of %d", len(got), len(reply))
		}
	})
}
