package replica

import "github.com/cockroachdb/pebble/v2/vfs"

// FS is the file system that a store stands on: the real one, one in memory, or one that fails on demand.
type FS = vfs.FS
