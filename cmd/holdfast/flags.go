package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/peterbourgon/ff/v3"
)

// newFlags returns an empty set that reports errors instead of printing them.
func newFlags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// parse reads the flags from the arguments, then HOLDFAST_* variables, then the file that --config names, if the set has such
// a flag; the first that speaks of a flag decides. An empty variable counts as unset. Unknown variables are let be: an
// orchestrator invents some (a service called holdfast makes HOLDFAST_SERVICE_HOST). Positional arguments, as many as want
// names, may stand before, between or after the flags; fs.Arg does not show them, they are set into *want.
// Every error but errHelped is a refusal.
func (p *process) parse(fs *flag.FlagSet, args []string, want ...*string) error {
	positional, err := interleaved(fs, args)
	if errors.Is(err, flag.ErrHelp) {
		return errors.Join(errHelped, p.help([]string{fs.Name()}))
	}
	if err != nil {
		return refuse("%w; `holdfast %s --help` lists the flags", err, fs.Name())
	}
	if len(positional) > len(want) {
		return refuse("unexpected argument %q; see `holdfast %s --help`", positional[len(want)], fs.Name())
	}
	if len(positional) < len(want) {
		return refuse("an argument is missing; see `holdfast %s --help`", fs.Name())
	}
	for i, value := range positional {
		*want[i] = value
	}
	if err := ff.Parse(fs, nil, parseOptions(fs)...); err != nil {
		return refusal{err}
	}
	return nil
}

// interleaved parses flags wherever they stand among the positional arguments, which it returns.
func interleaved(fs *flag.FlagSet, args []string) (positional []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		if fs.NArg() == 0 {
			return positional, nil
		}
		positional, args = append(positional, fs.Arg(0)), fs.Args()[1:]
	}
}

func parseOptions(fs *flag.FlagSet) []ff.Option {
	options := []ff.Option{ff.WithEnvVarPrefix("HOLDFAST")}
	if config := fs.Lookup("config"); config != nil {
		options = append(options, ff.WithConfigFileFlag("config"), ff.WithConfigFileParser(configParser(config.Value)))
	}
	return options
}

// configParser returns a parser of `name value` lines. The value is all that follows the name, without the space around it; a
// flag that takes no value may stand alone. Empty lines and lines that begin with # do not count; a # further on belongs to
// the value. Errors name the file and the line, and so does a name that is given twice.
func configParser(path flag.Value) ff.ConfigFileParser {
	return func(r io.Reader, set func(name, value string) error) error {
		lines := bufio.NewScanner(io.LimitReader(r, ConfigFileBytes+1))
		lines.Buffer(nil, ConfigLineBytes)
		seen, read := map[string]bool{}, 0
		for number := 1; lines.Scan(); number++ {
			if read += len(lines.Bytes()) + 1; read > ConfigFileBytes {
				return fmt.Errorf("%s: longer than %d bytes", path, ConfigFileBytes)
			}
			if err := configLine(lines.Text(), seen, set); err != nil {
				return fmt.Errorf("%s:%d: %w", path, number, err)
			}
		}
		if err := lines.Err(); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	}
}

func configLine(line string, seen map[string]bool, set func(name, value string) error) error {
	line = strings.TrimSpace(line)
	if line == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	name, value := line, ""
	if cut := strings.IndexAny(line, " \t"); cut >= 0 {
		name, value = line[:cut], strings.TrimSpace(line[cut:])
	}
	name = strings.TrimPrefix(name, "--")
	if seen[name] {
		return fmt.Errorf("%s is given twice", name)
	}
	seen[name] = true
	if value == "" {
		value = "true"
	}
	return set(name, value)
}

// listFlag is a list separated by commas. Setting it again replaces the list.
type listFlag []string

// String returns the list as it is given.
func (l *listFlag) String() string { return strings.Join(*l, ",") }

// Set takes the list apart; empty items do not count.
func (l *listFlag) Set(text string) error {
	*l = nil
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			*l = append(*l, item)
		}
	}
	return nil
}

// hostName returns the machine's name, and "" where it has none.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
