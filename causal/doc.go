// Package causal decides which values of one key are current when its replicas have been written independently.
//
// Every write event has a dot (actor, counter). A State is a set of siblings, each under its own dot, below one context:
// the set of all dots that the state has seen. A dot that is seen but has no sibling is a value that was overwritten,
// deleted or expired; Sync therefore tells "you have not met it yet" from "I know it is gone" without clocks or logs.
//
// # Rules
//
//   - The dot of every sibling is in Seen, and the stamp of none is among Seen's stamps.
//   - A dot is minted once. Whoever mints under an actor holds everything that was ever minted under it for the key;
//     a node that may have forgotten mints under a new actor, even if other replicas have meanwhile given it some state
//     of the key again. The package cannot check this: it is the store's duty.
//   - Nothing is dropped for its age or for its size: a context is never pruned of dots. The only thing that is pruned is
//     a remembered stamp, once it is settled.
//   - Contexts and states are immutable. Results share memory with arguments.
//
// # Remembered stamps
//
// A client's write that was sent to one node and, its reply lost, again to another exists under two dots that know
// nothing of each other: twins. They bear one Stamp. If only dots were remembered, a twin that turns up after the other
// was overwritten would look like a new value. So a context also holds the stamps of overwritten siblings, and a state
// that has seen a stamp keeps no sibling that bears it. A stamp is settled, and need not be remembered, once it is known
// that at most one sibling was ever minted under it and that no more will be. A node knows this of its own operations at once: those that it
// executed itself at the first attempt, and those answered at the first attempt, are settled.
//
// # Sources
//
// Preguiça, Baquero, Almeida, Fonte, Gonçalves: Dotted Version Vectors (arXiv:1011.5808); the explicit form here is that
// of the optimized OR-set (Bieniusa et al., arXiv:1210.3368). DeCandia et al.: Dynamo (SOSP 2007) 4.4. Kulkarni et al.:
// Logical Physical Clocks (OPODIS 2014).
package causal
