package request

import (
	"context"
	"time"
)

// Due is the context of one batch: that of the connection that brought it, with a deadline that is told and not waited for. Done is
// closed with the connection alone, so that a batch costs no timer: who does wait has one of its own, and who begins something looks
// at Deadline.
type Due struct {
	context.Context // the connection's
	Until           time.Time
}

// Deadline is context.Context's.
func (d *Due) Deadline() (time.Time, bool) { return d.Until, true }
