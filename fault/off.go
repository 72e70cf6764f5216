//go:build !faults

package fault

// Possible reports whether this build can have faults planted.
const Possible = false

// On reports whether the fault is planted: never, in this build.
func On(Point) bool { return false }

// Plant refuses: this build has no faults.
func Plant(Point) { panic("fault: built without the tag faults") }
