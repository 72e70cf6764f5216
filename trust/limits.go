package trust

import "time"

// Caps of the files, and how often they are looked at.
const (
	KeysMax      = 16                 // keys in one file; a rotation needs two
	FileBytesMax = 1 << 20            // of any file
	LookEvery    = time.Second        // between two looks at the files
	tellEvery    = time.Minute        // between two lines about a file that cannot be used
	warnBefore   = 7 * 24 * time.Hour // a certificate that ends sooner is warned of
	warnEvery    = 24 * time.Hour     // again
)
