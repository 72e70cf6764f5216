package resp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// decodeIn feeds the pieces and returns every command and the error, as text.
func decodeIn(pieces ...[]byte) string {
	var d decoder
	var b strings.Builder
	for _, in := range pieces {
		in = slices.Clone(in) // the decoder must not keep its input
		for len(in) > 0 {
			args, rest, err := d.next(in)
			if err != nil {
				fmt.Fprintf(&b, "! %v\n", err)
				return b.String()
			}
			if args != nil {
				fmt.Fprintf(&b, "%q\n", args)
			}
			in = rest
		}
		for i := range in[:cap(in)] {
			in[:cap(in)][i] = 'Z'
		}
		d.recycle()
	}
	return b.String()
}

func TestDecoder(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"multibulk", "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "[\"GET\" \"k\"]\n"},
		{"two commands in one piece", "*1\r\n$4\r\nPING\r\nPING x\r\n", "[\"PING\"]\n[\"PING\" \"x\"]\n"},
		{"arguments may be empty and hold any byte", "*2\r\n$0\r\n\r\n$3\r\n\r\n\x00\r\n", "[\"\" \"\\r\\n\\x00\"]\n"},
		{"*0, *-1 and empty lines are ignored", "*0\r\n*-1\r\n\r\n\n*-7\r\nPING\r\n", "[\"PING\"]\n"},
		{"inline without a carriage return", "PING\n", "[\"PING\"]\n"},
		{"inline quotes", `A "b c" 'd\'e' "\x41\n\q\"" f"g h"` + "\r\n", "[\"A\" \"b c\" \"d'e\" \"A\\nq\\\"\" \"fg h\"]\n"},
		{"inline tabs", "\tA \t b\r\n", "[\"A\" \"b\"]\n"},
		{"inline empty word", "A ''\r\n", "[\"A\" \"\"]\n"},
		{"unbalanced double quote", "A \"b\r\n", "! Protocol error: unbalanced quotes in request\n"},
		{"unbalanced single quote", "A 'b\\'\r\n", "! Protocol error: unbalanced quotes in request\n"},
		{"quote closed in a word", "A \"b\"c\r\n", "! Protocol error: unbalanced quotes in request\n"},
		{"no dollar", "*1\r\nPING\r\n", "! Protocol error: expected '$', got 'P'\n"},
		{"empty header", "*1\r\n\r\n", "! Protocol error: expected '$', got ' '\n"},
		{"count is no number", "*x\r\n", "! Protocol error: invalid multibulk length\n"},
		{"count with a plus", "*+1\r\n", "! Protocol error: invalid multibulk length\n"},
		{"count with a leading zero", "*01\r\n", "! Protocol error: invalid multibulk length\n"},
		{"count of many digits", "*" + strings.Repeat("1", 40) + "\r\n", "! Protocol error: invalid multibulk length\n"},
		{"count that never ends", "*" + strings.Repeat("1", LineBytesMax), "! Protocol error: too big mbulk count string\n"},
		{"size that never ends", "*1\r\n$" + strings.Repeat("1", LineBytesMax), "! Protocol error: too big bulk count string\n"},
		{"size just long enough to be read", "*1\r\n$" + strings.Repeat("1", LineBytesMax-1) + "\r\n", "! Protocol error: invalid bulk length\n"},
		{"negative size", "*1\r\n$-1\r\n", "! Protocol error: invalid bulk length\n"},
		{"size -0", "*1\r\n$-0\r\n", "! Protocol error: invalid bulk length\n"},
		{"no size", "*1\r\n$\r\n", "! Protocol error: invalid bulk length\n"},
		{"size beyond 64 bits", "*1\r\n$18446744073709551617\r\n", "! Protocol error: invalid bulk length\n"},
		{"the 26 bytes that end a redcon process", "*1\r\n$9223372036854775807\r\n", "! Protocol error: invalid bulk length\n"},
		{"the 13 bytes that spin redcon", "*1000000000\r\n", "! Protocol error: invalid multibulk length\n"},
		{"arguments at the cap", fmt.Sprintf("*%d\r\n", ArgsMax), ""},
		{"arguments one over", fmt.Sprintf("*%d\r\n", ArgsMax+1), "! Protocol error: invalid multibulk length\n"},
		{"bulk at the cap", fmt.Sprintf("*1\r\n$%d\r\n", BulkBytesMax), ""},
		{"bulk one over", fmt.Sprintf("*1\r\n$%d\r\n", BulkBytesMax+1), "! Protocol error: invalid bulk length\n"},
		{"inline one over", strings.Repeat("a", LineBytesMax+1), "! Protocol error: too big inline request\n"},
		{"commands before an error are kept", "PING\r\n*x\r\n", "[\"PING\"]\n! Protocol error: invalid multibulk length\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := decodeIn([]byte(c.in)); got != c.want {
				t.Errorf("in one piece: got %.200q, want %q", got, c.want)
			}
			if got := decodeIn(bytes.Split([]byte(c.in), nil)...); got != c.want {
				t.Errorf("byte by byte: got %.200q, want %q", got, c.want)
			}
		})
	}
}

func TestInlineAtTheCapIsTaken(t *testing.T) {
	line := strings.Repeat("a", LineBytesMax)
	if got := decodeIn([]byte(line + "\n")); got != fmt.Sprintf("[%q]\n", line) {
		t.Errorf("got %.80q", got)
	}
}

// A command whose arguments together exceed the cap is refused at the header that exceeds it.
func TestCommandBytesAreCapped(t *testing.T) {
	arg := make([]byte, BulkBytesMax)
	whole := CommandBytesMax / (BulkBytesMax + argBytesFixed)
	room := CommandBytesMax - whole*(BulkBytesMax+argBytesFixed) - argBytesFixed
	for _, c := range []struct {
		name string
		size int
		ok   bool
	}{{"at the cap", room, true}, {"one over", room + 1, false}} {
		var d decoder
		d.feed(t, fmt.Appendf(nil, "*%d\r\n", whole+1))
		for range whole {
			d.feed(t, fmt.Appendf(nil, "$%d\r\n", len(arg)))
			d.feed(t, arg)
			d.feed(t, []byte("\r\n"))
		}
		if _, _, err := d.next(fmt.Appendf(nil, "$%d\r\n", c.size)); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func (d *decoder) feed(t *testing.T, in []byte) {
	if args, _, err := d.next(in); err != nil || args != nil {
		t.Fatalf("unexpected %.80q, %v", args, err)
	}
}

// What was announced but not sent claims no memory; the redcon reader re-reads, recurses or doubles in these cases.
func TestDecoderMemoryFollowsBytesSent(t *testing.T) {
	for _, head := range []string{
		fmt.Sprintf("*%d\r\n$%d\r\n", ArgsMax, BulkBytesMax),
		fmt.Sprintf("*%d\r\n", ArgsMax),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ds := make([]decoder, 1000)
		for i := range ds {
			ds[i].feed(t, []byte(head))
		}
		runtime.ReadMemStats(&after)
		if per := (after.TotalAlloc - before.TotalAlloc) / 1000; per > 2*bulkBytesFirst {
			t.Errorf("%q costs %d bytes", head, per)
		}
	}
}

// Ten times the input must cost about ten times the allocation, in small pieces, too: no byte is looked at twice.
func TestDecoderIsLinear(t *testing.T) {
	tiny := func(n int) []byte {
		return append(fmt.Appendf(nil, "*%d\r\n", n), bytes.Repeat([]byte("$1\r\na\r\n"), n)...)
	}
	long := func(n int) []byte { return fmt.Appendf(nil, "*1\r\n$%d\r\n%s\r\n", n, make([]byte, n)) }
	for _, c := range []struct {
		name  string
		make  func(int) []byte
		n     int
		piece int
	}{
		{"many tiny arguments in MTU pieces", tiny, 20_000, 1400},
		{"long bulk in single bytes", long, 100_000, 1},
	} {
		small, large := stepsOf(t, c.make(c.n), c.piece), stepsOf(t, c.make(10*c.n), c.piece)
		if large > 12*small {
			t.Errorf("%s: %d steps for ten times as much as took %d", c.name, large, small)
		}
	}
}

// stepsOf counts the steps that the decoder takes over the pieces. A step looks at what it consumes, which is never
// shown again, and at no more; so steps are what could grow faster than the input.
func stepsOf(t *testing.T, in []byte, piece int) int {
	var d decoder
	steps := 0
	for p := range slices.Chunk(in, piece) {
		for len(p) > 0 && d.err == nil {
			rest, _ := d.advance(p)
			p = rest
			steps++
		}
	}
	if d.err != nil || d.step != stepStart {
		t.Fatalf("step %d, %v", d.step, d.err)
	}
	return steps
}

func TestDecoderGivesMemoryBack(t *testing.T) {
	var d decoder
	in := append(fmt.Appendf(nil, "*%d\r\n", 2*argsKeptMax), bytes.Repeat([]byte("$1\r\na\r\n"), 2*argsKeptMax)...)
	if args, _, err := d.next(in); err != nil || len(args) != 2*argsKeptMax {
		t.Fatalf("%d arguments, %v", len(args), err)
	}
	d.recycle()
	if cap(d.args) > argsKeptMax {
		t.Errorf("%d argument slots are kept", cap(d.args))
	}
	if args, _, err := d.next([]byte("A " + strings.Repeat("b", LineBytesMax-2) + "\n")); err != nil || len(args) != 2 {
		t.Fatalf("%d arguments, %v", len(args), err)
	}
	if cap(d.line) > ReadBufferBytesMin {
		t.Errorf("%d bytes of a line are kept", cap(d.line))
	}
}

func FuzzDecoderSplit(f *testing.F) {
	for _, s := range []string{
		"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "SET a \"b\\x41\"\r\n*1\r\n$4\r\nPING\r\n", "*1\r\n$9223372036854775807\r\n",
		"*1000000000\r\n", "*-1\r\n*0\r\n\r\nPING\n", "*1\r\nx\r\n", "'a\\''\r\n\"a\"b\r\n", "*3\r\n$1\r\na\r\n$0\r\n\r\n$2\r\n",
		"*1\r\n$1025\r\n" + strings.Repeat("x", 1025) + "\r\n", "POST / HTTP/1.1\r\nHost: x\r\n\r\n", "*1\r$1\ra",
	} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, in []byte, seed uint64) {
		if len(in) > 1<<16 {
			return
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		whole := decodeIn(in)
		var pieces [][]byte
		for rest := in; len(rest) > 0; {
			n := 1 + rng.IntN(min(len(rest), 1+rng.IntN(32)))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		if split := decodeIn(pieces...); split != whole {
			t.Errorf("whole %q\nsplit %q", whole, split)
		}
	})
}

func FuzzSplitLine(f *testing.F) {
	for _, s := range []string{`a "b" 'c'`, `"\x4"`, `"\`, `'\'`, "a\x00b", `""""`, "\v\fa\v"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		words, err := splitLine(line)
		total := 0
		for _, w := range words {
			total += len(w)
		}
		if err != nil && words != nil || total > len(line) {
			t.Errorf("%q, %v", words, err)
		}
	})
}

func TestParseInt(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "1": 1, "-1": -1, "9223372036854775807": 1<<63 - 1, "-9223372036854775808": -1 << 63,
	} {
		if got, ok := parseInt([]byte(in)); !ok || got != want {
			t.Errorf("%q: %d, %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "-", "+1", "01", "-0", " 1", "1 ", "1a", "9223372036854775808", "-9223372036854775809", "99999999999999999999", "1.0"} {
		if got, ok := parseInt([]byte(in)); ok {
			t.Errorf("%q: %d", in, got)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"a*c", "abbc", true}, {"a*c", "abb", false}, {"MAX*", "maxmemory", true}, {"?", "", false}, {"h[ae]llo", "hallo", true},
		{"h[^e]llo", "hello", false}, {"h[a-c]llo", "hbllo", true}, {"h[c-a]llo", "hbllo", true}, {`\*`, "*", true}, {`\*`, "a", false}, {"[", "a", false},
		{"a[b", "ab", true}, {"", "", true}, {"", "a", false}, {"a**b", "ab", true}, {`a\`, `a\`, true},
	} {
		if got := matchGlob([]byte(c.pattern), c.s); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.s, got)
		}
	}
	if matchGlob([]byte(strings.Repeat("*a", 1000)), strings.Repeat("a", 999)) {
		t.Error("a thousand stars matched")
	}
}

func TestHeaderIsNotKeptBeyondANumber(t *testing.T) {
	var d decoder
	d.feed(t, []byte("*"+strings.Repeat("1", LineBytesMax-1)))
	if len(d.line) > headerBytesMax+1 {
		t.Errorf("%d bytes are kept", len(d.line))
	}
}
