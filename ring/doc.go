// Package ring says who holds what: slots, partitions, members, layouts, preference lists, and how a cluster is founded.
//
// The ring is Dynamo's strategy 3 (SOSP 2007, section 6.2): Q equal partitions of a fixed slot space, placed on nodes by a
// table rather than by hashing nodes onto the circle, so that partition and placement are decoupled, every node holds
// Q*N/S copies, and a membership change moves whole partitions.
//
// Everything here is a value or a function of values: no clock, no randomness of its own, no I/O, no goroutine. What
// members exist is explicit (an operator joins and removes them) and merges by rules that are commutative, associative
// and idempotent, so that it may travel by gossip in any order; whether a member is up is somebody else's business.
package ring
