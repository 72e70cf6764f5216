package resp

import (
	"errors"
	"fmt"
)

// step says what the decoder expects next.
type step uint8

const (
	stepStart    step = iota // first byte of a command
	stepCount                // the header "*3\r"
	stepCountEnd             // its "\n"
	stepSize                 // the header "$5\r"
	stepSizeEnd              // its "\n"
	stepBulk                 // the bytes of an argument
	stepBulkEnd              // its "\r\n"
	stepInline               // a line of text
)

// protocolError is what ends a connection: what was wrong with the client's bytes, in Redis's words.
type protocolError string

func (e protocolError) Error() string { return "Protocol error: " + string(e) }

// decoder cuts a stream of bytes into commands. It looks at every byte once, whatever pieces they come in, and its
// state after a prefix of the stream does not depend on the pieces. The zero value is ready.
//
// It accepts what Redis accepts: like Redis it does not look at the byte after a header's \r, nor at the two after
// an argument, and ignores *0, *-1 and empty lines.
type decoder struct {
	step      step
	line      []byte // the header or inline line so far; of a header no more than headerBytesMax+1 bytes
	lineBytes int    // bytes of the line so far, kept or not
	left      int    // arguments still to come
	size      int    // bytes of the argument in progress
	skip      int    // bytes to ignore in stepBulkEnd
	cost      int    // of the command in progress; see CommandBytesMax
	bulk      []byte // the argument in progress

	args  [][]byte // arguments of this batch's commands; those of the command in progress from first on
	first int
	arena []byte // memory for small arguments, never written twice
	err   error
}

// next decodes from in until a command is complete. It returns the command's arguments (at least one) and the bytes
// after it. args is nil when in is used up, or when err is set; err is a protocolError and final.
//
// The bytes of arguments are never written again: a store may keep them. The slice that holds them is valid until
// recycle.
func (d *decoder) next(in []byte) (args [][]byte, rest []byte, err error) {
	for len(in) > 0 && d.err == nil {
		var done bool
		in, done = d.advance(in)
		if done && len(d.args) > d.first {
			args = d.args[d.first:len(d.args):len(d.args)]
			d.first = len(d.args)
			return args, in, nil
		}
	}
	return nil, in, d.err
}

// recycle ends a batch: the slices that next returned are used again.
func (d *decoder) recycle() {
	partial := d.args[d.first:]
	if cap(d.args) > argsKeptMax && len(partial) < argsKeptMax/2 {
		d.args = append(make([][]byte, 0, len(partial)), partial...)
	} else {
		n := copy(d.args, partial)
		clear(d.args[n:])
		d.args = d.args[:n]
	}
	d.first = 0
}

// advance takes one step. It consumes at least one byte of in, which is not empty.
func (d *decoder) advance(in []byte) (rest []byte, done bool) {
	switch d.step {
	case stepStart:
		d.start(in[0])
		return in, false
	case stepCount, stepSize:
		return d.header(in), false
	case stepCountEnd:
		return in[1:], d.count()
	case stepSizeEnd:
		d.openBulk()
		return in[1:], false
	case stepBulk:
		return d.fillBulk(in), false
	case stepBulkEnd:
		return d.closeBulk(in)
	case stepInline:
		return d.inline(in)
	}
	panic("resp: decoder step out of range")
}

func (d *decoder) fail(format string, a ...any) {
	d.err = protocolError(fmt.Sprintf(format, a...))
}

// start chooses between the two forms of a command. The byte itself belongs to the line that follows.
func (d *decoder) start(b byte) {
	d.cost = 0
	d.open(stepInline)
	if b == '*' {
		d.step = stepCount
	}
}

// open begins a line.
func (d *decoder) open(s step) {
	d.step, d.line, d.lineBytes = s, d.line[:0], 0
}

// header collects up to the \r. A header that is too long to be a number is still read to its end, so that the error
// is the same whatever its pieces, but not kept.
func (d *decoder) header(in []byte) (rest []byte) {
	n := indexByte(in, '\r')
	ended := n >= 0
	if !ended {
		n = len(in)
	}
	if d.lineBytes+n > LineBytesMax {
		if d.step == stepCount {
			d.fail("too big mbulk count string")
		} else {
			d.fail("too big bulk count string")
		}
		return in
	}
	d.lineBytes += n
	d.line = append(d.line, in[:min(n, headerBytesMax+1-len(d.line))]...)
	if !ended {
		return nil
	}
	d.step++ // the step that ends this one
	return in[n+1:]
}

// count begins a multibulk of so many arguments; true when there are none.
func (d *decoder) count() (done bool) {
	n, ok := parseInt(d.line[1:])
	switch {
	case !ok || n > ArgsMax:
		d.fail("invalid multibulk length")
		return false
	case n <= 0:
		d.step = stepStart
		return true
	}
	d.left = int(n)
	d.open(stepSize)
	return false
}

// openBulk begins an argument.
func (d *decoder) openBulk() {
	if len(d.line) == 0 || d.line[0] != '$' {
		got := byte(' ') // Redis shows a line break as a blank
		if len(d.line) > 0 && d.line[0] != '\n' {
			got = d.line[0]
		}
		d.fail("expected '$', got '%s'", []byte{got})
		return
	}
	n, ok := parseInt(d.line[1:])
	if !ok || n < 0 || n > BulkBytesMax {
		d.fail("invalid bulk length")
		return
	}
	d.size = int(n)
	if d.charge(d.size) {
		d.bulk = d.memory(d.size)
		d.step = stepBulk
		d.endBulk()
	}
}

// charge counts an argument of so many bytes against the command's cap.
func (d *decoder) charge(size int) bool {
	d.cost += size + argBytesFixed
	if d.cost > CommandBytesMax {
		d.fail("command exceeds %d bytes", CommandBytesMax)
		return false
	}
	return true
}

// memory returns an empty slice for an argument of so many bytes: with room for all when it is small, else for a
// part, since the rest may never come.
func (d *decoder) memory(size int) []byte {
	if size > arenaArgBytesMax {
		return make([]byte, 0, min(size, bulkBytesFirst))
	}
	if cap(d.arena)-len(d.arena) < size {
		d.arena = make([]byte, 0, arenaBytes)
	}
	at := len(d.arena)
	d.arena = d.arena[:at+size]
	return d.arena[at : at : at+size]
}

// fillBulk takes what in has of the argument.
func (d *decoder) fillBulk(in []byte) (rest []byte) {
	n := min(len(in), d.size-len(d.bulk))
	if need := len(d.bulk) + n; need > cap(d.bulk) {
		grown := make([]byte, len(d.bulk), min(d.size, max(need, 2*cap(d.bulk))))
		copy(grown, d.bulk)
		d.bulk = grown
	}
	d.bulk = append(d.bulk, in[:n]...)
	d.endBulk()
	return in[n:]
}

func (d *decoder) endBulk() {
	if len(d.bulk) == d.size {
		d.step, d.skip = stepBulkEnd, 2
	}
}

// closeBulk skips the \r\n after the argument; true when it was the command's last.
func (d *decoder) closeBulk(in []byte) (rest []byte, done bool) {
	n := min(len(in), d.skip)
	d.skip -= n
	if d.skip > 0 {
		return in[n:], false
	}
	d.args = append(d.args, d.bulk)
	d.bulk = nil
	d.left--
	if d.left > 0 {
		d.open(stepSize)
		return in[n:], false
	}
	d.step = stepStart
	return in[n:], true
}

// inline collects a line up to its \n and splits it.
func (d *decoder) inline(in []byte) (rest []byte, done bool) {
	n := indexByte(in, '\n')
	ended := n >= 0
	if !ended {
		n = len(in)
	}
	if len(d.line)+n > LineBytesMax {
		d.fail("too big inline request")
		return in, false
	}
	d.line = append(d.line, in[:n]...)
	if !ended {
		return nil, false
	}
	d.split()
	d.step = stepStart
	return in[n+1:], d.err == nil
}

// split turns the finished line into arguments.
func (d *decoder) split() {
	line := d.line
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	args, err := splitLine(line)
	switch {
	case errors.Is(err, errUnbalanced):
		d.fail("%s", err)
	case len(args) > 0:
		d.args = append(d.args, args...)
	}
	if cap(d.line) > ReadBufferBytesMin {
		d.line = nil // a long line's memory is not kept
	}
}
