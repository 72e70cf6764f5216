// Package e2e tests the built program from outside: real processes, real sockets, real signals, real disks, and the client
// libraries that applications use. Everything here goes through what an operator or a client has: flags, exit codes, the Redis
// protocol, /readyz. What needs a network that can be cut is tested in package node.
//
// The package has tests only. -e2e.full runs the sizes that are too long for every day. The tests run on Linux alone: each
// node has a loopback address of its own, so that ports never collide, and the kernel ends the nodes with the test.
package e2e
