package protocol

import "context"

// Cluster is what a front-end needs of the node to speak of the whole cluster.
type Cluster interface {
	Topology
	Operator
	// Keys returns how many keys the keyspace holds in the whole cluster: keys, not copies.
	Keys(ctx context.Context, space uint8) (int64, error)
}

// Topology says who serves which slots.
type Topology interface {
	// Map returns the present map. It is a snapshot: read-only, cheap, and made anew when something changes.
	Map() *Map
}

// Operator is what `holdfast status`, `ring`, `leave` and `remove` ask a node to do.
type Operator interface {
	Status(ctx context.Context) (Status, error)
	Ring(ctx context.Context) (Ring, error)
	// Preflist returns the nodes that a request for the key would ask now, in order.
	Preflist(ctx context.Context, space uint8, key []byte) ([]Preference, error)
	// Leave makes the asked node leave the cluster; it returns when the wish is recorded.
	Leave(ctx context.Context) error
	// Remove declares a node, given by name or id, removed for ever.
	Remove(ctx context.Context, node string) error
	// Repair compares the copies of partitions and makes them agree; it returns when that is done, which may take long.
	Repair(ctx context.Context, o RepairOptions) (Repair, error)
}

// RepairOptions says what Repair looks at.
type RepairOptions struct {
	Partition int  // -1: all
	Scan      bool // hash the stored rows afresh first, so that damage beneath the hash trees is found
}

// Repair is what a repair found and did.
type Repair struct {
	Compared   int               `json:"compared"`   // partitions that all their primaries were compared on
	Partitions []RepairPartition `json:"partitions"` // those where something was found, or went wrong
	Bytes      int64             `json:"bytes"`      // that travelled, also where nothing was found
}

// RepairPartition is one partition's line in Repair, over all its copies.
type RepairPartition struct {
	Partition  int      `json:"partition"`
	Rows       int      `json:"rows"` // taken by one copy from another
	Bytes      int64    `json:"bytes"`
	Damaged    int      `json:"damaged"`             // leaves of hash trees that said otherwise than the rows stored, and rows that could not be read
	Conflicts  int      `json:"conflicts"`           // rows with one write and different bytes, left as they are
	Unfinished []string `json:"unfinished"`          // nodes whose copy was not compared with all others, and why
	Unscanned  bool     `json:"unscanned,omitempty"` // between nodes: a turn ended before the scan came to it
}

// Map says which nodes serve which slots, as cluster clients need it.
type Map struct {
	Self   int         // index into Nodes of the node that answers; -1 when it is no member
	Nodes  []Node      // members that hold, or may hold, data
	Ranges []SlotRange // ascending, not overlapping; together all slots
}

// Node is one member as clients see it.
type Node struct {
	ID         string // hexadecimal
	Name       string
	Host       string // advertised, of the RESP listener
	Port       int    // advertised, of the RESP listener
	GossipPort int
	Alive      bool
}

// SlotRange is a run of consecutive slots with the same primaries.
type SlotRange struct {
	First, Last uint16
	Nodes       []int // indexes into Map.Nodes: the primaries, coordinator first
}

// Status is what every node says of itself, as far as it answered.
type Status struct {
	Nodes  []NodeStatus `json:"nodes"`
	Change *RingChange  `json:"change,omitempty"` // nil while the ring does not change
}

// RingChange is how far a change of the ring is.
type RingChange struct {
	Layout uint64   `json:"layout"` // version of the present layout
	Copies int      `json:"copies"` // of partitions, still to be taken over by somebody
	Waits  []string `json:"waits"`  // in words: what for, and for whom
}

// Transfer is what a node has taken over from others in the changes that go on, and since it started.
type Transfer struct {
	Pending        int   `json:"pending"` // partitions that it is taking over
	Done           int   `json:"done"`    // partitions taken over since the last time that none was pending
	Rows           int64 `json:"rows"`    // of those, and of those under way
	Bytes          int64 `json:"bytes"`
	BytesPerSecond int64 `json:"bytes_per_second"`
	SecondsLeft    int64 `json:"seconds_left"` // -1: not known
}

// NodeStatus is one node's line in Status.
type NodeStatus struct {
	Name          string `json:"name"`
	ID            string `json:"id"`
	Version       string `json:"version"`
	Status        string `json:"status"` // joining, active, leaving, removed; or proxy: no member
	Alive         bool   `json:"alive"`
	Keys          int64  `json:"keys"` // copies held
	Bytes         int64  `json:"bytes"`
	Hints         int64  `json:"hints"`
	Siblings      int64  `json:"siblings"`
	UptimeSeconds int64  `json:"uptime_seconds"`
	Connections   int    `json:"connections"` // of clients

	UnreadableHints int `json:"unreadable_hints,omitempty"` // of Hints, those that stay because they cannot be read

	Transfer *Transfer `json:"transfer,omitempty"` // nil while it takes nothing over
}

// Ring is the placement of the whole cluster.
type Ring struct {
	Partitions int        `json:"partitions"`
	N          int        `json:"n"`
	Version    uint64     `json:"version"`
	Nodes      []RingNode `json:"nodes"`
	Preference [][]string `json:"preference"` // per partition, node names, coordinator first
}

// RingNode is one node's line in Ring.
type RingNode struct {
	Name        string `json:"name"`
	ID          string `json:"id"`
	Zone        string `json:"zone"`
	Weight      int    `json:"weight"` // its share of copies and first places, relative to the other nodes'
	Status      string `json:"status"`
	Alive       bool   `json:"alive"`
	Primaries   int    `json:"primaries"`   // copies owned
	Coordinates int    `json:"coordinates"` // first places
}

// Preference is one entry of a key's preference list.
type Preference struct {
	Node string // name
	For  string // name of the primary that a fallback stands in for; empty: a primary
}
