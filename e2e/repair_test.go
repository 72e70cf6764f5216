//go:build linux

package e2e

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/protocol"
	"github.com/holdfastdb/holdfast/replica/replicatest"
)

// lostRows is how many rows one of three replicas lacks.
const lostRows = 1000

// repair runs holdfast repair on the node and returns what it says, having printed the sum.
func (m *member) repair(t *testing.T, flags ...string) (sum protocol.RepairPartition) {
	t.Helper()
	began := time.Now()
	out, err := m.command(append([]string{"repair", "--json"}, flags...)...).Output()
	var r protocol.Repair
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		t.Fatalf("repair %v: %v\n%s", flags, err, out)
	}
	for _, p := range r.Partitions {
		sum.Rows, sum.Damaged, sum.Conflicts = sum.Rows+p.Rows, sum.Damaged+p.Damaged, sum.Conflicts+p.Conflicts
	}
	sum.Bytes = r.Bytes
	t.Logf("repair %v: %d partitions compared in %v, %d rows taken, %d places damaged, %d bytes exchanged", flags, r.Compared,
		time.Since(began).Round(time.Millisecond), sum.Rows, sum.Damaged, sum.Bytes)
	return sum
}

// command returns a command of the program that asks this node.
func (m *member) command(words ...string) *exec.Cmd {
	return exec.Command(m.program, append(words, "--addr", m.resp())...)
}

// pulled returns how many rows the node has taken from others since it started, by repair and by what it does itself.
func (m *member) pulled(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(m.metric(t, "holdfast_pulled_rows_total"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// withhold writes keys while the node is down, and has the others forget that they owe it any.
func (c *cluster) withhold(t *testing.T, from *member, n int) (names []string) {
	t.Helper()
	from.terminate(t)
	others := slices.DeleteFunc(slices.Clone(c.nodes), func(m *member) bool { return m == from })
	names = fillNamed(t, others, "withheld:", n)
	for _, m := range others {
		m.terminate(t)
	}
	forgotten := 0
	for _, m := range others {
		hints, err := replicatest.RemoveHints(m.dir)
		if err != nil {
			t.Fatal(err)
		}
		forgotten += hints
	}
	if forgotten < n {
		t.Fatalf("only %d hints to forget", forgotten)
	}
	for _, m := range c.nodes {
		m.start(t)
	}
	c.awaitAlive(t)
	return names
}

// TestRepairFindsWhatIsMissing withholds writes from a replica: holdfast repair finds them by the hash trees. Then it removes rows
// beneath the trees: only repair --scan can know, and finds them.
func TestRepairFindsWhatIsMissing(t *testing.T) {
	c := found(t, 3)
	victim, asked := c.nodes[2], c.nodes[0]
	keys := sized(20_000, 1_000_000)
	names := fill(t, c.nodes, keys)

	names = append(names, c.withhold(t, victim, lostRows)...)
	before := victim.pulled(t)
	r := asked.repair(t)
	if before == 0 && r.Rows == 0 || r.Conflicts > 0 {
		t.Errorf("found %+v", r)
	}
	if n := victim.pulled(t); n != lostRows { // a slow repair shares them with what the nodes do by themselves
		t.Errorf("%d rows were taken, want those %d", n, lostRows)
	}
	if r := asked.repair(t); r.Rows > 0 {
		t.Errorf("a second repair took %d rows", r.Rows)
	}

	victim.terminate(t)
	removed, err := replicatest.RemoveEach(victim.dir, (keys+lostRows)/lostRows)
	if err != nil || removed < lostRows {
		t.Fatalf("%d rows removed, %v", removed, err)
	}
	victim.start(t)
	c.awaitAlive(t)
	if r := asked.repair(t); r.Rows+r.Damaged > 0 {
		t.Errorf("what is missing beneath the trees was found without a scan: %+v", r)
	}
	if r := asked.repair(t, "--scan"); r.Rows != removed || r.Damaged == 0 || r.Conflicts > 0 {
		t.Errorf("%d rows were removed; found %+v", removed, r)
	}
	if r := asked.repair(t, "--scan"); r.Rows+r.Damaged > 0 {
		t.Errorf("a second scan found %+v", r)
	}
	for _, m := range c.nodes[:2] {
		m.kill(t)
	}
	holdsAlone(t, victim, names)
}
