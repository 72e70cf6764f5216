// Package admission gives background work (hinted handoff, expiry, transfer, anti-entropy) slices of bytes and time, so that
// clients do not notice it. Source: Dynamo (SOSP 2007) 6.5: one controller for all background work, which compares the
// foreground's 99th percentile over the last minute with a threshold.
//
// Pace is the decision, as a value: fed with one Slot a second, it says how many bytes a second background work may
// move in the next. The rate grows by a step a second while the foreground is well, is halved when it is not (additive
// increase, multiplicative decrease), doubles while there is no foreground, and stays between a floor, by which all work
// ends at last, and a ceiling.
//
// What "well" means is not known beforehand: a p99 of 2 ms is a catastrophe on one machine and a dream on another. Unless an
// operator says it in milliseconds, the threshold is a multiple of the p99 of calm seconds: those of the last minute
// in which no background work ran. While it runs without end one second in a few is kept free of it, to measure that; so the
// comparison is always between neighbours in time under the same load, and a foreground that is slow by itself is no
// reason to stop repairing.
//
// Time is paid for in bytes: work that reads and hashes without sending anything has a share of a processor by the same rate. Both
// ends of a transfer ask, each its own controller: who takes may have no clients at all, and who gives has.
//
// Controller is the driver around it: a histogram that costs an atomic addition a batch, and Admit, which waits.
package admission
