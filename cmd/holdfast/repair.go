package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/holdfastdb/holdfast/protocol"
)

func runRepair(ctx context.Context, p *process, args []string) error {
	fs := newFlags("repair")
	t := targetFlags(fs)
	partition := fs.Int("partition", -1, "")
	scan := fs.Bool("scan", false, "")
	asJSON := fs.Bool("json", false, "")
	if err := p.parse(fs, args); err != nil {
		return err
	}
	words := []string{"HOLDFAST", "REPAIR"}
	if *partition >= 0 {
		words = append(words, "PARTITION", fmt.Sprint(*partition))
	}
	if *scan {
		words = append(words, "SCAN")
	}
	var r protocol.Repair
	if err := t.askObjectWithin(ctx, repairTimeout, &r, words...); err != nil {
		return err
	}
	write := writeRepair
	if *asJSON {
		write = func(w io.Writer, r protocol.Repair) error { return writeObject(w, r) }
	}
	if err := write(p.stdout, r); err != nil {
		return err
	}
	return unrepaired(r)
}

// writeRepair prints one line for each partition where something was found, and the sum.
func writeRepair(w io.Writer, r protocol.Repair) error {
	rows := [][]string{{"PARTITION", "ROWS", "BYTES", "DAMAGED", "CONFLICTS", "UNFINISHED"}}
	taken := 0
	for _, x := range r.Partitions {
		unfinished := "-"
		if len(x.Unfinished) > 0 {
			unfinished = strings.Join(x.Unfinished, "; ")
		}
		rows = append(rows, []string{fmt.Sprint(x.Partition), fmt.Sprint(x.Rows), readableBytes(x.Bytes), fmt.Sprint(x.Damaged), fmt.Sprint(x.Conflicts), unfinished})
		taken += x.Rows
	}
	if len(r.Partitions) > 0 {
		if err := writeTable(w, rows); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	_, err := fmt.Fprintf(w, "%d partitions compared, %d rows taken, %s exchanged\n", r.Compared, taken, readableBytes(r.Bytes))
	return err
}

// unrepaired returns what is left to do as an error.
func unrepaired(r protocol.Repair) error {
	unfinished, conflicts := 0, 0
	for _, x := range r.Partitions {
		conflicts += x.Conflicts
		if len(x.Unfinished) > 0 {
			unfinished++
		}
	}
	switch {
	case unfinished > 0:
		return fmt.Errorf("%d partitions have copies that were not compared with all others", unfinished)
	case conflicts > 0:
		return fmt.Errorf("%d rows have one write with different bytes; the nodes' logs name the keys", conflicts)
	}
	return nil
}
