//go:build linux

package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// Measures of the plot, in pixels.
const (
	plotWidth  = 800
	labelWidth = 370
	barHeight  = 16
	barStep    = 22
	plotMargin = 34
)

// writeSVG draws the CPU that a command costs, one bar for each row, with its ratio to the peer's.
func writeSVG(w io.Writer, rows []row) error {
	most := 0.0
	for _, r := range rows {
		most = max(most, micros(r.cpu))
	}
	height := 2*plotMargin + barStep*len(rows)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="8" y="20" font-size="14">CPU of the servers a command, microseconds (times the peer's)</text>`+"\n")
	for i, r := range rows {
		y := plotMargin + barStep*i
		length := 0.0
		if most > 0 {
			length = micros(r.cpu) / most * (plotWidth - labelWidth - 110)
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, labelWidth-6, y+12, escaped(r.load+": "+r.entrant))
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`, labelWidth, y, length, barHeight, shade(r))
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%.1f (%.2f)</text>`+"\n", labelWidth+length+6, y+12, micros(r.cpu), r.cpuCost)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// shade sets the peers' bars apart.
func shade(r row) string {
	if r.entrant == plainName || r.entrant == clusterName {
		return "#3b6ea5"
	}
	return "#b0b0b0"
}

func escaped(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a strings.Builder never fails
	return b.String()
}
