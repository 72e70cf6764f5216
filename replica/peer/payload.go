package peer

import (
	"encoding/binary"
	"time"

	"github.com/holdfastdb/holdfast/request"
)

// The answers of a batch, as messages, by pointer, which needs no memory of its own. None exceeds a frame: what does not fit is
// cut by request's encoders.
type (
	readAnswers  []*request.Read
	writeAnswers []*request.Write
	opAnswers    []*request.Op
)

func (a *readAnswers) appendPayload(dst []byte) []byte {
	return request.AppendReadAnswers(dst, *a, answerBytesMax)
}

func (a *writeAnswers) appendPayload(dst []byte) []byte {
	return request.AppendWriteAnswers(dst, *a, answerBytesMax)
}

func (a *opAnswers) appendPayload(dst []byte) []byte {
	return request.AppendOpAnswers(dst, *a, answerBytesMax)
}

// appendSpare appends how long before a frame's deadline nothing more is minted for it, in nanoseconds.
func appendSpare(dst []byte, d time.Duration) []byte { return binary.AppendUvarint(dst, uint64(d)) }

// cutSpare takes what appendSpare wrote off the front of a payload. More than any deadline is away is no such time.
func cutSpare(b []byte) (d time.Duration, rest []byte, err error) {
	v, n := binary.Uvarint(b)
	if n <= 0 || v > uint64(DeadlineMax) {
		return 0, nil, errProtocol
	}
	return time.Duration(v), b[n:], nil
}

// ping is the payload of a ping: the sender's clock, and its notice if it has one.
type ping struct {
	clock     time.Duration
	notice    request.Notice
	hasNotice bool
}

func (p *Peers) pingPayload(now time.Duration) ping {
	payload := ping{clock: now}
	if p.cfg.Notice != nil {
		payload.notice, payload.hasNotice = p.cfg.Notice()
	}
	return payload
}

func (p ping) appendPayload(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(p.clock))
	if p.hasNotice {
		dst = request.AppendNotice(dst, p.notice)
	}
	return dst
}

// parsePing returns the notice of a ping, if it has one.
func parsePing(b []byte) (n request.Notice, has bool, err error) {
	if len(b) < 8 {
		return n, false, errProtocol
	}
	if len(b) == 8 {
		return n, false, nil
	}
	n, rest, err := request.DecodeNotice(b[8:])
	if err != nil || len(rest) != 0 {
		return n, false, errProtocol
	}
	return n, true, nil
}
