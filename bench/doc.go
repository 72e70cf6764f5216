// Command bench measures what a command costs: it starts three nodes (N=3, R=2, W=2, --sync os) and, beside them, the peers
// that Debian has, and runs the same loads against each in turn, several times over. The peers are a redis-server with an
// append-only file fsynced each second; one with two replicas, all three with such files, whose clients ask after each
// pipeline of writes for the acknowledgement of one replica (WAIT 1); and memcached, one copy in memory.
//
// The closed loop is redis-benchmark, a tool that users know. It can neither send WAIT nor speak memcached's protocol: for
// those two the closed loop is this command's own, of the same shape, where a write has taken as long as its WAIT. Where it can
// stand in for redis-benchmark it does about as well, except that pipelines are up to a third slower. The CPU that a command
// costs is that of the server processes alone, all of a system together. It survives a noisy machine better than throughput
// does, and ratios to the lone redis-server of the same run better than either; what is shown are medians over the rounds.
//
// With -growth it measures instead what grows: the CPU of a command with nodes, connections, the size of values and the number of
// keys, one at a time; memory beside the peer's; and how long a node takes to start with all those keys.
//
// The open loop is this command's own. It sends at the moments of a fixed schedule, whether or not earlier replies came,
// and counts each latency from the scheduled moment: a server that stalls is charged for every command that was due
// meanwhile, and not only for the few that its clients had sent. It keeps every sample, so that percentiles are exact.
package main
