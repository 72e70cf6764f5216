// Package ring says who holds what: slots, partitions, members, layouts, preference lists, and how a cluster is founded.
//
// The ring is Dynamo's strategy 3 (SOSP 2007, section 6.2): Q equal partitions of a fixed slot space, placed on nodes by a
// table rather than by hashing nodes onto the circle, so that partition and placement are decoupled, every node holds
// Q*N/S copies, and a membership change moves whole partitions.
//
// The ring changes while it serves, one owner of a partition at a time, by steps that every member acknowledges before
// the next (Next); what a step may assume of others is said there, and Edition and Hear are what makes it true. The
// form is that of Garage's layout versions with their acknowledgement and sync trackers.
//
// Everything here is a value or a function of values: no clock, no randomness of its own, no I/O, no goroutine. What
// members exist is explicit (an operator joins and removes them) and merges by rules that are commutative, associative
// and idempotent, so that it may travel by gossip in any order; whether a member is up is somebody else's business.
package ring
