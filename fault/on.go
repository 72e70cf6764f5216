//go:build faults

package fault

import "sync/atomic"

// Possible reports whether this build can have faults planted.
const Possible = true

var planted atomic.Uint32

// On reports whether the fault is planted.
func On(p Point) bool { return planted.Load() == uint32(p) }

// Plant plants one fault in place of the last; None plants none.
func Plant(p Point) { planted.Store(uint32(p)) }
