//go:build linux

package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// print writes the tables in Markdown.
func (g *growth) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| axis\t| at\t| CPU a SET\t| CPU a GET\t| SET/s\t| GET/s\t| p50 of SET\t| p50 of GET\t|")
	fmt.Fprintln(t, "|---\t|---:\t|---:\t|---:\t|---:\t|---:\t|---:\t|---:\t|")
	for _, p := range g.points {
		if p.refused != "" {
			fmt.Fprintf(t, "| %s\t| %d\t| %s\t|\t|\t|\t|\t|\t|\n", p.axis, p.at, p.refused)
			continue
		}
		fmt.Fprintf(t, "| %s\t| %d\t| %.1f us\t| %.1f us\t| %.0f\t| %.0f\t| %v\t| %v\t|\n", p.axis, p.at, micros(p.set.cpu), micros(p.get.cpu), p.set.perSecond, p.get.perSecond, p.set.p50, p.get.p50)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(t, "\n| memory with %d keys of %d bytes\t| at most\t| settled\t|\n|---\t|---:\t|---:\t|\n", memoryKeys, valueBytes)
	for _, f := range g.sizes {
		fmt.Fprintf(t, "| %s\t| %.1f MB\t| %.1f MB\t|\n", f.name, float64(f.most)/1e6, float64(f.resident)/1e6)
	}
	fmt.Fprint(t, "\n| start of a node\t| keys\t| until it reads and writes\t|\n|---\t|---:\t|---:\t|\n")
	for _, s := range g.starts {
		fmt.Fprintf(t, "| after %s\t| %d\t| %v\t|\n", s.how, s.keys, s.took.Round(10*time.Millisecond))
	}
	return t.Flush()
}

func writeGrowthCSV(w io.Writer, points []point) error {
	points = measured(points)
	out := csv.NewWriter(w)
	out.Write([]string{"axis", "at", "command", "commands_per_second", "cpu_us_per_command", "p50_us", "p99_us"})
	for _, p := range points {
		for i, s := range []sample{p.set, p.get} {
			command := []string{"set", "get"}[i]
			out.Write([]string{p.axis, strconv.Itoa(p.at), command, decimal(s.perSecond), decimal(micros(s.cpu)), decimal(micros(s.p50)), decimal(micros(s.p99))})
		}
	}
	out.Flush()
	return out.Error()
}

// measured leaves out points without figures.
func measured(points []point) []point {
	return slices.DeleteFunc(slices.Clone(points), func(p point) bool { return p.refused != "" })
}

// Measures of a panel of the plot, in pixels.
const (
	panelWidth  = 340
	panelHeight = 220
	panelEdge   = 50
)

// writeGrowthSVG draws a panel for each axis: CPU of a command over the axis, both logarithmic.
func writeGrowthSVG(w io.Writer, points []point) error {
	points = measured(points)
	var axes []string
	for _, p := range points {
		if !slices.Contains(axes, p.axis) {
			axes = append(axes, p.axis)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", panelWidth*len(axes), panelHeight)
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	for i, axis := range axes {
		mine := slices.DeleteFunc(slices.Clone(points), func(p point) bool { return p.axis != axis })
		drawPanel(&b, i*panelWidth, mine)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// drawPanel draws one axis. Its heights go from 1 us to the next power of ten above the highest.
func drawPanel(b *strings.Builder, left int, points []point) {
	first, last, most := points[0], points[len(points)-1], 10.0
	for _, p := range points {
		most = max(most, micros(p.set.cpu), micros(p.get.cpu))
	}
	top := math.Ceil(math.Log10(most))
	x := func(at int) float64 {
		share := math.Log(float64(at)/float64(first.at)) / max(math.Log(float64(last.at)/float64(first.at)), 1e-9)
		return float64(left+panelEdge) + share*(panelWidth-2*panelEdge)
	}
	y := func(d time.Duration) float64 {
		return panelHeight - panelEdge - math.Log10(max(micros(d), 1))/top*(panelHeight-2*panelEdge)
	}
	fmt.Fprintf(b, `<text x="%d" y="20" font-size="14">us of CPU a command, by %s</text>`, left+8, escaped(first.axis))
	for power := 0.0; power <= top; power++ {
		d := time.Duration(math.Pow(10, power)) * time.Microsecond
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.0f" y2="%.0f" stroke="#dddddd"/><text x="%d" y="%.0f" text-anchor="end">%.0f</text>`,
			left+panelEdge, left+panelWidth-panelEdge, y(d), y(d), left+panelEdge-4, y(d)+4, micros(d))
	}
	for _, line := range []struct {
		name, color string
		of          func(point) time.Duration
	}{{"SET", "#b5543a", func(p point) time.Duration { return p.set.cpu }}, {"GET", "#3b6ea5", func(p point) time.Duration { return p.get.cpu }}} {
		var path []string
		for _, p := range points {
			path = append(path, fmt.Sprintf("%.1f,%.1f", x(p.at), y(line.of(p))))
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, x(p.at), y(line.of(p)), line.color)
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s"/>`, strings.Join(path, " "), line.color)
		fmt.Fprintf(b, `<text x="%d" y="%.1f" fill="%s">%s</text>`, left+panelWidth-panelEdge+6, y(line.of(last))+4, line.color, line.name)
	}
	for _, p := range points {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`, x(p.at), panelHeight-panelEdge+18, p.at)
	}
	b.WriteString("\n")
}
