// Package protocol holds what the front-ends share: the interfaces that they need of the node, and the server that
// accepts their connections.
//
// A front-end (protocol/resp, protocol/memcache) parses bytes into operations of package request, hands whole
// pipelines to a Store as batches, and writes the answers. It knows nothing of replicas, rings or disks.
//
// A Server bounds connections and their writes, backs off when accepting fails, and drains: it stops accepting, lets
// every connection finish the commands that it has read, and joins every goroutine that it started.
package protocol
