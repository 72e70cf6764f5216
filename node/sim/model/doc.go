// Package model simulates a cluster on one thread: the pure decisions of the real code (coordinator.Put, Get, Minting,
// Settlement and View, causal, ring) around a model of the store, the network and the disks, under a virtual clock.
//
// The same script and seed give the same trace. A script is what happens to the cluster: operations of clients and
// faults, each at its time; what the network does to each message is drawn from the seed.
//
// What the real code does with goroutines, timers and sockets is done here by events, in twins of the drivers
// (write.go, read.go, forward.go and round.go of package coordinator) and of package replica's rules (minting, hints,
// handoff, expiry). A twin follows its original decision by decision; package replica's own tests hold the real store to
// a model, and the simulation of whole nodes holds the real drivers to the same invariants.
package model
