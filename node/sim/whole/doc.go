// Package whole simulates a cluster of whole nodes: node.Open as it ships, with Pebble on crashable disks in memory, gossip and
// peers over a network in memory, and real commands through the RESP layer, all in one testing/synctest bubble per seed.
//
// A seed derives the cluster, the clients' commands and a script of faults. Afterwards everything is healed, every node is
// started again, and the recorded history and the final state of every replica go through the checkers of node/sim/check.
// A node's clients stand beside it: no fault of the network is between them. What a node decides and answers is told by its
// node.Witness. Most keys are written once only, so that nothing but hints and repair brings them to copies that missed them; one is
// asked for more than all others, so that requests meet.
//
// A node cannot be paused here: all goroutines of a bubble share one clock, and none can be stopped from outside. The
// simulation of the model and the runs with real processes do that.
//
// Goroutines of a bubble run in an order that no seed fixes, so a failure keeps its script and its history, not only its seed.
package whole
