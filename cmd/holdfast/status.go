package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/holdfastdb/holdfast/protocol"
)

func runStatus(ctx context.Context, p *process, args []string) error {
	fs := newFlags("status")
	t := targetFlags(fs)
	asJSON := fs.Bool("json", false, "")
	watching := fs.Bool("watch", false, "")
	if err := p.parse(fs, args); err != nil {
		return err
	}
	if *watching && *asJSON {
		return refuse("--watch and --json: want one of them")
	}
	if *watching {
		return t.watch(ctx, p)
	}
	var s protocol.Status
	if err := t.askObject(ctx, &s, "HOLDFAST", "STATUS"); err != nil {
		return err
	}
	if *asJSON {
		if s.Nodes == nil {
			s.Nodes = []protocol.NodeStatus{} // programs loop over it
		}
		return writeObject(p.stdout, s)
	}
	return writeStatus(p.stdout, s)
}

// writeStatus prints one line a node, and what is wrong in words.
func writeStatus(w io.Writer, s protocol.Status) error {
	rows := [][]string{{"NODE", "STATUS", "ALIVE", "KEYS", "BYTES", "HINTS", "SIBLINGS", "UPTIME", "VERSION"}}
	for _, n := range s.Nodes {
		row := []string{n.Name, n.Status, "DEAD", "-", "-", "-", "-", "-", cmp.Or(n.Version, "-")}
		if n.Alive {
			row = []string{n.Name, n.Status, "yes", fmt.Sprint(n.Keys), readableBytes(n.Bytes), fmt.Sprint(n.Hints),
				fmt.Sprint(n.Siblings), readableDuration(time.Duration(n.UptimeSeconds) * time.Second), cmp.Or(n.Version, "-")}
		} else if n.Status == "removed" {
			row[2] = "-"
		}
		rows = append(rows, row)
	}
	if err := writeTable(w, rows); err != nil {
		return err
	}
	for _, n := range s.Nodes {
		if n.Transfer != nil {
			fmt.Fprintf(w, "\n%s\n", transferLine(n.Name, *n.Transfer))
		}
	}
	_, err := fmt.Fprintf(w, "\n%s\n", verdict(s))
	return err
}

// verdict says in words how the cluster is, and what to do where something is wrong.
func verdict(s protocol.Status) string {
	var dead, moving []string
	var members, proxies int
	var hints, siblings int64
	for _, n := range s.Nodes {
		hints, siblings = hints+n.Hints, siblings+n.Siblings
		switch n.Status {
		case "removed":
			continue
		case "proxy": // those that are gone are not even named
			proxies++
			continue
		}
		members++
		if !n.Alive {
			dead = append(dead, n.Name)
		} else if n.Status != "active" {
			moving = append(moving, n.Name+" is "+n.Status+staying(n))
		}
	}
	lines := []string{aliveLine(members, dead)}
	if proxies > 0 {
		lines[0] += fmt.Sprintf(", and %d without data (proxy)", proxies)
	}
	if len(moving) > 0 {
		lines = append(lines, strings.Join(moving, ", "))
	}
	lines = append(lines, changeLines(s.Change)...)
	if hints > 0 {
		lines = append(lines, fmt.Sprintf("%d hints wait for delivery: they go out by themselves once their nodes are back", hints))
	}
	lines = append(lines, unreadableLines(s.Nodes)...)
	if siblings > 0 {
		lines = append(lines, fmt.Sprintf("%d siblings: concurrent values that GETV shows and PUTCTX merges", siblings))
	}
	return strings.Join(lines, "\n")
}

// unreadableLines names the nodes whose disk is damaged where they keep hints.
func unreadableLines(nodes []protocol.NodeStatus) (lines []string) {
	for _, n := range nodes {
		if n.UnreadableHints > 0 {
			lines = append(lines, fmt.Sprintf("%s keeps hints that it cannot read (%d): repair, then replace its disk; its log names them", n.Name, n.UnreadableHints))
		}
	}
	return lines
}

// staying says what keeps a node that leaves once it has handed everything on: it serves its clients until they go elsewhere.
func staying(n protocol.NodeStatus) string {
	switch {
	case n.Status != "leaving" || n.Keys+n.Hints > 0 || n.Connections == 0:
		return ""
	case n.Connections == 1:
		return ", and serves the client that is still connected to it"
	}
	return fmt.Sprintf(", and serves the %d clients that are still connected to it", n.Connections)
}

func aliveLine(members int, dead []string) string {
	if len(dead) == 0 {
		return fmt.Sprintf("all %d nodes alive", members)
	}
	what := "Start it again"
	if len(dead) > 1 {
		what = "Start them again"
	}
	return fmt.Sprintf("%d of %d nodes dead: %s. %s: what was missed meanwhile is kept",
		len(dead), members, strings.Join(dead, ", "), what)
}

// writeTable aligns the columns, without blanks at the lines' ends.
func writeTable(w io.Writer, rows [][]string) error {
	var aligned bytes.Buffer
	table := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(aligned.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}
