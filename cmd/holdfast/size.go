package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// unit is a power of 1024 and its names; the first is printed.
type unit struct {
	bytes int64
	names []string
}

// units are the largest first.
func units() []unit {
	return []unit{
		{1 << 40, []string{"TiB", "T"}}, {1 << 30, []string{"GiB", "G"}}, {1 << 20, []string{"MiB", "M"}},
		{1 << 10, []string{"KiB", "K"}}, {1, []string{"B", ""}},
	}
}

// sizeFlag is a number of bytes, written 512MiB, 1.5GiB, 64M or 1048576. Units are powers of 1024; MB is refused, since some
// read it as a million.
type sizeFlag int64

// String returns the size in the largest unit that divides it.
func (s *sizeFlag) String() string {
	for _, u := range units() {
		if n := int64(*s); n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.names[0]
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Set reads a size.
func (s *sizeFlag) Set(text string) error {
	number := strings.TrimRight(text, "BKMGTi")
	for _, u := range units() {
		for _, name := range u.names {
			if text != number+name {
				continue
			}
			n, err := strconv.ParseFloat(number, 64)
			if bytes := n * float64(u.bytes); err == nil && bytes >= 0 && bytes < math.MaxInt64 {
				*s = sizeFlag(bytes)
				return nil
			}
		}
	}
	return fmt.Errorf("want a size like 512MiB or 2GiB")
}

// readableBytes returns a size for people: three digits or so, a unit.
func readableBytes(n int64) string {
	for _, u := range units() {
		switch {
		case n < u.bytes || u.bytes == 1:
			continue
		case n < 10*u.bytes:
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.bytes), u.names[0])
		default:
			return fmt.Sprintf("%d %s", n/u.bytes, u.names[0])
		}
	}
	return fmt.Sprintf("%d B", n)
}

// readableDuration returns a span for people: its two largest units.
func readableDuration(d time.Duration) string {
	d = d.Truncate(time.Second)
	days, hours, minutes, seconds := int(d/(24*time.Hour)), int(d/time.Hour)%24, int(d/time.Minute)%60, int(d/time.Second)%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd %dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh %dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm %ds", minutes, seconds)
	}
	return fmt.Sprintf("%ds", seconds)
}
