//go:build linux

package main

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
)

// Addresses in the sandbox: nodes count from 1, the clients are at the end.
const (
	subnet      = "10.77.0."
	clientsHost = subnet + "254"
)

func hostOf(node int) string { return fmt.Sprint(subnet, node+1) }
func netOf(node int) string  { return fmt.Sprint("node-", node+1) }

// network is a bridge with the clients on it, and one namespace a node behind a cable of its own. Packets between nodes are
// dropped on their way in, so that each direction is cut for itself; the clients' are let through.
type network struct {
	mu    sync.Mutex
	rules []map[int]string // for each node, what is dropped on the way into it, by fault
}

// newNetwork makes the network. The sandbox's end takes it down.
func newNetwork(nodes int) (*network, error) {
	commands := []string{"link set lo up", "link add br0 type bridge", "addr add " + clientsHost + "/24 dev br0", "link set br0 up"}
	for i := range nodes {
		name := netOf(i)
		commands = append(commands, "netns add "+name,
			fmt.Sprintf("link add v%d type veth peer name eth0 netns %s", i, name),
			fmt.Sprintf("link set v%d master br0 up", i),
			fmt.Sprintf("-n %s addr add %s/24 dev eth0", name, hostOf(i)),
			"-n "+name+" link set eth0 up",
			"-n "+name+" link set lo up")
	}
	for _, c := range commands {
		if err := tell(exec.Command("ip", strings.Fields(c)...)); err != nil {
			return nil, err
		}
	}
	return &network{rules: make([]map[int]string, nodes)}, nil
}

// tell runs a command that says something only when it fails.
func tell(cmd *exec.Cmd) error {
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd, err, text)
	}
	return nil
}

// inside returns a command that runs in a node's namespace.
func inside(node int, command string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", netOf(node), command}, args...)...)
}

// drop lets no packet of the senders reach the node until restored: or, with percent below 100, loses so many of them.
func (n *network) drop(fault, node int, senders []int, percent int) error {
	hosts := make([]string, len(senders))
	for i, s := range senders {
		hosts[i] = hostOf(s)
	}
	rule := "ip saddr { " + strings.Join(hosts, ", ") + " }"
	if percent < 100 {
		rule += fmt.Sprintf(" numgen random mod 100 < %d", percent)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.rules[node] == nil {
		n.rules[node] = map[int]string{}
	}
	n.rules[node][fault] = rule + " drop"
	return n.applyLocked(node)
}

// restore takes back what the fault dropped.
func (n *network) restore(fault, node int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.rules[node], fault)
	return n.applyLocked(node)
}

// applyLocked replaces all rules of a node at once. Nothing else waits for the lock but other rules.
func (n *network) applyLocked(node int) error {
	text := "table inet faults\ndelete table inet faults\ntable inet faults {\n chain in {\n  type filter hook input priority 0\n"
	for _, fault := range slices.Sorted(maps.Keys(n.rules[node])) {
		text += "  " + n.rules[node][fault] + "\n"
	}
	cmd := inside(node, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text + " }\n}\n")
	return tell(cmd)
}

// slow lets only so much leave a node.
func slow(node int, kbit int) error {
	return tell(inside(node, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", fmt.Sprint(kbit, "kbit"), "burst", "8kb", "latency", "500ms"))
}

// unslow takes that back.
func unslow(node int) error {
	return tell(inside(node, "tc", "qdisc", "del", "dev", "eth0", "root"))
}
