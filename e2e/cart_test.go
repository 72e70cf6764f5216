//go:build linux

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// cartPort is that of a cart service; each has the address of the node that it asks first.
const cartPort = "20006"

// TestCartLosesNoItemWhenANodeDies adds different items to one cart through two services at once, each talking to another node
// first, and kills the third node between the adds.
func TestCartLosesNoItemWhenANodeDies(t *testing.T) {
	c := found(t, 3)
	shops := []string{serveCart(t, c.nodes[0], c.nodes[1], c.nodes[2]), serveCart(t, c.nodes[1], c.nodes[2], c.nodes[0])}
	want := map[string]int{}
	for i := range 20 {
		if i == 10 {
			c.nodes[2].kill(t)
		}
		var both sync.WaitGroup
		for j, shop := range shops {
			item := fmt.Sprintf("item-%d-%d", i, j)
			want[item] = 1
			both.Go(func() { add(t, shop, item) })
		}
		both.Wait()
	}
	for _, shop := range shops {
		got := show(t, shop)
		for item, qty := range want {
			if got[item] != qty {
				t.Errorf("%s shows %d of %s, want %d", shop, got[item], item, qty)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s shows %d items, want %d", shop, len(got), len(want))
		}
	}
	c.nodes[2].start(t)
	c.awaitAlive(t)
	c.awaitNoHints(t)
	if got := show(t, serveCart(t, c.nodes[2])); len(got) != len(want) {
		t.Errorf("the node that was dead shows %d items, want %d", len(got), len(want))
	}
}

// serveCart starts a cart service over the nodes and returns its URL.
func serveCart(t *testing.T, nodes ...*member) string {
	t.Helper()
	var addrs []string
	for _, m := range nodes {
		addrs = append(addrs, m.resp())
	}
	listen := nodes[0].host + ":" + cartPort
	log, err := os.Create(filepath.Join(t.TempDir(), "cart.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program("cart"), "--listen", listen, "--redis", strings.Join(addrs, ","))
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("cart: %v", err)
		}
	})
	url := "http://" + listen + "/cart/eve"
	await(t, "the cart service answers", func() error {
		answer, err := http.Get(url)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return errors.New(answer.Status)
		}
		return nil
	})
	return url
}

// add puts an item into the cart. The service itself goes on to another node when one fails it.
func add(t *testing.T, shop, item string) {
	r, err := http.NewRequest(http.MethodPost, shop+"/items", strings.NewReader(fmt.Sprintf(`{"item": %q, "qty": 1}`, item)))
	if err != nil {
		t.Error(err)
		return
	}
	r.Header.Set("Idempotency-Key", item)
	began := time.Now()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Errorf("add %s: %v", item, err)
		return
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("add %s: %s after %v: %s, %v", item, answer.Status, time.Since(began), body, err)
	}
}

// show returns the cart's items and their quantities.
func show(t *testing.T, shop string) map[string]int {
	t.Helper()
	answer, err := http.Get(shop)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var cart struct {
		Items []struct {
			Item string
			Qty  int
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&cart); err != nil {
		t.Fatal(err)
	}
	items := map[string]int{}
	for _, line := range cart.Items {
		items[line.Item] = line.Qty
	}
	return items
}
