//go:build linux

package e2e

import (
	"bytes"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// TestRedisCLISession is a session as a person has it, through two nodes.
func TestRedisCLISession(t *testing.T) {
	if _, err := exec.LookPath("redis-cli"); err != nil {
		lacking(t, "redis-cli is not installed (Debian: redis-tools)")
	}
	c := found(t, 3)
	for _, line := range []struct{ command, want string }{
		{"PING", "PONG"},
		{"SET greeting hello", "OK"},
		{"GET greeting", `"hello"`},
		{"GET nothing", "(nil)"},
		{"APPEND greeting ', world'", "(integer) 12"},
		{"GET greeting", `"hello, world"`},
		{"EXPIREAT greeting 4102444800", "(integer) 1"},
		{"EXPIRETIME greeting", "(integer) 4102444800"},
		{"TYPE greeting", "string"},
		{"INCR visits", "(integer) 1"},
		{"INCR visits", "(integer) 2"},
		{"INCR greeting", "(error) ERR value is not an integer or out of range"},
		{"MSET a 1 b 2", "OK"},
		{"MGET a b nothing", "1) \"1\"\n2) \"2\"\n3) (nil)"},
		{"DEL a b nothing", "(integer) 2"},
		{"GET", "(error) ERR wrong number of arguments for 'get' command"},
		{"FROB x", "(error) ERR unknown command 'FROB', with args beginning with: 'x' "},
		{"DBSIZE", "(integer) 2"},
		{"CLUSTER KEYSLOT {user1000}.cart", "(integer) 3443"},
		{"GETV nothing", "1) \"\"\n2) (empty array)"},
	} {
		t.Run(line.command, func(t *testing.T) {
			first, second := cli(t, c.nodes[0], line.command), ""
			if strings.HasPrefix(line.command, "GET ") { // what one node wrote, another reads
				second = cli(t, c.nodes[1], line.command)
			}
			if first != line.want || second != "" && second != line.want {
				t.Errorf("got %q and %q, want %q", first, second, line.want)
			}
		})
	}
	t.Run("siblings are shown and merged", func(t *testing.T) {
		cli(t, c.nodes[0], "PUTCTX cart '' apples")
		cli(t, c.nodes[1], "PUTCTX cart '' pears")
		both := strings.Split(cli(t, c.nodes[2], "GETV cart"), "\n")
		if len(both) != 3 || both[1] != `2) 1) "pears"` || both[2] != `   2) "apples"` {
			t.Fatalf("GETV: %q", both)
		}
		seen := strings.Trim(strings.TrimPrefix(both[0], "1) "), `"`)
		cli(t, c.nodes[0], "PUTCTX cart "+seen+" 'apples and pears'")
		if one := cli(t, c.nodes[1], "GET cart"); one != `"apples and pears"` {
			t.Errorf("merged: %q", one)
		}
	})
	t.Run("the cluster mode of redis-cli", func(t *testing.T) {
		if got := cli(t, c.nodes[0], "GET greeting", "-c"); got != `"hello, world"` {
			t.Errorf("got %q", got)
		}
	})
}

// cli types one line into redis-cli and returns what it shows on a terminal.
func cli(t *testing.T, m *member, line string, flags ...string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(m.resp())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "redis-cli", append([]string{"-h", host, "-p", port, "--no-raw"}, flags...)...)
	cmd.Stdin = strings.NewReader(line + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("redis-cli: %v: %s", err, stderr.String())
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(out), "\n"), "\n")
}
