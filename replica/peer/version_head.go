//go:build !previous

package peer

// VersionMax is the highest version that this package speaks.
const VersionMax = goodbyeSince
