package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/protocol"
)

// clearScreen moves a terminal's cursor home and clears what is below it.
const clearScreen = "\x1b[H\x1b[2J"

// watch shows the status again and again, until ctx ends. A question that fails is shown in its place, and asked again.
func (t *target) watch(ctx context.Context, p *process) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		var screen bytes.Buffer
		screen.WriteString(clearScreen)
		var s protocol.Status
		err := t.askObject(ctx, &s, "HOLDFAST", "STATUS")
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = writeStatus(&screen, s)
		}
		if err != nil {
			fmt.Fprintf(&screen, "%v\n", err)
		}
		if _, err := p.stdout.Write(screen.Bytes()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// transferLine shows what a node takes over, as a bar and in numbers.
func transferLine(name string, t protocol.Transfer) string {
	total := t.Done + t.Pending
	filled := barCells * t.Done / max(total, 1)
	left := "time left not known yet"
	if t.SecondsLeft >= 0 {
		left = readableDuration(time.Duration(t.SecondsLeft)*time.Second) + " left"
	}
	return fmt.Sprintf("%s takes over  [%s%s]  %d of %d partitions, %d rows, %s, %s/s, %s", name, strings.Repeat("#", filled),
		strings.Repeat(".", barCells-filled), t.Done, total, t.Rows, readableBytes(t.Bytes), readableBytes(t.BytesPerSecond), left)
}

// changeLines say how far a change of the ring is, and what it waits for.
func changeLines(c *protocol.RingChange) []string {
	if c == nil {
		return nil
	}
	lines := []string{fmt.Sprintf("the ring changes (layout %d): %d copies of partitions are still to be taken over", c.Layout, c.Copies)}
	for _, wait := range c.Waits {
		lines = append(lines, "waits for "+wait)
	}
	return lines
}
