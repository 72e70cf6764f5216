package peer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
)

// handshake makes the TLS handshake of a connection that is under TLS, before the deadline that is set on it. Who is not let in
// is an ErrRefused; a connection that merely failed is not.
func handshake(conn net.Conn) error {
	secured, ok := conn.(interface{ Handshake() error })
	if !ok {
		return nil
	}
	err := secured.Handshake()
	var network net.Error
	var plain tls.RecordHeaderError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &plain) && plain.Conn != nil: // nothing but the first bytes was taken, and nothing sent
		return refuse(plain.Conn, refusedPlain)
	case errors.As(err, &plain):
		return refusedPlain
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe), errors.As(err, &network) && !alerted(err):
		return err // it broke
	}
	return fmt.Errorf("%w: %w", refusedCertificate, err)
}

// alerted reports whether an error is what the other side said over TLS when it turned us away.
func alerted(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// refusedBy makes a refusal of an error by which the other side turned us away over TLS. It may come only with the first
// read: the side that dials has done its part of the handshake before the other has seen its certificate.
func refusedBy(err error) error {
	if alerted(err) {
		return fmt.Errorf("%w: %w", refusedCertificate, err)
	}
	return err
}

// refusePlain turns away a dialer that speaks TLS to a node that does not. Its first message is read first: a connection that is
// closed over unread bytes may take the answer with it.
func refusePlain(conn net.Conn) error {
	_, _ = conn.Read(make([]byte, HelloBytesMax))
	return refuse(conn, refusedPlain)
}

// isTLS reports whether bytes that should begin a frame begin a TLS record, a handshake's or an alert's. No frame does: its length
// would be above the cap of a hello.
func isTLS(head []byte) bool {
	const alert, handshake, major = 21, 22, 3
	return (head[0] == alert || head[0] == handshake) && head[1] == major
}
