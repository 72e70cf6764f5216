package house

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/protocol/resp"
	"github.com/holdfastdb/holdfast/protocol/storetest"
)

func page(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// differ names what only one of two sets has.
func differ(t *testing.T, left, right string, a, b map[string]bool) {
	t.Helper()
	for _, only := range slices.Sorted(maps.Keys(a)) {
		if !b[only] {
			t.Errorf("%s: in %s, not in %s", only, left, right)
		}
	}
	for _, only := range slices.Sorted(maps.Keys(b)) {
		if !a[only] {
			t.Errorf("%s: in %s, not in %s", only, right, left)
		}
	}
}

// tableCommands returns the full names of the program's commands: a container counts only if it does something itself.
func tableCommands() map[string]bool {
	store := storetest.New(time.Now)
	all := resp.New(resp.Config{Store: store, Logger: slog.New(slog.DiscardHandler)}).Commands()
	names := map[string]bool{}
	for _, name := range all {
		container, _, sub := strings.Cut(name, "|")
		if sub && container != "command" { // COMMAND alone lists all
			delete(names, container)
		}
		names[name] = true
	}
	delete(names, "unknown")
	return names
}

var commandRow = regexp.MustCompile("(?m)^\\| `([A-Z]+)(?: ([A-Z-]+))?")

func TestThePageOfCommandsListsThemAll(t *testing.T) {
	want, got := tableCommands(), map[string]bool{}
	for _, m := range commandRow.FindAllStringSubmatch(page(t, "docs/commands.md"), -1) {
		name := strings.ToLower(m[1])
		if full := name + "|" + strings.ToLower(m[2]); want[full] {
			name = full
		}
		got[name] = true
	}
	differ(t, "docs/commands.md", "the command table", got, want)
}

func TestTheReadmeListsAllCommands(t *testing.T) {
	_, section, _ := strings.Cut(page(t, "README.md"), "\n## Redis commands\n")
	section, _, _ = strings.Cut(section, "RESP2;")
	want, got := map[string]bool{}, map[string]bool{}
	for name := range tableCommands() {
		container, _, _ := strings.Cut(name, "|")
		want[strings.ToUpper(container)] = true
	}
	for _, quoted := range regexp.MustCompile("`[^`]+`").FindAllString(section, -1) {
		for _, name := range strings.Fields(strings.Trim(quoted, "`")) {
			got[name] = true
		}
	}
	differ(t, "README.md", "the command table", got, want)
}

func TestThePageOfCommandsExplainsEveryErrorCode(t *testing.T) {
	text := page(t, "docs/commands.md")
	for _, o := range resp.Outcomes() {
		if o == "ok" || o == "error" || o == "internal" { // no code of their own
			continue
		}
		if row := "\n| `-" + strings.ToUpper(o) + "` |"; !strings.Contains(text, row) {
			t.Errorf("docs/commands.md has no row for -%s", strings.ToUpper(o))
		}
	}
}

var (
	metricRow    = regexp.MustCompile("(?m)^\\| `(holdfast_[a-z0-9_]+)(?:\\{([a-z,]+)\\})?` \\| (counter|gauge|histogram) \\|")
	metricSeries = regexp.MustCompile(`(?m)^(holdfast_[a-z0-9_]+)(?:\{([^}]*)\})? `)
	metricLabel  = regexp.MustCompile(`([a-z]+)="((?:[^"\\]|\\.)*)"`)
)

// The page of metrics has every metric that a node serves, with its labels, and no other; and each label's values.
func TestThePageOfMetricsListsThemAll(t *testing.T) {
	text := page(t, "docs/metrics.md")
	listed := map[string]bool{}
	for _, m := range metricRow.FindAllStringSubmatch(text, -1) {
		listed[describe(m[1], strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' }), m[3] == "histogram")] = true
	}
	served, values := servedMetrics(t, startDev(t))
	differ(t, "docs/metrics.md", "/metrics", listed, served)
	for _, v := range slices.Sorted(maps.Keys(values)) {
		if !strings.Contains(text, "`"+v+"`") {
			t.Errorf("docs/metrics.md does not name the label value %s", v)
		}
	}
}

// describe names a metric with its labels.
func describe(name string, labels []string, histogram bool) string {
	slices.Sort(labels)
	name = fmt.Sprintf("%s{%s}", name, strings.Join(labels, ","))
	if histogram {
		name += " histogram"
	}
	return name
}

// servedMetrics returns what a node serves, and the values of the labels that have few. Sibling counts are given as a range.
func servedMetrics(t *testing.T, d *dev) (served, values map[string]bool) {
	t.Helper()
	res, err := http.Get("http://" + d.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	served, values = map[string]bool{}, map[string]bool{}
	for _, m := range metricSeries.FindAllStringSubmatch(string(body), -1) {
		name, bucket := strings.CutSuffix(m[1], "_bucket")
		if strings.HasSuffix(name, "_seconds_sum") || strings.HasSuffix(name, "_seconds_count") {
			continue // of a histogram
		}
		labels := []string{}
		for _, l := range metricLabel.FindAllStringSubmatch(m[2], -1) {
			if l[1] == "le" {
				continue
			}
			labels = append(labels, l[1])
			if l[1] != "command" && l[1] != "count" {
				values[l[2]] = true
			}
		}
		served[describe(name, labels, bucket)] = true
	}
	return served, values
}
