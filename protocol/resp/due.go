package resp

import (
	"context"
	"time"
)

// due is the context of one wave: its connection's, with a deadline that is told and not waited for. Done is closed with the server
// alone, so that a wave costs no timer: a store that waits has one of its own (protocol.Store).
type due struct {
	context.Context // the connection's
	until           time.Time
}

// Deadline is context.Context's.
func (d *due) Deadline() (time.Time, bool) { return d.until, true }
