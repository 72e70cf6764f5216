package gossip

import "github.com/hashicorp/memberlist"

// Transport carries the gossip: UDP and TCP, or a network in memory for tests.
type Transport = memberlist.Transport
