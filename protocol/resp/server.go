package resp

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/protocol"
)

// RedisVersion is the version of Redis whose replies are given. Clients look at it to choose their commands.
const RedisVersion = "7.0.15"

// Config is what a Server needs. Store, Cluster, Info, Metrics and Logger must be set.
type Config struct {
	Store   protocol.Store
	Cluster protocol.Cluster
	Info    func() Info // what INFO says of the node; called per INFO
	Metrics Metrics
	Logger  *slog.Logger
	// Parameters are what CONFIG GET shows beside the front-end's own: names as Redis has them.
	Parameters map[string]string

	ConnectionsMax int           // at most protocol.ConnectionsMax, which 0 stands for
	Idle           time.Duration // a connection silent for so long is closed; 0: never
	WriteTimeout   time.Duration // at most protocol.WriteTimeoutMax, which 0 stands for
	Budget         time.Duration // for one batch of commands; at most protocol.BudgetMax, which 0 stands for
}

// Metrics counts what the front-end does. It is called on the connections' goroutines and must not block.
type Metrics interface {
	// Observe counts a command by its full name in lower case ("client|setname"; "unknown" for one that does not
	// exist), one of Outcomes, and the seconds from the reading of its batch to its reply.
	Observe(command, outcome string, seconds float64)
	// Siblings counts a read that met so many concurrent values, 1 or more.
	Siblings(n int)
}

// Info is what a node says of itself in INFO.
type Info struct {
	Version        string // of holdfast
	NodeID, Name   string
	Port           int // of the RESP listener
	Started        time.Time
	MemoryBytes    int64 // heap in use
	MemoryRSSBytes int64
	MemoryMaxBytes int64 // --memory
	DiskBytes      int64
	Sync           string // always, os or none
	Replicas       int    // the other members in reach
	CPUSystem      time.Duration
	CPUUser        time.Duration
	Keys           []int64 // copies of keys held here, per keyspace
	Expires        []int64 // those of them that expire
}

// Server is the Redis front-end of one node.
type Server struct {
	cfg   Config
	table *table
	net   *protocol.Server

	ids      atomic.Int64 // of connections
	commands atomic.Int64
	refused  atomic.Int64

	mu struct {
		sync.Mutex
		conns map[*conn]struct{}
	}
}

// New returns a server that is not listening yet.
func New(cfg Config) *Server {
	if cfg.Budget <= 0 || cfg.Budget > protocol.BudgetMax {
		cfg.Budget = protocol.BudgetMax
	}
	if cfg.ConnectionsMax <= 0 || cfg.ConnectionsMax > protocol.ConnectionsMax {
		cfg.ConnectionsMax = protocol.ConnectionsMax
	}
	s := &Server{cfg: cfg, table: newTable()}
	s.mu.conns = map[*conn]struct{}{}
	s.net = protocol.NewServer(protocol.Config{
		Handle:         s.handle,
		Full:           []byte("-ERR max number of clients reached\r\n"),
		ConnectionsMax: cfg.ConnectionsMax,
		Idle:           cfg.Idle,
		WriteTimeout:   cfg.WriteTimeout,
		Logger:         cfg.Logger,
		Refused:        func() { s.refused.Add(1) },
	})
	return s
}

// Serve accepts connections from l until Shutdown or Close, then returns nil. It closes l. Several listeners are fine.
func (s *Server) Serve(l net.Listener) error { return s.net.Serve(l) }

// Shutdown stops accepting, finishes the commands that were read, flushes, closes, and joins every connection. When
// ctx ends first, the rest is cut off as by Close, and the cause is returned.
func (s *Server) Shutdown(ctx context.Context) error { return s.net.Shutdown(ctx) }

// Close cuts off every connection and joins it.
func (s *Server) Close() error { return s.net.Close() }

// Connections returns how many clients are connected.
func (s *Server) Connections() int { return s.net.Connections() }

// Commands returns the full names of all commands, for metrics that must exist before they are used.
func (s *Server) Commands() []string {
	names := []string{"unknown"}
	for _, m := range s.table.list {
		names = append(names, m.name)
		for _, sub := range m.subs {
			names = append(names, sub.name)
		}
	}
	return names
}

func (s *Server) handle(ctx context.Context, nc *protocol.Conn) {
	c := newConn(s, ctx, nc)
	s.mu.Lock()
	s.mu.conns[c] = struct{}{}
	s.mu.Unlock()
	defer s.forget(c)
	c.serve()
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.conns, c)
}

// profiles returns a view of every connection, oldest first.
func (s *Server) profiles() []view {
	s.mu.Lock()
	conns := slices.Collect(maps.Keys(s.mu.conns))
	s.mu.Unlock()
	views := make([]view, 0, len(conns))
	for _, c := range conns {
		views = append(views, c.profile.view())
	}
	slices.SortFunc(views, func(a, b view) int { return int(a.id - b.id) })
	return views
}
