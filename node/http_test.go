package node_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/node/nodetest"
)

// promised are the metrics that must be there before anything happened; a name that ends in { has labels.
var promised = []string{
	`holdfast_commands_total{command="get",outcome=`, `holdfast_commands_total{command="putctx",outcome=`,
	`holdfast_command_seconds_bucket{command="get",le=`, `holdfast_coordinated_seconds_bucket{op="read",le=`,
	`holdfast_coordinated_seconds_bucket{op="write",le=`, `holdfast_coordinated_seconds_bucket{op="modify",le=`,
	"holdfast_forwards_total", "holdfast_fallbacks_total", "holdfast_hints_pending", "holdfast_hints_bytes", "holdfast_hints_oldest_seconds",
	`holdfast_hints_total{state=`, "holdfast_read_repairs_total", `holdfast_siblings_seen_total{count=`, `holdfast_shed_total{reason=`,
	"holdfast_connections", "holdfast_pebble_", "process_",
}

// fetch asks a machine's HTTP port.
func fetch(t *testing.T, c *nodetest.Cluster, m *nodetest.Machine, path string) (status int, body string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		return c.Net.Host(m.IP).Dial(ctx, address)
	}}
	answer, err := (&http.Client{Transport: transport}).Get("http://" + m.Config.HTTP + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

func TestHTTPBeforeAndAfterTheClusterForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 3, nil)
		defer c.Close()
		m := c.Machines[0]
		m.MustStart()
		if status, body := fetch(t, c, m, "/healthz"); status != 200 {
			t.Errorf("/healthz of an empty node: %d %s", status, body)
		}
		if status, body := fetch(t, c, m, "/readyz"); status != 503 || !strings.Contains(body, "1 of 3 nodes have met") {
			t.Errorf("/readyz of an empty node: %d %s", status, body)
		}
		_, before := fetch(t, c, m, "/metrics")
		for _, name := range promised {
			if !strings.Contains(before, "\n"+name) {
				t.Errorf("/metrics of an empty node lacks %s", name)
			}
		}
		c.Machines[1].MustStart()
		c.Machines[2].MustStart()
		c.AwaitReady(c.Machines...)
		if status, body := fetch(t, c, m, "/readyz"); status != 200 {
			t.Errorf("/readyz: %d %s", status, body)
		}
		must(t, m, "SET", "k", "v")
		_, after := fetch(t, c, m, "/metrics")
		if !strings.Contains(after, `holdfast_commands_total{command="set",outcome="ok"} 1`) {
			t.Error("/metrics does not count the SET")
		}
		t.Logf("%d series", strings.Count(after, "\n")-strings.Count(after, "# "))
	})
}

func TestDrainingNodeIsAliveAndNotReady(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		m := c.Machines[0]
		slow := m.Client()
		defer slow.Close()
		c.Split(c.Machines[:1], c.Machines[1:]) // what it asks now takes its whole budget
		if err := slow.Send("SET", "k", "v"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		n := m.Node
		done := make(chan error, 1)
		go func() { done <- n.Shutdown(context.Background()) }()
		time.Sleep(10 * time.Millisecond)
		if status, body := fetch(t, c, m, "/readyz"); status != 503 || !strings.Contains(body, "shutting down") {
			t.Errorf("/readyz while draining: %d %s", status, body)
		}
		if status, _ := fetch(t, c, m, "/healthz"); status != 200 {
			t.Errorf("/healthz while draining: %d", status)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if answer, _ := slow.Receive().(error); answer == nil || !strings.HasPrefix(answer.Error(), "MAYBE") && !strings.HasPrefix(answer.Error(), "NOQUORUM") {
			t.Errorf("the command under way was answered %v", answer)
		}
	})
}
