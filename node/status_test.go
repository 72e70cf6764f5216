package node_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/node/nodetest"
)

// object asks for a JSON object.
func object(t *testing.T, m *nodetest.Machine, command string) (o map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(must(t, m, "HOLDFAST", command).(string)), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// wantFields fails where an object lacks a field that the issue of a command names.
func wantFields(t *testing.T, what string, o map[string]any, fields ...string) {
	t.Helper()
	for _, f := range fields {
		if _, ok := o[f]; !ok {
			t.Errorf("%s lacks %q: %v", what, f, o)
		}
	}
}

func TestStatusAndRingSayWhatIs(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		for i := range 50 {
			must(t, c.Machines[i%4], "SET", fmt.Sprint("key", i), "v")
		}
		time.Sleep(3 * time.Second)
		ring := object(t, c.Machines[0], "RING")
		wantFields(t, "ring", ring, "partitions", "n", "version", "nodes", "preference")
		var primaries, coordinates float64
		for _, n := range ring["nodes"].([]any) {
			wantFields(t, "ring node", n.(map[string]any), "name", "id", "zone", "status", "alive", "primaries", "coordinates")
			primaries += n.(map[string]any)["primaries"].(float64)
			coordinates += n.(map[string]any)["coordinates"].(float64)
		}
		if q := ring["partitions"].(float64); primaries != 3*q || coordinates != q || len(ring["preference"].([]any)) != int(q) {
			t.Errorf("%v copies and %v first places of %v partitions", primaries, coordinates, q)
		}
		checkStatus(t, c.Machines[1], 150)
		for _, m := range c.Machines {
			if size := must(t, m, "DBSIZE"); size != int64(50) {
				t.Errorf("DBSIZE at %s: %v", m.Config.Name, size)
			}
		}
	})
}

// checkStatus fails unless all nodes are alive and hold that many copies together.
func checkStatus(t *testing.T, m *nodetest.Machine, copies float64) {
	t.Helper()
	var keys float64
	for _, n := range object(t, m, "STATUS")["nodes"].([]any) {
		node := n.(map[string]any)
		wantFields(t, "status", node, "name", "id", "version", "status", "alive", "keys", "bytes", "hints", "siblings", "uptime_seconds")
		keys += node["keys"].(float64)
		if node["alive"] != true || node["status"] != "active" || node["hints"] != float64(0) || node["uptime_seconds"].(float64) < 3 {
			t.Errorf("status of a well node: %v", node)
		}
	}
	if keys != copies {
		t.Errorf("%v copies in the status, want %v", keys, copies)
	}
}

func TestOneNodeDownIsShownAndCountsNoKeyLess(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		for i := range 50 {
			must(t, c.Machines[i%4], "SET", fmt.Sprint("key", i), "v")
		}
		c.Machines[3].Kill()
		rest := c.Machines[:3]
		c.Eventually(10*time.Second, "the loss is noticed", func() bool {
			return !slices.ContainsFunc(rest, func(m *nodetest.Machine) bool { return m.Sees(c.Machines[3]) })
		})
		for _, m := range rest {
			if size := must(t, m, "DBSIZE"); size != int64(50) {
				t.Errorf("DBSIZE at %s: %v", m.Config.Name, size)
			}
		}
		for _, n := range object(t, rest[0], "STATUS")["nodes"].([]any) {
			if node := n.(map[string]any); (node["name"] == "node-4") == node["alive"].(bool) {
				t.Errorf("status: %v", node)
			}
		}
	})
}
