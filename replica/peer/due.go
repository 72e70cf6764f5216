package peer

import (
	"context"
	"time"
)

// due is the context of one frame: its session's, with a deadline that is told and not waited for. Done is closed with the
// session alone, so that a frame costs no timer: who does wait has one of its own, and who begins something looks at Deadline.
type due struct {
	context.Context // the session's
	until           time.Time
}

// Deadline is context.Context's.
func (d *due) Deadline() (time.Time, bool) { return d.until, true }
