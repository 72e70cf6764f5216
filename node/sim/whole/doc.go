// Package whole simulates a cluster of whole nodes: node.Open as it ships, with Pebble on crashable disks in memory, gossip and
// peers over a network in memory, and real commands through the RESP layer, all in one testing/synctest bubble per seed.
//
// A seed derives the cluster, the clients' commands and a script of faults. Afterwards everything is healed, every node is
// started again, and the recorded history and the final state of every replica go through the checkers of node/sim/check.
// A node's clients stand beside it: no fault of the network is between them. What a node decides and answers is told by its
// node.Witness. Most keys are written once only, so that nothing but hints and repair brings them to copies that missed them; one is
// asked for more than all others, so that requests meet.
//
// Nodes join, leave, are removed and are replaced while clients go on. At the end the ring must be at rest, of exactly the nodes that
// live; none may hold what is another's, and one that left must have gone without a row or a hint.
//
// A paused node stands as still as is possible here, where goroutines cannot be stopped from outside and share one clock: all that it reads
// and writes on the network is held, its clients' commands too, and it wakes with what came meanwhile in hand and sends what it had written,
// its deadlines long past. Unlike a process under SIGSTOP it goes on computing and writing to its disk behind that, its timers fire in time, and it
// does not notice: no beat tells it to drop its connections, so that deadlines alone keep it from running old frames. Runs with real processes stop them.
//
// In one run of three a node is away for minutes, and the end waits until the tombstones of all that was deleted are reaped.
//
// Streams lose, double and reorder nothing, as TCP does not. What becomes of a frame there is a connection that ends in the middle of
// it, with an unknown part delivered: that is what Reset does, as do nodes that are killed.
//
// Goroutines of a bubble run in an order that no seed fixes, so a failure keeps its script and its history, not only its seed.
package whole
