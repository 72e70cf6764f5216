// Package peer is the wire between nodes: it makes a remote replica, or a remote coordinator, look like the local one.
//
// Every node dials every other, twice: one connection for small requests and one for bulk, so that a value of megabytes
// never stands before a read of bytes. The dialer asks and the accepter answers; many requests are in flight on a
// connection, and whatever gathers during one write to the socket leaves with the next. What one read from the socket
// brings is executed together, so that its writes share a commit, and answered together.
//
// Three rules keep what a caller is told true:
//
//   - Every call ends exactly once: with its answers, or with request.ErrUnreachable if no byte of it can have left this
//     process, or with request.ErrLost if one may have.
//   - A request bears its deadline on the receiver's monotonic clock, converted so that an error of the conversion makes it
//     earlier, never later. The receiver drops what is past it. So nothing begins after its sender gave up.
//   - A process that notices that it was paused closes its connections before it executes anything that it finds in them.
//
// A node that stops in good order says goodbye (Peers.Drain), and no call is lost to it: what it has begun is answered
// before, and what it has not is promised never to begin, so that a forwarded batch may be asked of another node.
//
// A peer is suspect when it refuses or breaks connections, or leaves a ping, or several requests while nothing
// else comes from it, without an answer. That is a node's own quick view of the others; who is a member is decided elsewhere.
//
// Source of the shape (own frames, one coalescing writer, inline execution): measured against RESP, gRPC, QUIC and drpc,
// which cost 1.7 to 16 times the CPU. Source of local failure detection: Dynamo (SOSP 2007) 4.8.3.
package peer
