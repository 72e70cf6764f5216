package peer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/holdfastdb/holdfast/request"
	"github.com/holdfastdb/holdfast/ring"
)

// Handler executes what other nodes ask of this one. Its methods are called from many goroutines at once, and must not
// keep the slices that they are given, nor the elements, which are used again once they are answered. The memory of keys and values
// they may keep, but for that of the keys of reads. Each element is answered in place. An error for a whole batch means one of request's sentinels for every element. The contexts of ServeWrites and
// ServeCoordinate tell the frame's deadline and end with the connection, not by themselves at the deadline: see request.Due.
type Handler interface {
	// ServeReads answers at the speed of the local disk. It runs on the connection's reader.
	ServeReads(from ring.NodeID, layout uint64, reads []*request.Read)
	// ServeWrites commits the writes together. It runs on the connection's reader, or on a goroutine of its own where
	// Config.WritesBlock is set; at most one at a time for a connection.
	ServeWrites(ctx context.Context, from ring.NodeID, layout uint64, writes []*request.Write) error
	// ServeHandoff is ServeWrites for hints that come home: what it answers without an error is on disk, fsynced.
	ServeHandoff(ctx context.Context, from ring.NodeID, layout uint64, writes []*request.Write) error
	// ServeCoordinate may wait for the network, and mints nothing from mint on. It runs on a goroutine of its own.
	ServeCoordinate(ctx context.Context, from ring.NodeID, layout uint64, notice request.Notice, mint time.Time, ops []*request.Op)
	// ServeControl answers an administrative request with at most ControlBytesMax, or FetchBytesMax where Fetch asks, on a goroutine of its own. A kind
	// that it does not know is an error.
	ServeControl(ctx context.Context, from ring.NodeID, kind uint8, payload []byte) ([]byte, error)
	// ServeNotice is told what from says of its operations, with every ping. It must not wait.
	ServeNotice(from ring.NodeID, notice request.Notice)
}

// Config is what a node's wire needs. The fields without a remark must be set.
type Config struct {
	Node    ring.NodeID // who this is
	Name    string      // at most NameBytesMax
	Boot    uint64      // the boot bits
	Cluster ring.NodeID // peers of another cluster are refused
	Q       int         // partitions; peers with another number are refused

	Listener net.Listener                                                // closed by Close
	Dial     func(ctx context.Context, address string) (net.Conn, error) // under TLS too, whose handshake is left to the hello, as is a listener's
	Addr     func(ring.NodeID) (address string, ok bool)                 // where a node listens; asked before every dial
	Notice   func() (request.Notice, bool)                               // optional: goes out with every ping
	Changed  func(node ring.NodeID, up bool)                             // optional: Up has changed; one call at a time, must not wait long
	Now      func() time.Duration                                        // optional: the monotonic clock
	Logger   *slog.Logger                                                // optional
	Keys     func() [][]byte                                             // optional: the cluster keys, the first the one to use; asked at every hello
	// WritesBlock says that a commit waits for an fsync. Writes are then executed beside the connection's reader, and
	// what arrives during one commit goes into the next.
	WritesBlock bool
}

var errConfig = errors.New("peer: incomplete configuration")

func (c *Config) complete() error {
	if c.Node.IsZero() || c.Q < 1 || c.Listener == nil || c.Dial == nil || c.Addr == nil || len(c.Name) > NameBytesMax {
		return errConfig
	}
	if c.Now == nil {
		began := time.Now()
		c.Now = func() time.Duration { return time.Since(began) }
	}
	if c.Keys == nil {
		c.Keys = func() [][]byte { return nil }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func (c *Config) hello() hello {
	return hello{
		versionMin: VersionMin, versionMax: VersionMax,
		cluster: c.Cluster, q: c.Q, node: c.Node, boot: c.Boot, name: c.Name,
	}
}
