//go:build linux

package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// row is one cell as it is shown: medians, and ratios to the peer's under the same load.
type row struct {
	entrant, load       string
	perSecond           float64
	cpu, p50, p99       time.Duration
	throughput, cpuCost float64 // ratios; 1 for the peer itself
}

// rowsOf sums cells up. peer names the entrant that ratios are taken against.
func rowsOf(cells []cell, peer string) []row {
	var rows []row
	for _, c := range cells {
		r := summary(c)
		at := slices.IndexFunc(cells, func(o cell) bool { return o.entrant == peer && o.load == c.load })
		if at >= 0 {
			p := summary(cells[at])
			r.throughput, r.cpuCost = r.perSecond/p.perSecond, float64(r.cpu)/float64(p.cpu)
		}
		rows = append(rows, r)
	}
	return rows
}

func summary(c cell) row {
	return row{
		entrant: c.entrant, load: c.load.String(),
		perSecond: median(c.rounds, func(s sample) float64 { return s.perSecond }),
		cpu:       median(c.rounds, func(s sample) time.Duration { return s.cpu }),
		p50:       median(c.rounds, func(s sample) time.Duration { return s.p50 }),
		p99:       median(c.rounds, func(s sample) time.Duration { return s.p99 }),
	}
}

// print writes the tables in Markdown, which people can read as it is.
func print(w io.Writer, rows []row, tails []tail) error {
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| load\t| system\t| commands/s\t| of peer's\t| CPU a command\t| of peer's\t| p50\t| p99\t|")
	fmt.Fprintln(t, "|---\t|---\t|---:\t|---:\t|---:\t|---:\t|---:\t|---:\t|")
	for _, r := range rows {
		fmt.Fprintf(t, "| %s\t| %s\t| %.0f\t| %.2f\t| %.1f us\t| %.2f\t| %v\t| %v\t|\n", r.load, r.entrant, r.perSecond, r.throughput, micros(r.cpu), r.cpuCost, r.p50, r.p99)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(t, "\n| open loop, SET and GET\t| system\t| answered\t| failed\t| p50\t| p99\t| p99.9\t| most\t|")
	fmt.Fprintln(t, "|---\t|---\t|---:\t|---:\t|---:\t|---:\t|---:\t|---:\t|")
	for _, l := range tails {
		at := func(p float64) time.Duration { return percentile(l.result.sorted, p).Round(10 * time.Microsecond) }
		fmt.Fprintf(t, "| %s\t| %s\t| %d\t| %d\t| %v\t| %v\t| %v\t| %v\t|\n", l.load, l.entrant, len(l.result.sorted), l.result.failed, at(0.5), at(0.99), at(0.999), at(1))
	}
	return t.Flush()
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// writeCSV writes every round of every cell, for other tools.
func writeCSV(w io.Writer, cells []cell) error {
	out := csv.NewWriter(w)
	out.Write([]string{"system", "command", "pipeline", "round", "commands_per_second", "cpu_us_per_command", "p50_us", "p99_us"})
	for _, c := range cells {
		for i, s := range c.rounds {
			out.Write([]string{c.entrant, c.load.command, strconv.Itoa(c.load.depth), strconv.Itoa(i + 1), decimal(s.perSecond),
				decimal(micros(s.cpu)), decimal(micros(s.p50)), decimal(micros(s.p99))})
		}
	}
	out.Flush()
	return out.Error()
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }
