package resp

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the replies in testdata from what the server answers")

// A dialogue is a file of requests and the exact replies to them, on one connection:
//
//	# comment; "# oracle" in the first line: redis-server answers the same
//	> SET k v            sent as an inline command
//	* "PING\r\nPING\r\n" sent as these bytes
//	! "*x\r\n"           the same, and the server closes
//	< "+OK\r\n"          a line of the reply, or a bulk's bytes, each as Go writes strings
//
// Requests that follow each other without a reply between them are sent as one pipeline.
type exchange struct {
	requests []string // the lines
	replies  []string
}

// readDialogue returns a file's exchanges and whether redis-server must agree.
func readDialogue(t *testing.T, path string) (list []exchange, comments []string, oracle bool) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var cur exchange
	for lines := bufio.NewScanner(f); lines.Scan(); {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "#"):
			comments = append(comments, line)
			oracle = oracle || strings.HasPrefix(line, "# oracle")
		case strings.HasPrefix(line, "< "):
			cur.replies = append(cur.replies, line[2:])
		case line == "":
			if len(cur.requests) > 0 {
				list = append(list, cur)
			}
			cur = exchange{}
		default:
			cur.requests = append(cur.requests, line)
		}
	}
	if len(cur.requests) > 0 {
		list = append(list, cur)
	}
	return list, comments, oracle
}

const sentinel = "\x01end\x01"

// play sends an exchange's requests as one pipeline and returns the lines of what comes back.
func (x exchange) play(t *testing.T, p *peer) []string {
	t.Helper()
	var out strings.Builder
	closes := false
	for _, line := range x.requests {
		kind, text := line[0], line[2:]
		if kind == '>' {
			text += "\r\n"
		} else {
			raw, err := strconv.Unquote(text)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			text = raw
		}
		closes = closes || kind == '!'
		out.WriteString(text)
	}
	if closes {
		p.send("%s", out.String())
		return split(p.rest())
	}
	p.send("%s", out.String()+string(encode("ECHO", sentinel)))
	return split(p.until(bulk(sentinel)))
}

// split returns the lines of a reply as a dialogue holds them.
func split(raw string) []string {
	var lines []string
	for line := range strings.SplitAfterSeq(raw, "\r\n") {
		if line != "" {
			lines = append(lines, strconv.Quote(line))
		}
	}
	return lines
}

func TestDialogues(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no dialogues", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			r := newRig(t, nil)
			list, comments, oracle := readDialogue(t, path)
			compareDialogue(t, dial(t, "tcp", r.addr), list)
			if *update {
				writeDialogue(t, path, comments, list)
			}
			if oracle {
				compareDialogue(t, dial(t, "unix", redisServer(t)), list)
			}
		})
	}
}

// compareDialogue plays a dialogue; with -update, the replies that come become the expected ones.
func compareDialogue(t *testing.T, p *peer, list []exchange) {
	t.Helper()
	for i, x := range list {
		got := x.play(t, p)
		switch want := strings.Join(x.replies, "\n"); {
		case *update && p.RemoteAddr().Network() == "tcp":
			list[i].replies = got
		case strings.Join(got, "\n") != want:
			t.Errorf("%s\n%s answers\n%s\nwant\n%s", strings.Join(x.requests, "\n"), p.RemoteAddr().Network(), strings.Join(got, "\n"), want)
		}
	}
}

func writeDialogue(t *testing.T, path string, comments []string, list []exchange) {
	var b strings.Builder
	for _, c := range comments {
		b.WriteString(c + "\n")
	}
	for _, x := range list {
		fmt.Fprintf(&b, "\n%s\n", strings.Join(x.requests, "\n"))
		for _, r := range x.replies {
			b.WriteString("< " + r + "\n")
		}
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
