package node_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/holdfastdb/holdfast/node"
	"github.com/holdfastdb/holdfast/node/nodetest"
)

func TestNodeWithoutAClusterDoesNotCallAGoodContextBad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 3, nil)
		defer c.Close()
		c.Start()
		must(t, c.Machines[0], "SET", "k", "v")
		seen, _ := getv(t, c.Machines[0], "k")
		late := c.Add(node.Config{Join: []string{"127.0.0.9:7946"}})
		late.MustStart()
		if got := fmt.Sprint(late.Do("PUTCTX", "k", seen, "w")); !strings.HasPrefix(got, "NOQUORUM") {
			t.Errorf("PUTCTX with a good context at a node that has no cluster yet: %s", got)
		}
	})
}
