// Command holdfast runs a node, or three of them for trying it out, and asks a running cluster how it is.
//
// It is the only place of the project that ends the process, reads the environment or handles signals. Exit codes: 0 done, 1
// failed, 2 refused before anything was touched (a bad flag, an unknown name, a taken port, a directory of another cluster or
// of a newer format).
package main

import (
	"context"
	"os"
)

func main() {
	p := &process{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), open: openNode}
	os.Exit(p.run(context.Background(), os.Args[1:]))
}
