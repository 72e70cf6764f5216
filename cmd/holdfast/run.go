package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"

	"github.com/holdfastdb/holdfast/node"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitRefused = 2 // nothing was touched
)

// process is what the operating system gives to one run of the program, so that tests can give it something else.
type process struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string // of dev's children; flags read their variables from the process's own environment
	open           opener
}

// command is one subcommand.
type command struct {
	name string
	run  func(ctx context.Context, p *process, args []string) error
}

func commands() []command {
	return []command{
		{"dev", runDev}, {"server", runServer}, {"status", runStatus}, {"ring", runRing},
		{"repair", runRepair}, {"leave", runLeave}, {"remove", runRemove}, {"ready", runReady}, {"version", runVersion},
	}
}

// refusal is an error that was found before anything was touched. Exit code 2.
type refusal struct{ err error }

func (r refusal) Error() string { return r.err.Error() }
func (r refusal) Unwrap() error { return r.err }

func refuse(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

// errHelped ends a command whose help was asked for and has been printed.
var errHelped = errors.New("help was printed")

// run runs one subcommand to its end and returns the exit code. A failure is one line on stderr.
func (p *process) run(ctx context.Context, args []string) int {
	name := "help"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	err := p.dispatch(ctx, name, args)
	switch {
	case err == nil, errors.Is(err, errHelped):
		return exitDone
	case errors.As(err, new(refusal)):
		fmt.Fprintf(p.stderr, "holdfast %s: %v\n", name, err)
		return exitRefused
	}
	fmt.Fprintf(p.stderr, "holdfast %s: %v\n", name, err)
	return exitFailed
}

func (p *process) dispatch(ctx context.Context, name string, args []string) error {
	switch name {
	case "help", "-h", "-help", "--help":
		return p.help(args)
	case "-v", "-version", "--version":
		name = "version"
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		return refuse("no such command; `holdfast help` lists them")
	}
	return all[i].run(ctx, p, args)
}

// help prints the help of one command, or of all.
func (p *process) help(args []string) error {
	if len(args) == 0 {
		_, err := io.WriteString(p.stdout, helpTexts()[""])
		return err
	}
	text, ok := helpTexts()[args[0]]
	if !ok {
		return refuse("no such command: %s; `holdfast help` lists them", args[0])
	}
	_, err := io.WriteString(p.stdout, text)
	return err
}

func runVersion(_ context.Context, p *process, args []string) error {
	if err := p.parse(newFlags("version"), args); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.stdout, versionLine(debug.ReadBuildInfo()))
	return err
}

// versionLine says which version this is, from which commit, as far as the go tool stamped it, and by which Go.
func versionLine(info *debug.BuildInfo, ok bool) string {
	line := "holdfast " + node.Version()
	if !ok {
		return line
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			line += " commit " + s.Value
		}
	}
	return line + " " + info.GoVersion
}
