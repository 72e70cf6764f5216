package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/holdfastdb/holdfast/protocol"
)

func runRing(ctx context.Context, p *process, args []string) error {
	fs := newFlags("ring")
	t := targetFlags(fs)
	asJSON := fs.Bool("json", false, "")
	all := fs.Bool("all", false, "")
	if err := p.parse(fs, args); err != nil {
		return err
	}
	var r protocol.Ring
	if err := t.askObject(ctx, &r, "HOLDFAST", "RING"); err != nil {
		return err
	}
	if !*all {
		r.Nodes = slices.DeleteFunc(r.Nodes, bygone)
	}
	if *asJSON {
		if r.Nodes == nil {
			r.Nodes = []protocol.RingNode{} // programs loop over them
		}
		if r.Preference == nil {
			r.Preference = [][]string{}
		}
		return writeObject(p.stdout, r)
	}
	return writeRing(p.stdout, r)
}

// bygone reports whether a node was removed and has no copy any more that others are to take over: nothing waits for it. Its record is
// kept for ever, and in a cluster that lives long such records are more than its nodes.
func bygone(n protocol.RingNode) bool { return n.Status == "removed" && n.Primaries == 0 }

// writeRing prints one line a node, and how many copies of how many partitions there are.
func writeRing(w io.Writer, r protocol.Ring) error {
	rows := [][]string{{"NODE", "ZONE", "WEIGHT", "STATUS", "ALIVE", "PRIMARIES", "COORDINATES", "ID"}}
	for _, n := range r.Nodes {
		alive := "DEAD"
		switch {
		case n.Alive:
			alive = "yes"
		case n.Status == "removed":
			alive = "-"
		}
		rows = append(rows, []string{n.Name, cmp.Or(n.Zone, "-"), fmt.Sprint(n.Weight), n.Status, alive, fmt.Sprint(n.Primaries), fmt.Sprint(n.Coordinates), n.ID})
	}
	if err := writeTable(w, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", ringVerdict(r))
	return err
}

// ringVerdict says what the ring is, and which partitions have lost copies to dead nodes.
func ringVerdict(r protocol.Ring) string {
	text := fmt.Sprintf("%d partitions, %d copies of each, layout version %d", r.Partitions, r.N, r.Version)
	dead, members := map[string]bool{}, 0
	for _, n := range r.Nodes {
		if n.Status != "removed" {
			members++
			dead[n.Name] = !n.Alive
		}
	}
	if members < r.N {
		text = fmt.Sprintf("%d partitions, %d copies of each (the cluster has too few nodes for %d), layout version %d", r.Partitions, members, r.N, r.Version)
	}
	short := 0
	for _, names := range r.Preference {
		for _, name := range names {
			if dead[name] {
				short++
				break
			}
		}
	}
	if short > 0 {
		text += fmt.Sprintf("\n%d partitions have a copy on a dead node; the others serve, and keep what it misses", short)
	}
	return text
}
