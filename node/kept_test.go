package node_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/node/nodetest"
	"github.com/holdfastdb/holdfast/protocol"
	"github.com/holdfastdb/holdfast/replica/replicatest"
)

// keep is set by -node.keep.
var keep = flag.Bool("node.keep", false, "write data directories of this program's format into testdata/, in place of those of the format")

const (
	keptDir   = "../testdata"
	keptKeys  = 40            // plain ones; of the other kinds a tenth each
	keptUntil = "32503680000" // seconds: when what expires does, in the year 3000
)

// contents is what a node alone shows of a directory.
type contents struct {
	Keys, Siblings, Hints int64
	Values                map[string][]string // by key: all concurrent ones
	Expires               map[string]string   // in seconds, by key
}

// keptNames returns the keys that a kept directory may hold.
func keptNames() (names []string) {
	for i := range keptKeys {
		names = append(names, fmt.Sprint("plain:", i))
	}
	for i := range keptKeys / 10 {
		for _, kind := range []string{"siblings", "deleted", "expires", "counter"} {
			names = append(names, fmt.Sprint(kind, ":", i))
		}
	}
	return names
}

// writeKept writes something of everything through the machines in turn.
func writeKept(t *testing.T, machines []*nodetest.Machine) {
	t.Helper()
	turn := 0
	do := func(args ...any) {
		t.Helper()
		turn++
		if err, failed := machines[turn%len(machines)].Do(args...).(error); failed {
			t.Fatal(args, err)
		}
	}
	for i := range keptKeys {
		do("SET", fmt.Sprint("plain:", i), fmt.Sprint("value ", i))
	}
	for i := range keptKeys / 10 {
		do("PUTCTX", fmt.Sprint("siblings:", i), "", "one")
		do("PUTCTX", fmt.Sprint("siblings:", i), "", "other")
		do("SET", fmt.Sprint("deleted:", i), "gone")
		do("DEL", fmt.Sprint("deleted:", i))
		do("SET", fmt.Sprint("expires:", i), "later")
		do("EXPIREAT", fmt.Sprint("expires:", i), keptUntil)
		do("INCRBY", fmt.Sprint("counter:", i), 41)
		do("INCR", fmt.Sprint("counter:", i))
	}
}

// show asks a node that reaches no other.
func show(t *testing.T, m *nodetest.Machine) (c contents) {
	t.Helper()
	var st protocol.Status
	text, _ := m.Do("HOLDFAST", "STATUS").(string)
	if err := json.Unmarshal([]byte(text), &st); err != nil {
		t.Fatal(text, err)
	}
	for _, n := range st.Nodes {
		if n.Name == m.Config.Name {
			c = contents{Keys: n.Keys, Siblings: n.Siblings, Hints: n.Hints}
		}
	}
	c.Values, c.Expires = make(map[string][]string), make(map[string]string)
	client := m.Client()
	defer client.Close()
	client.Do("HOLDFAST", "QUORUM", "R", 1)
	for _, name := range keptNames() {
		pair, ok := client.Do("GETV", name).([]any)
		if !ok || len(pair) != 2 {
			t.Fatalf("GETV %s: %v", name, pair)
		}
		for _, value := range pair[1].([]any) {
			c.Values[name] = append(c.Values[name], fmt.Sprint(value))
		}
		slices.Sort(c.Values[name])
		if until := fmt.Sprint(client.Do("EXPIRETIME", name)); until != "-1" && until != "-2" {
			c.Expires[name] = until
		}
	}
	return c
}

// openKept starts the node that a directory is of, alone, and returns what it shows and the disk's format mark.
func openKept(t *testing.T, disk *replicatest.Disk, machine int) (c contents, format string) {
	t.Helper()
	cluster := nodetest.New(t, 4, nil)
	m := cluster.Machines[machine]
	m.Disk = disk
	m.SetClock(time.Hour) // it was written in a bubble whose time began as this one's
	m.MustStart()
	cluster.Eventually(time.Minute, "it serves, and has counted what it holds", func() bool {
		return m.Node.Ready() && counted(t, cluster, m)
	})
	c = show(t, m)
	m.Stop()
	b, err := disk.ReadFile("data/format")
	if err != nil {
		t.Fatal(err)
	}
	cluster.Close()
	return c, string(b)
}

// counted reports whether counts and trees are complete.
func counted(t *testing.T, c *nodetest.Cluster, m *nodetest.Machine) bool {
	t.Helper()
	_, text := fetch(t, c, m, "/metrics")
	return strings.Contains(text, "\nholdfast_trees_complete 1\n")
}

// TestKeptDirectoriesOpen opens the data directories of every format that there ever was, one of a clean stop and one of none, and wants all
// in place. A change of the format leaves the old ones and adds new ones, by `go test ./node -run Kept -node.keep`.
func TestKeptDirectoriesOpen(t *testing.T) {
	if *keep {
		synctest.Test(t, keepDirectories)
	}
	dirs, err := filepath.Glob(keptDir + "/format-*/*")
	if err != nil {
		t.Fatal(err)
	}
	newest, formats := "", map[string]bool{}
	for _, dir := range dirs {
		t.Run(filepath.ToSlash(dir), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, err := replicatest.Load(filepath.Join(dir, "data"), "data")
				if err != nil {
					t.Fatal(err)
				}
				mark, _ := disk.ReadFile("data/format")
				formats[string(mark)] = true
				var want struct {
					Machine int
					contents
				}
				readJSON(t, filepath.Join(dir, "contents.json"), &want)
				got, format := openKept(t, disk, want.Machine)
				if !reflect.DeepEqual(got, want.contents) {
					t.Errorf("got %+v\nwant %+v", got, want.contents)
				}
				newest = format
			})
		})
	}
	if !formats[newest] {
		t.Errorf("this program writes %q; kept are %v", newest, formats)
	}
}

func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// keepDirectories makes directories that hold something of everything: rows, siblings, tombstones, times to live, and hints of both kinds for
// a node that is down.
func keepDirectories(t *testing.T) {
	c := nodetest.New(t, 4, nil)
	c.Start()
	c.Machines[3].Kill()
	c.Eventually(time.Minute, "its death is known", func() bool { return !c.Machines[0].Sees(c.Machines[3]) })
	writeKept(t, c.Machines[:3])
	for _, m := range c.Machines[:2] { // so that there are tables beside the log
		m.Stop()
		m.MustStart()
		c.AwaitReady(c.Machines[:3]...)
	}
	for i := range keptKeys / 2 {
		c.Machines[i%2].Do("SET", fmt.Sprint("plain:", i), fmt.Sprint("value ", i))
	}
	c.Machines[1].Kill()
	disks := map[string]*replicatest.Disk{"unclean": c.Machines[1].Disk}
	c.Machines[0].Stop()
	disks["clean"] = c.Machines[0].Disk
	c.Close()
	machines := map[string]int{"clean": 0, "unclean": 1}
	for kind, disk := range disks {
		saved := disk.Copy("data")
		shown, format := openKept(t, disk, machines[kind])
		var n int
		if _, err := fmt.Sscanf(format, "holdfast data format %d\n", &n); err != nil {
			t.Fatal(err)
		}
		checkKept(t, shown)
		dir := filepath.Join(keptDir, fmt.Sprint("format-", n), kind)
		text, err := json.MarshalIndent(struct {
			Machine int
			contents
		}{machines[kind], shown}, "", " ")
		for _, act := range []func() error{
			func() error { return err },
			func() error { return os.RemoveAll(dir) },
			func() error { return os.MkdirAll(dir, 0o755) },
			func() error { return saved.Save("data", filepath.Join(dir, "data")) },
			func() error { return os.WriteFile(filepath.Join(dir, "contents.json"), append(text, '\n'), 0o644) },
		} {
			if err := act(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// checkKept wants of a directory to be kept that it holds what was written, as far as it is an owner, and something of everything.
func checkKept(t *testing.T, c contents) {
	t.Helper()
	kinds := map[string]bool{}
	for name, values := range c.Values {
		kind, number, _ := strings.Cut(name, ":")
		kinds[kind] = true
		want := map[string][]string{"plain": {"value " + number}, "siblings": {"one", "other"}, "expires": {"later"}, "counter": {"42"}}[kind]
		if !slices.Equal(values, want) {
			t.Errorf("%s is %q, want %q", name, values, want)
		}
	}
	if len(kinds) != 4 || c.Hints == 0 || len(c.Expires) == 0 {
		t.Errorf("this is not something of everything: %v, %d hints, expiring %v", kinds, c.Hints, c.Expires)
	}
}
