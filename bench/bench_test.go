//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseStat(t *testing.T) {
	tail := " S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 4 0"
	for name, c := range map[string]struct {
		stat string
		want time.Duration
		bad  bool
	}{
		"user and system time add up":           {stat: "7 (holdfast)" + tail, want: 2 * time.Second},
		"a name may look like the end of one":   {stat: "7 (a) S 9 (b) c)" + tail, want: 2 * time.Second},
		"a short line is an error":              {stat: "7 (holdfast) S 1 2", bad: true},
		"a line without a name is an error":     {stat: "7 8 9", bad: true},
		"times that are no numbers are errors":  {stat: "7 (x) S 1 2 3 4 5 6 7 8 9 10 a b 0", bad: true},
		"an empty line is an error, not a zero": {bad: true},
	} {
		if got, err := parseStat(c.stat); (err != nil) != c.bad || err == nil && got != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestParseBenchmark(t *testing.T) {
	got, err := parseBenchmark("\"test\",\"rps\"\n\"SET\",\"20202.02\",\"2.422\",\"0.040\",\"2.055\",\"4.911\",\"11.023\",\"29.567\"\n")
	want := sample{perSecond: 20202.02, p50: 2055 * time.Microsecond, p99: 11023 * time.Microsecond}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "ERROR: no connection", `"SET","x","1","1","1","1","1","1"`} {
		if _, err := parseBenchmark(bad); err == nil {
			t.Errorf("%q is taken for a result", bad)
		}
	}
}

func TestPercentile(t *testing.T) {
	sorted := make([]time.Duration, 1000)
	for i := range sorted {
		sorted[i] = time.Duration(i + 1)
	}
	for p, want := range map[float64]time.Duration{0: 1, 0.5: 500, 0.99: 990, 0.999: 999, 0.9991: 1000, 1: 1000} {
		if got := percentile(sorted, p); got != want {
			t.Errorf("percentile %v is %d, want %d", p, got, want)
		}
	}
	if percentile(nil, 0.5) != 0 {
		t.Error("no samples have a percentile")
	}
}

// serve answers commands of two or more bulks, one reply each, and does nothing at all from stall to stall+pause.
func serve(conn net.Conn, stall time.Time, pause time.Duration, reply string) {
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		for range int(line[1]-'0') * 2 {
			if _, err := in.ReadString('\n'); err != nil {
				return
			}
		}
		if now := time.Now(); now.After(stall) && now.Before(stall.Add(pause)) {
			time.Sleep(time.Until(stall.Add(pause)))
		}
		if _, err := io.WriteString(conn, reply); err != nil {
			return
		}
	}
}

// A server that stalls for a second is charged for all commands that were due in it, though its clients, which wait for
// it, could send hardly any.
func TestOpenLoopCountsCoordinatedOmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stall := time.Now().Add(4 * time.Second)
		s := schedule{connections: 4, perSecond: 1000, duration: 10 * time.Second, dial: func(int) (net.Conn, error) {
			here, there := net.Pipe()
			go serve(there, stall, time.Second, "+OK\r\n")
			return here, nil
		}}
		r, err := s.run(t.Context())
		if err != nil || r.failed != 0 || len(r.sorted) != 10_000 {
			t.Fatalf("%d answered, %d failed (%v), %v", len(r.sorted), r.failed, r.first, err)
		}
		late := 0
		for _, l := range r.sorted {
			if l > 100*time.Millisecond {
				late++
			}
		}
		if late < 890 || late > 910 { // of the 1000 due in the stall, all but those of its last 100 ms
			t.Errorf("%d commands waited for more than 100 ms, want 900", late)
		}
		if p := percentile(r.sorted, 0.95); p < 450*time.Millisecond || p > 550*time.Millisecond {
			t.Errorf("p95 is %v, want the middle of the stall", p)
		}
	})
}

// What is refused, and what a broken connection can no longer send, is failed, not forgotten.
func TestOpenLoopCountsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := schedule{connections: 2, perSecond: 100, duration: 2 * time.Second, dial: func(i int) (net.Conn, error) {
			here, there := net.Pipe()
			go serve(there, time.Now(), 0, "-NOQUORUM no\r\n")
			if i == 1 {
				go func() { time.Sleep(time.Second); there.Close() }()
			}
			return here, nil
		}}
		r, err := s.run(t.Context())
		if err != nil || r.failed != 200 || len(r.sorted) != 0 || r.first == nil {
			t.Errorf("%d failed, %d answered, first %v, %v", r.failed, len(r.sorted), r.first, err)
		}
	})
}

func TestOpenLoopEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s := schedule{connections: 1, perSecond: 10, duration: time.Hour, dial: func(int) (net.Conn, error) {
			here, there := net.Pipe()
			go serve(there, time.Now(), 0, "$2\r\nno\r\n")
			return here, nil
		}}
		if r, err := s.run(ctx); !errors.Is(err, context.DeadlineExceeded) || len(r.sorted) > 20 {
			t.Errorf("%d answered, %v", len(r.sorted), err)
		}
	})
}

func TestRowsAreMediansAndRatios(t *testing.T) {
	one, two := load{"set", 1}, load{"set", 16}
	of := func(perSecond float64, cpu time.Duration) sample {
		return sample{perSecond: perSecond, cpu: cpu * 1000}
	}
	cells := []cell{
		{peerName, one, []sample{of(100, 4), of(1, 400), of(110, 2)}},
		{plainName, one, []sample{of(50, 8), of(25, 12), of(40, 10)}},
		{plainName, two, []sample{of(7, 7)}},
	}
	rows := rowsOf(cells, peerName)
	if r := rows[1]; r.perSecond != 40 || r.cpu != 10_000 || r.throughput != 0.4 || r.cpuCost != 2.5 {
		t.Errorf("%+v", r)
	}
	if r := rows[0]; r.throughput != 1 || r.cpuCost != 1 {
		t.Errorf("the peer is not its own measure: %+v", r)
	}
	if r := rows[2]; r.throughput != 0 {
		t.Errorf("a ratio without a peer: %+v", r)
	}
	get := cell{plainName, load{"get", 1}, []sample{of(120, 1)}}
	if half := halfSaturated(append(cells, get), plainName); half < 29.9 || half > 30.1 { // 40 and 120: a pair takes 1/30 s
		t.Errorf("half of saturated is %v, want 30", half)
	}
	checkOutput(t, cells, rows)
}

func checkOutput(t *testing.T, cells []cell, rows []row) {
	t.Helper()
	var svg, table, list strings.Builder
	if err := errors.Join(writeSVG(&svg, rows), print(&table, rows, nil), writeCSV(&list, cells)); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal([]byte(svg.String()), new(struct{})); err != nil {
		t.Errorf("the plot is no XML: %v", err)
	}
	if n := strings.Count(list.String(), "\n"); n != 1+3+3+1 {
		t.Errorf("CSV of %d lines:\n%s", n, list.String())
	}
	if !strings.Contains(table.String(), "2.50") {
		t.Errorf("no ratio in the table:\n%s", table.String())
	}
}

func TestStatusBytes(t *testing.T) {
	status := "Name:\tVmRSS: 7 kB\nVmHWM:\t  207556 kB\nVmRSS:\t  12 kB\n"
	for field, want := range map[string]int64{"VmHWM": 207556 << 10, "VmRSS": 12 << 10} {
		if got, err := statusBytes(status, field); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", field, got, err, want)
		}
	}
	for name, status := range map[string]string{"a missing field is an error": "Name:\tx\n", "a size that is no number is one": "VmRSS:\tmuch kB\n"} {
		if _, err := statusBytes(status, "VmRSS"); err == nil {
			t.Errorf("%s", name)
		}
	}
}

func TestGrowthIsWrittenAsTablesAndPanels(t *testing.T) {
	of := func(micros int) sample {
		return sample{perSecond: 100, cpu: time.Duration(micros) * time.Microsecond}
	}
	g := growth{points: []point{{"nodes", 3, of(50), of(20), ""}, {"nodes", 9, of(60), of(30), ""}, {"nodes", 12, of(1), of(1), ": TRYAGAIN"},
		{"keys", 1000, of(0), of(12345), ""}},
		sizes: []footprint{{"redis & co", 207_000_000, 200_000_000}}, starts: []startUp{{"kill -9", 1000, 1234 * time.Millisecond}}}
	var svg, table, list strings.Builder
	if err := errors.Join(writeGrowthSVG(&svg, g.points), g.print(&table), writeGrowthCSV(&list, g.points)); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal([]byte(svg.String()), new(struct{})); err != nil || strings.Contains(svg.String(), "NaN") || strings.Count(svg.String(), "<polyline") != 4 {
		t.Errorf("the plot is no XML of two panels with two lines each (%v):\n%s", err, svg.String())
	}
	if n := strings.Count(list.String(), "\n"); n != 1+2*3 {
		t.Errorf("CSV of %d lines:\n%s", n, list.String())
	}
	for _, want := range []string{"12345.0 us", "207.0 MB", "1.23s", "TRYAGAIN"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %s in the tables:\n%s", want, table.String())
		}
	}
}
