// Package coordinator carries one request of a client through its life: which node coordinates, which replicas are
// asked, when enough have answered, what is repaired afterwards.
//
// Decisions are values without clock, goroutine or I/O: Put and Get here are the quorum decisions of the Dynamo paper
// (SOSP 2007, sections 4.5 and 4.6) as Riak's put and get cores have them; modify computes what a read-modify-write
// makes of a value; Settlement says which retried writes may still turn up. The drivers around them (Coordinator) own
// the messages, the timers and the waiting, and treat a client's whole pipeline as one batch: one store commit, one
// frame to each peer.
//
// The rules that everything here serves:
//
//   - A dot is minted only by a node that stores the write, in the same commit, under the key's lock.
//   - Too few replicas in reach is found before minting: NOQUORUM means that nothing was written.
//   - After minting the answer is success or MAYBE. What is not idempotent is never run twice.
//   - A retry of an idempotent write keeps its stamp and overwrites nothing.
//   - Every primary that misses a write is owed a hint, by a fallback that holds the data or by the coordinator.
package coordinator
