package node

import (
	"fmt"
	"net/http"
)

// routes is what --http serves.
func (n *Node) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", n.meters.serve)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if n.Ready() {
			fmt.Fprintln(w, "ready")
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		switch wait := n.members.Waiting(); {
		case n.draining.Load():
			fmt.Fprintln(w, "shutting down")
		case wait != "":
			fmt.Fprintln(w, "waiting for a cluster:", wait)
		default:
			fmt.Fprintln(w, "out of service:", n.Err())
		}
	})
	return mux
}
