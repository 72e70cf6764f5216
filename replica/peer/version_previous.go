//go:build previous

package peer

// VersionMax is one less than it would be: a build with the tag previous speaks as nodes do that are not upgraded yet, to
// test that both get along.
const VersionMax = VersionMin
