// Command faults starts a cluster of real server processes, each in a network namespace of its own with a small disk of its
// own, breaks them and what is between them by a seeded schedule while clients read and write, and checks at the end what the
// clients did and saw.
//
// Two things are known of a write then: what its client was told (package history), and what the node that decided it wrote
// down (package journal). With more nodes than copies quorums need not meet, and a client cannot know what its delete had
// met; that a value came back which a write had covered, the journals tell exactly.
//
// It runs in a sandbox: private namespaces of processes, mounts and networks, which the kernel takes down with the first
// process in them. However a run ends, nothing is left of it: no process, no mount, no network, no file. Its addresses exist
// only in there.
//
// Faults come from the kernel, not from the code: nftables cuts and loses packets on their way into a node, a token bucket
// slows what leaves it, signals kill and stop it, ballast fills its disk. Only clocks are set wrong by a seam, which servers
// built with the tag faults have, and so is the journal kept. Messages are not delayed as such: slow links and lost packets delay them.
package main
