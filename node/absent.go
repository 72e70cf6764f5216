package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/ring"
)

// tellAbsent logs whom this node misses, soon after the start and then once a minute, until a quorum was in reach or ctx ends. A
// member whose seeds are all down is otherwise silent: it knows its cluster, and tries the others for ever.
func (n *Node) tellAbsent(ctx context.Context) {
	tick := time.NewTicker(waitLogEvery)
	defer tick.Stop()
	repeat := limiter{every: waitLogRepeat}
	for !n.met.Load() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if absent := n.absent(); absent != "" && !n.met.Load() && repeat.ok(time.Now()) {
			n.cfg.Logger.Warn("waiting for other nodes: too few are in reach for a quorum since the start; they are tried for ever", "absent", absent)
		}
	}
}

// absent names the members that are not in reach, and where they are tried: at most absentShownMax of them. It is empty while there
// is no cluster.
func (n *Node) absent() string {
	var names []string
	for _, m := range n.members.State().Members {
		if m.Status != ring.Removed && !n.up(m.ID) {
			names = append(names, fmt.Sprintf("%s (%s)", m.Name, m.Gossip))
		}
	}
	if more := len(names) - absentShownMax; more > 0 {
		names = append(names[:absentShownMax], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}
