// Package replica is one node's data at rest, and its duties to its peers: the store of causal states, the minting of
// dots, hints and hinted handoff, expiry.
//
// Everything of a node lives in one Pebble database, told apart by the first byte of the key (keys.go). The rules:
//
//   - A write is decided, stored and counted under its key's lock, and a batch of writes is one Pebble commit. The lock
//     is released before the fsync is awaited: an acknowledged write is as durable as the sync level says, and a reader
//     may see it earlier.
//   - No dot is minted twice (mint.go). An actor is the boot bits, drawn at random at every start, and a number of a
//     node-wide sequence; a row remembers the actor under which this node minted last, and forgets it with the row.
//     What is drawn or leased is fsynced before use, whatever the sync level says.
//   - What a peer sends is never refused for its size, and nothing that was accepted is dropped; caps refuse before
//     acceptance (limits.go).
//   - A confirmation that lets another node delete something is given after Durable.
//
// Sources: Dynamo (SOSP 2007) sections 4.4, 4.6 and 5; dotted version vectors (causal/).
package replica
