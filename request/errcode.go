package request

import "errors"

// errorCodes gives each sentinel its code on the wire. Codes are for ever: a new error takes the next free number, and a
// node that does not know it reads ErrInternal, which promises nothing. An error that wraps another stands before it.
var errorCodes = [...]struct {
	code uint8
	err  error
}{
	{1, ErrNoQuorum},
	{2, ErrMaybe},
	{3, ErrOverloaded},
	{4, ErrTooManySiblings},
	{5, ErrTooBig},
	{6, ErrNotInteger},
	{7, ErrOverflow},
	{8, ErrDiskLow},
	{9, ErrHintsFull},
	{10, ErrNotOwner},
	{11, ErrExpired},
	{12, ErrUnreachable},
	{13, ErrLost},
	{14, ErrCorrupt},
	{15, ErrClosed},
	{16, ErrStaleLayout},
	{codeInternal, ErrInternal},
}

// The byte that begins an encoded error: its code, and what follows.
const (
	codeInternal   = 63
	codeMask       = 0x3f
	codeHasNumbers = 0x40 // op, need and have of a QuorumError
	codeHasText    = 0x80 // text that differs from the sentinel's own
)

// remoteError is an error that another node answered: its text, and the sentinel that it is.
type remoteError struct {
	text  string
	cause error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.cause }

// AppendError appends err, which may be nil, to dst. What errors.Is finds of this package's sentinels survives the way,
// and so do a QuorumError's numbers and the first ErrorTextMax bytes of the text; any other error becomes ErrInternal.
func AppendError(dst []byte, err error) []byte {
	if err == nil {
		return append(dst, 0)
	}
	code, sentinel := codeOf(err)
	if q, ok := errors.AsType[*QuorumError](err); ok && (sentinel == ErrNoQuorum || sentinel == ErrMaybe) {
		return appendQuorum(append(dst, code|codeHasNumbers), q)
	}
	text := clip(err.Error())
	if text == "" || text == sentinel.Error() {
		return append(dst, code)
	}
	return appendText(append(dst, code|codeHasText), text)
}

// codeOf returns the code of an error that is not nil, and the sentinel that stands for it at the other end.
func codeOf(err error) (uint8, error) {
	for _, e := range errorCodes {
		if errors.Is(err, e.err) {
			return e.code, e.err
		}
	}
	return codeInternal, ErrInternal
}

func sentinelOf(code uint8) error {
	for _, e := range errorCodes {
		if e.code == code {
			return e.err
		}
	}
	return ErrInternal
}

func clip(text string) string { return text[:min(len(text), ErrorTextMax)] }

func appendText(dst []byte, text string) []byte {
	return append(append(dst, uint8(len(text))), text...)
}

func appendQuorum(dst []byte, q *QuorumError) []byte {
	dst = appendText(dst, clip(q.Op))
	return append(dst, clampByte(q.Need), clampByte(q.Have))
}

func clampByte(n int) uint8 { return uint8(min(max(n, 0), 255)) }

// DecodeError reads what AppendError wrote from the front of b. A code that this version does not know is ErrInternal.
// Malformed bytes give failure ErrMalformed. The decoded error does not alias b.
func DecodeError(b []byte) (decoded error, rest []byte, failure error) {
	d := decoder{b: b}
	decoded = d.error()
	if d.bad {
		return nil, nil, ErrMalformed
	}
	return decoded, d.b, nil
}

func (d *decoder) error() error {
	head := d.byte()
	sentinel := sentinelOf(head & codeMask)
	switch head &^ codeMask {
	case 0:
		if head == 0 {
			return nil
		}
		return sentinel
	case codeHasNumbers:
		return d.quorum(sentinel)
	case codeHasText:
		return d.detail(head&codeMask, sentinel)
	}
	d.fail()
	return nil
}

func (d *decoder) quorum(sentinel error) error {
	if sentinel != ErrNoQuorum && sentinel != ErrMaybe {
		d.fail()
	}
	op := d.text()
	return &QuorumError{Op: op, Need: int(d.byte()), Have: int(d.byte()), Cause: sentinel}
}

func (d *decoder) detail(code uint8, sentinel error) error {
	text := d.text()
	if code == 0 || text == "" || text == sentinel.Error() {
		d.fail() // each error has one encoding
	}
	return &remoteError{text: text, cause: sentinel}
}

func (d *decoder) text() string {
	n := int(d.byte())
	if n > ErrorTextMax {
		d.fail()
	}
	return string(d.take(n))
}
