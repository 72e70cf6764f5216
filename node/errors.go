package node

import (
	"errors"
	"fmt"

	"github.com/holdfastdb/holdfast/replica"
)

// PortError says that a listener's address is not to be had. Nothing was touched.
type PortError struct {
	Flag, Addr string // the flag's name, without dashes, and its address
	Err        error
}

// Error implements error.
func (e *PortError) Error() string { return fmt.Sprintf("--%s %s: %v", e.Flag, e.Addr, e.Err) }

// Unwrap returns the cause.
func (e *PortError) Unwrap() error { return e.Err }

// DirError says that the data directory cannot be used as asked. Nothing in it was touched.
type DirError struct {
	Dir, Problem string // what is wrong, and what to do
	Err          error
}

// Error implements error.
func (e *DirError) Error() string { return fmt.Sprintf("--dir %s: %s", e.Dir, e.Problem) }

// Unwrap returns the cause.
func (e *DirError) Unwrap() error { return e.Err }

// dirError explains what the store found, or returns err as it is.
func dirError(dir string, err error) error {
	for known, problem := range map[error]string{
		replica.ErrInUse:       "another process has it open; stop that one, or give this node a directory of its own",
		replica.ErrNewerFormat: "it was written by a newer version; run that version, or start with an empty directory",
		replica.ErrNotData:     "it holds something that is not this program's data; give an empty or a new directory",
		replica.ErrPartitions:  "it was written with another number of partitions",
	} {
		if errors.Is(err, known) {
			return &DirError{Dir: dir, Problem: problem, Err: err}
		}
	}
	return fmt.Errorf("node: open %s: %w", dir, err)
}
